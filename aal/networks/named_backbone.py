"""A backbone by its name: one of torchvision's or timm's networks, YAMNet, or the one that ships with the package."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from aal.checks import at_least_or_none, refuse
from aal.errors import UserError, did_you_mean
from aal.networks import library_backbones
from aal.networks.base import Backbone
from aal.networks.digit_backbone import DigitBackbone
from aal.networks.yamnet import YAMNet

TIMM = "timm/"
OWN: dict[str, Callable[[str], Backbone]] = {
    "yamnet": YAMNet,
    "digits": lambda weights: DigitBackbone("shipped" if weights == "published" else weights),
}


class NamedBackbone(Backbone):
    """A backbone by its name, pre-trained or not.

    Images ``(B, C, H, W)`` are in [0, 1], gray or colour. Inside they are normalised as the network's library does for
    its own weights; where ``size`` is given, the whole image is first resized to a square of that size, bilinearly with
    antialiasing. The library's own resizing is not repeated: its crop of the centre, and bicubic for some networks.
    Features are the input of the network's last layer.

    Args:
        name: A classifier of torchvision, such as ``resnet50``; ``timm/NAME`` for a model of timm, where that is
            installed; ``yamnet`` for sound; ``digits`` for the backbone that ships with the package.
        weights: ``published`` for those that the library publishes, downloaded once (of torchvision's the newest,
            ``DEFAULT``); ``none`` for random ones; else a ``.pt``, ``.pth``, ``.th`` or ``.safetensors`` file of the
            whole network, with or without its last layer.
        size: Height and width that images are resized to, in pixels; ``null`` leaves them as the data have them.
        pool: ``avg`` for the features after global pooling; ``none`` for the flattened map before it, which needs
            ``size``.

    Raises:
        UserError: There is no such network, it cannot take images of ``size``, or its weights are missing, damaged or
            another network's.
    """

    def __init__(
        self, name: str, weights: str = "published", size: int | None = None, pool: Literal["avg", "none"] = "avg"
    ) -> None:
        super().__init__()
        self.backbone = _build(name, weights, size, pool)
        self.feature_size = self.backbone.feature_size

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to features ``(B, D)``."""
        features: Tensor = self.backbone(x)
        return features


def _build(name: str, weights: str, size: int | None, pool: str) -> Backbone:
    at_least_or_none(1, {"size": size})
    if name in OWN:
        refuse(
            size is not None or pool != "avg",
            f"name: {name} has a size and features of its own; leave out size and pool",
        )
        return OWN[name](weights)
    refuse(pool == "none" and size is None, "size: pool: none flattens a map, so size must say how large images are")
    if name.startswith(TIMM):
        _check_known(name.partition(".")[0], [TIMM + known for known in library_backbones.timm_names()])
        return library_backbones.timm_backbone(name.removeprefix(TIMM), weights, size, pool)
    _check_known(name, [*library_backbones.torchvision_names(), *OWN])
    return library_backbones.torchvision_backbone(name, weights, size, pool)


def _check_known(name: str, names: Sequence[str]) -> None:
    if name not in names:
        meant = did_you_mean(name, names) or "; name a classifier of torchvision, or timm/NAME"
        raise UserError(f"name: there is no backbone {name!r}{meant}")
