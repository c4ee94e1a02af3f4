"""The contract of every backbone, a module that turns samples into features, and how a classifier becomes one."""

from torch import Tensor, nn

from aal.checks import refuse


class Backbone(nn.Module):
    """A feature extractor. Subclasses set ``feature_size`` and resize and normalise inside ``forward``.

    Attributes:
        feature_size: Length D of a feature vector.
    """

    feature_size: int

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to features ``(B, D)``."""
        raise NotImplementedError


def take_last(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[str, nn.Module]:
    """Put an identity in the place of a network's last layer, so that it returns what that layer is given.

    Args:
        network: A classifier whose last layer in order of definition is the one that makes the logits.
        kinds: What counts as such a layer.

    Returns:
        Its name and the layer.

    Raises:
        UserError: The network has no layer of these kinds.
    """
    layers = [(name, layer) for name, layer in network.named_modules() if name and isinstance(layer, kinds)]
    wanted = " or ".join(f"nn.{kind.__name__}" for kind in kinds)
    refuse(not layers, f"network: {type(network).__name__} has no {wanted} that could be its last layer")
    name, layer = layers[-1]
    network.set_submodule(name, nn.Identity())
    return name, layer
