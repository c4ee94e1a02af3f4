"""The contract of every backbone: a module that turns samples into feature vectors."""

from torch import Tensor, nn


class Backbone(nn.Module):
    """A feature extractor. Subclasses set ``feature_size`` and resize and normalise inside ``forward``.

    Attributes:
        feature_size: Length D of a feature vector.
    """

    feature_size: int

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to features ``(B, D)``."""
        raise NotImplementedError
