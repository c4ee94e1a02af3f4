"""A backbone by its name: one of torchvision's or timm's networks, YAMNet, or the one that ships with the package."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal, cast

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from aal.checks import at_least_or_none, refuse
from aal.data.downloads import fetch
from aal.errors import UserError, did_you_mean
from aal.networks.base import Backbone, take_last
from aal.networks.digit_backbone import DigitBackbone
from aal.networks.image_backbone import IMAGENET, ImageBackbone
from aal.networks.resize import AreaPool
from aal.networks.weights import load_weights
from aal.networks.yamnet import YAMNet

TIMM = "timm/"
OWN: dict[str, Callable[[str], Backbone]] = {
    "yamnet": YAMNet,
    "digits": lambda weights: DigitBackbone("shipped" if weights == "published" else weights),
}

AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Classifiers in the middle of GoogLeNet and Inception, which help training alone."""

INCEPTIONS = ("googlenet", "inception_v3")
HALVES = (0.5,) * 3, (0.5,) * 3
"""The normalisation that these two turn ImageNet's into, inside, when they are given published weights."""

MAP_AFTER = {
    "ResNet": "layer4",
    "RegNet": "trunk_output",
    "ShuffleNetV2": "conv5",
    "GoogLeNet": "inception5b",
    "Inception3": "Mixed_7c",
    "MNASNet": "layers",
    "SwinTransformer": "permute",
    "MaxVit": "blocks",
}
"""The last part of a network before its global pooling, where it is not called ``features``."""


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
        return cast(Tensor, self.backbone(x))


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
        _check_known(name.partition(".")[0], [TIMM + known for known in _timm().list_models()])
        return timm_backbone(name.removeprefix(TIMM), weights, size, pool)
    _check_known(name, [*torchvision.models.list_models(module=torchvision.models), *OWN])
    return torchvision_backbone(name, weights, size, pool)


def _check_known(name: str, names: Sequence[str]) -> None:
    if name not in names:
        meant = did_you_mean(name, names) or "; name a classifier of torchvision, or timm/NAME"
        raise UserError(f"name: there is no backbone {name!r}{meant}")


def torchvision_backbone(name: str, weights: str, size: int | None, pool: str) -> ImageBackbone:
    """Build one of torchvision's classifiers as a backbone; arguments as of :class:`aal.networks.NamedBackbone`."""
    options = {"aux_logits": False, "init_weights": True} if name in INCEPTIONS else {}
    published = torchvision.models.get_model_weights(name).DEFAULT
    network = torchvision.models.get_model(name, weights=None, **options)
    last, _ = take_last(network, (nn.Linear, nn.Conv2d))
    if weights != "none":
        load_weights(
            network, _download(published) if weights == "published" else Path(weights), without=(last, *AUXILIARY)
        )
    _pool_deterministically(network)
    if pool == "none":
        network = _until_map(network, name)
    usual = published.transforms()
    return ImageBackbone(
        network, name, size, usual.crop_size[0], HALVES if name in INCEPTIONS else (usual.mean, usual.std)
    )


def _download(weights: WeightsEnum) -> Path:
    """Return the file of published weights in torch's own cache, where it is kept once it was downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.exists():
        checksum = torch.hub.HASH_REGEX.search(path.name)
        try:
            fetch(weights.url, path, f"sha256:{checksum[1]}" if checksum else None)
        except (UserError, OSError) as error:
            raise UserError(f"weights: {error}, or name a local file") from None
    return path


def _pool_deterministically(network: nn.Module) -> None:
    """Replace the pooling whose gradient torch cannot compute deterministically on a GPU; that to one pixel it can."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size not in (1, (1, 1)):
            network.set_submodule(name, AreaPool(layer.output_size))  # type: ignore[arg-type]


def _until_map(network: nn.Module, name: str) -> nn.Module:
    """Return the part of a network that comes before its global pooling; its parts run in order of definition."""
    last = MAP_AFTER.get(type(network).__name__, "features")
    parts = dict(network.named_children())
    refuse(last not in parts, f"pool: {name} pools no map that could be flattened; leave pool: avg")
    kept = list(parts.values())[: list(parts).index(last) + 1]
    layers = [nn.Sequential(*part) if isinstance(part, nn.ModuleList) else part for part in kept]
    if isinstance(network, torchvision.models.DenseNet):
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def timm_backbone(name: str, weights: str, size: int | None, pool: str) -> ImageBackbone:
    """Build a model of timm as a backbone; arguments as of :class:`aal.networks.NamedBackbone`, without ``timm/``."""
    timm = _timm()
    try:
        network = timm.create_model(name, pretrained=weights == "published", num_classes=0)
    except Exception as error:  # of the hub, of its network library or of timm, which have nothing in common
        said = " ".join(str(error).split())
        raise UserError(
            f"weights: timm/{name} with weights {weights} could not be made ({said}): "
            "name a local file, such as the model.safetensors that https://huggingface.co/timm has of each model"
        ) from None
    own = network.pretrained_cfg
    if weights not in ("none", "published"):
        heads = own.get("classifier") or ()
        load_weights(network, weights, without=(heads,) if isinstance(heads, str) else tuple(heads))
    if pool == "none":
        network = Maps(network)
    return ImageBackbone(
        network,
        f"timm/{name}",
        size,
        own["input_size"][-1],
        (own.get("mean", IMAGENET[0]), own.get("std", IMAGENET[1])),
    )


class Maps(nn.Module):
    """What a model of timm would pool.

    Args:
        network: A model of timm.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to a map ``(B, C, h, w)``, or to tokens ``(B, N, C)``."""
        return cast(Tensor, self.network.forward_features(x))  # type: ignore[operator]


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError:
        raise UserError('name: this backbone needs timm: pip install "aal[timm]"') from None
    module: ModuleType = timm
    return module
