"""Backbones of timm, where it is installed: any of its models, without its classifier."""

from types import ModuleType

from torch import Tensor, nn

from aal.errors import UserError
from aal.networks.image_backbone import IMAGENET, ImageBackbone
from aal.networks.weights import load_weights


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
