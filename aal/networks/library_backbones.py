"""Backbones of torchvision and timm: any of their classifiers, cut before its last layer or its global pooling."""

from pathlib import Path
from types import ModuleType

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from aal.checks import refuse
from aal.data.downloads import fetch
from aal.errors import UserError
from aal.networks.base import take_last
from aal.networks.image_backbone import IMAGENET, ImageBackbone
from aal.networks.resize import AreaPool
from aal.networks.weights import load_weights

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


def torchvision_names() -> list[str]:
    """Return the names of torchvision's image classifiers."""
    return list(torchvision.models.list_models(module=torchvision.models))


def torchvision_backbone(name: str, weights: str, size: int | None, pool: str) -> ImageBackbone:
    """Build one of torchvision's classifiers as a backbone; arguments as of :class:`aal.networks.NamedBackbone`."""
    options = {"aux_logits": False, "init_weights": True} if name in INCEPTIONS else {}
    published = torchvision.models.get_model_weights(name).DEFAULT
    network = torchvision.models.get_model(name, weights=None, **options)
    last, _ = take_last(network, (nn.Linear, nn.Conv2d))
    if weights != "none":
        path = _download(published) if weights == "published" else Path(weights)
        load_weights(network, path, without=(last, *AUXILIARY))
    _pool_deterministically(network)
    if pool == "none":
        network = _until_map(network, name)
    usual = published.transforms()
    normalisation = HALVES if name in INCEPTIONS else (usual.mean, usual.std)
    return ImageBackbone(network, name, size, usual.crop_size[0], normalisation)


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


def timm_names() -> list[str]:
    """Return the names of timm's models."""
    return list(_timm().list_models())


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
    normalisation = own.get("mean", IMAGENET[0]), own.get("std", IMAGENET[1])
    return ImageBackbone(network, f"timm/{name}", size, own["input_size"][-1], normalisation)


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
        maps: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        return maps


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError:
        raise UserError('name: this backbone needs timm: pip install "aal[timm]"') from None
    module: ModuleType = timm
    return module
