"""A backbone for images around any network: resizing and normalising happen inside, so that attacks work on pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from aal.attacks.base import frozen
from aal.errors import UserError
from aal.networks.base import Backbone
from aal.networks.resize import resized

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels in [0, 1], of each channel."""


class ImageBackbone(Backbone):
    """Images to the features of a network.

    Args:
        network: Maps normalised colour images ``(B, 3, size, size)`` to features ``(B, D)`` or maps ``(B, C, h, w)``.
        name: The network's name, for messages.
        size: Height and width that images are resized to, in pixels; ``None`` for the data's own.
        usual_size: Height and width that the network was made for.
        normalisation: Mean and standard deviation of each channel.

    Raises:
        UserError: The network does not take images of ``size``.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        size: int | None,
        usual_size: int,
        normalisation: tuple[Sequence[float], Sequence[float]] = IMAGENET,
    ) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.mean, self.deviation = channelwise(normalisation)
        tried = size or usual_size
        try:
            with frozen(self), torch.no_grad():
                self.feature_size = self(torch.zeros(1, 3, tried, tried)).shape[1]
        except (RuntimeError, ValueError, AssertionError) as error:  # whatever a layer says of a size it cannot take
            raise UserError(
                f"size: {name} cannot take images of {tried}x{tried}, try {usual_size} ({str(error).splitlines()[0]})"
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` in [0, 1], gray (C = 1) or colour (C = 3), to features ``(B, D)``."""
        return torch.flatten(self.network((prepared(x, self.size) - self.mean) / self.deviation), 1)


def channelwise(normalisation: tuple[Sequence[float], Sequence[float]]) -> tuple[nn.Buffer, nn.Buffer]:
    """Return mean and standard deviation of each channel as buffers ``(3, 1, 1)`` that are not saved."""
    mean, deviation = torch.tensor(normalisation).view(2, 3, 1, 1)
    return nn.Buffer(mean, persistent=False), nn.Buffer(deviation, persistent=False)


def prepared(x: Tensor, size: int | None) -> Tensor:
    """Return images ``(B, 1 or 3, H, W)`` in colour, ``(B, 3, size, size)``.

    Raises:
        ValueError: ``x`` are no such images.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"it takes images (B, C, H, W) with one or three channels, not {tuple(x.shape)}")
    x = x if size is None else resized(x, (size, size))
    return x.expand(-1, 3, -1, -1)


fx.wrap("prepared")  # a step of its own where a network is traced: what it does depends on the images' shape
