"""Backbones by name: the features are what the library's own network gives to its last layer."""

import builtins
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, fx, nn
from torchvision.transforms.functional import normalize

from aal.errors import UserError
from aal.networks import DigitBackbone, ImageBackbone, NamedBackbone, named_backbone
from aal.networks.image_backbone import IMAGENET
from tests.real_data import cifar10, data

# One member a family, and what comes in it after the map that is pooled. AlexNet stands for VGG, which is put together
# like it and is four times as large.
Tail = Callable[[Any, Tensor], Tensor]
FC: Tail = lambda net, maps: net.fc(maps.mean((2, 3)))  # noqa: E731
CLASSIFIER: Tail = lambda net, maps: net.classifier(maps.mean((2, 3)))  # noqa: E731
POOLED: Tail = lambda net, maps: net.classifier(net.avgpool(maps).flatten(1))  # noqa: E731
FAMILIES: dict[str, Tail] = {
    "densenet121": CLASSIFIER,
    "efficientnet_b0": CLASSIFIER,
    "googlenet": FC,
    "inception_v3": FC,
    "mnasnet0_5": CLASSIFIER,
    "mobilenet_v2": CLASSIFIER,
    "mobilenet_v3_small": POOLED,
    "regnet_x_400mf": FC,
    "resnet18": FC,
    "shufflenet_v2_x0_5": FC,
    "squeezenet1_1": lambda net, maps: net.classifier(maps).flatten(1),
}
LARGE: dict[str, Tail] = {
    "alexnet": POOLED,
    "convnext_tiny": lambda net, maps: net.classifier(net.avgpool(maps)),
    "maxvit_t": lambda net, maps: net.classifier(maps),
    "swin_t": lambda net, maps: net.head(maps.mean((2, 3))),
}
SIZES = {"inception_v3": 139, "maxvit_t": 224, "vit_b_32": 224}  # else 80
ALL = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in (*LARGE, "vit_b_32"))]


EXACTLY: dict[str, float] = {"rtol": 1e-9, "atol": 1e-9}  # in float64: float32 rounds otherwise on other machines


def images(size: int, channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0)).to(dtype)


def normalised(x: Tensor, numbers: tuple[Sequence[float], Sequence[float]] = IMAGENET) -> Tensor:
    """Normalise by mean and deviation as float32 has them, like a backbone that was made in float32."""
    mean, deviation = torch.tensor(numbers).view(2, 3, 1, 1)
    return (x - mean) / deviation


def original(name: str) -> nn.Module:
    """Return the library's own network with weights of its own, as it is built for published ones."""
    options = {"init_weights": True, "transform_input": True} if name in named_backbone.INCEPTIONS else {}
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    network.eval()  # without the classifiers in the middle
    for layer in norms:
        layer.train().momentum = None
    if norms:  # measured statistics, else random weights make all images alike
        network(torch.rand(2 if name in LARGE else 4, 3, SIZES.get(name, 80), SIZES.get(name, 80)))
    return network.eval()


def inner(ours: NamedBackbone) -> Any:  # noqa: ANN401 - the library's own module, or what is left of it
    """Return the network inside a backbone."""
    assert isinstance(ours.backbone, ImageBackbone)
    return ours.backbone.network


def ours_with(network: nn.Module, name: str, folder: Path, pool: Literal["avg", "none"] = "avg") -> NamedBackbone:
    """Return our backbone with the library's weights, in float64; the files of the largest are not written."""
    size = SIZES.get(name, 80)
    if name in FAMILIES:
        torch.save(network.state_dict(), folder / "whole.pth")
        ours = NamedBackbone(name, str(folder / "whole.pth"), size=size, pool=pool)
    else:
        ours = NamedBackbone(name, "none", size=size, pool=pool)
        own = inner(ours).state_dict()  # in the same order; what was cut off came last
        inner(ours).load_state_dict(dict(zip(own, network.state_dict().values(), strict=False)))
    return ours.double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_features_are_the_input_of_the_last_layer(name: str, tmp_path: Path) -> None:
    network, size = original(name), SIZES.get(name, 80)
    ours = ours_with(network, name, tmp_path)
    usual = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    x = images(size, dtype=torch.float64)
    whole = name in named_backbone.INCEPTIONS  # they turn ImageNet's numbers into halves themselves
    theirs = normalize(x, usual.mean, usual.std) if whole else normalised(x, (usual.mean, usual.std))
    with torch.no_grad():
        features, logits = ours(x), network.double()(theirs)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        assert features.shape == (2, ours.feature_size)
        assert not torch.allclose(features[0], features[1], rtol=1e-4)
        if isinstance(last, nn.Linear):
            torch.testing.assert_close(last(features), logits, **EXACTLY)
        if name == "vit_b_32":
            return
        flat = ours_with(network.float(), name, tmp_path, pool="none")
        network.double()
        maps = flat(x)
        assert maps.shape == (2, flat.feature_size)
        side = round((flat.feature_size / inner(flat)(x).shape[1]) ** 0.5)
        square = maps.view(2, -1, side, side)
        torch.testing.assert_close((FAMILIES | LARGE)[name](network, square), logits, **EXACTLY)


def test_every_classifier_of_torchvision_says_what_it_was_made_for() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        usual = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        assert len(usual.mean) == len(usual.std) == 3
        assert usual.crop_size[0] >= 224
        assert name in named_backbone.INCEPTIONS or "inception" not in name


def test_images_are_resized_made_colour_and_normalised_inside() -> None:
    torch.manual_seed(0)
    ours = NamedBackbone("squeezenet1_1", "none", size=40).double().eval()
    gray = images(28, channels=1, dtype=torch.float64)
    colour = gray.repeat(1, 3, 1, 1)
    torch.testing.assert_close(ours(gray), ours(colour), **EXACTLY)
    resized = nn.functional.interpolate(colour, (40, 40), mode="bilinear", antialias=True)
    torch.testing.assert_close(ours(gray), inner(ours)(normalised(resized)), **EXACTLY)
    free = NamedBackbone("squeezenet1_1", "none").double().eval()
    free.load_state_dict(ours.state_dict())
    torch.testing.assert_close(free(resized), ours(gray), **EXACTLY)


def test_its_forward_pass_can_be_traced_so_that_attacks_can_fold_batch_norms() -> None:
    nodes = fx.Tracer().trace(NamedBackbone("resnet18", "none", size=32)).nodes
    assert sum(node.op == "call_module" and ".bn" in str(node.target) for node in nodes) > 10


def test_weights_of_another_network_are_refused_and_half_precision_and_missing_heads_are_not(tmp_path: Path) -> None:
    network = original("resnet18")
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()
    }
    headless = {name: tensor for name, tensor in halves.items() if not name.startswith("fc.")}
    safetensors.torch.save_file(headless, tmp_path / "headless.safetensors")
    ours = NamedBackbone("resnet18", str(tmp_path / "headless.safetensors"))
    assert {tensor.dtype for tensor in ours.parameters()} == {torch.float32}
    assert torch.equal(inner(ours).conv1.weight, halves["conv1.weight"].float())
    del headless["conv1.weight"]
    headless["more.weight"] = torch.zeros(2)
    safetensors.torch.save_file(headless, tmp_path / "other.safetensors")
    with pytest.raises(
        UserError, match=r"other\.safetensors: .* missing \['conv1\.weight'\], unexpected \['more\.weight'\]"
    ):
        NamedBackbone("resnet18", str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match=r"whole\.pth: no such file"):
        NamedBackbone("resnet18", str(tmp_path / "whole.pth"))


def test_densenets_published_names_are_understood(tmp_path: Path) -> None:
    network = original("densenet121")
    old = {}
    for name, tensor in network.state_dict().items():
        for layer in ("norm", "conv"):
            for number in "12":
                name = name.replace(f".{layer}{number}.", f".{layer}.{number}.") if "denselayer" in name else name
        old[name] = tensor
    assert old.keys() != network.state_dict().keys()
    torch.save(old, tmp_path / "old.pth")
    ours = NamedBackbone("densenet121", str(tmp_path / "old.pth"), size=32).double().eval()
    x = images(32, dtype=torch.float64)
    torch.testing.assert_close(network.double().classifier(ours(x)), network(normalised(x)), **EXACTLY)


def test_published_weights_are_taken_from_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url: str, **_: object) -> None:
        assert url.endswith("-b8a52dc0.pth")
        raise OSError("no route to host")

    monkeypatch.setattr("aal.data.downloads.urlopen", offline)
    file = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    with pytest.raises(
        UserError, match=rf"^weights: https://.*no route to host.* put it at {file}, or name a local file"
    ):
        NamedBackbone("squeezenet1_1")
    network = original("squeezenet1_1")
    torch.save(network.state_dict(), file)
    assert torch.equal(inner(NamedBackbone("squeezenet1_1")).features[0].weight, network.features[0].weight)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"squeezenet1_1-b8a52dc0\.pth: truncated"):
        NamedBackbone("squeezenet1_1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet5"}, r"^name: there is no backbone 'resnet5'; did you mean resnet50"),
        ({"name": "???"}, r"^name: there is no backbone '\?\?\?'; name a classifier of torchvision, or timm/NAME"),
        ({"name": "resnet18", "weights": "none", "size": 0}, r"^size: must be at least 1, got 0"),
        ({"name": "resnet18", "weights": "none", "pool": "none"}, r"^size: pool: none .* must say"),
        ({"name": "squeezenet1_1", "weights": "none", "size": 8}, r"^size: squeezenet1_1 cannot take images of 8x8"),
        ({"name": "digits", "size": 8}, r"^name: digits has a size and features of its own"),
        ({"name": "yamnet", "weights": "none", "pool": "none"}, r"^name: yamnet has a size and features of its own"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_built_is_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        NamedBackbone(**arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_network_of_fixed_size_says_so() -> None:
    with pytest.raises(UserError, match=r"size: vit_b_32 cannot take images of 96x96, try 224"):
        NamedBackbone("vit_b_32", "none", size=96)
    with pytest.raises(UserError, match=r"pool: vit_b_32 pools no map"):
        NamedBackbone("vit_b_32", "none", size=224, pool="none")


def test_the_shipped_backbone_has_a_name_too() -> None:
    shipped, x = DigitBackbone(), images(8, channels=1)
    assert torch.equal(NamedBackbone("digits")(x), shipped(x))
    assert not torch.equal(NamedBackbone("digits", "none")(x), shipped(x))


class TestTimm:
    @pytest.fixture(autouse=True)
    def _timm(self) -> None:
        pytest.importorskip("timm")

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "test_vit"])
    def test_features_are_the_input_of_the_classifier(self, name: str, tmp_path: Path) -> None:
        import timm

        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=7).eval()
        safetensors.torch.save_file(network.state_dict(), tmp_path / "whole.safetensors")
        size = network.pretrained_cfg["input_size"][-1]
        ours = NamedBackbone(f"timm/{name}", str(tmp_path / "whole.safetensors"), size=size).double().eval()
        x = images(size, dtype=torch.float64)
        theirs = normalised(x, (network.pretrained_cfg["mean"], network.pretrained_cfg["std"]))
        with torch.no_grad():
            torch.testing.assert_close(network.double().get_classifier()(ours(x)), network(theirs), **EXACTLY)
            flat = NamedBackbone(f"timm/{name}", str(tmp_path / "whole.safetensors"), size=size, pool="none").double()
            wanted = network.forward_features(theirs).flatten(1)
            torch.testing.assert_close(flat.eval()(x), wanted, **EXACTLY)
            assert wanted.shape == (2, flat.feature_size)

    def test_names_are_timms(self) -> None:
        with pytest.raises(UserError, match=r"no backbone 'timm/resnett18'; did you mean timm/resnet18"):
            NamedBackbone("timm/resnett18")
        with pytest.raises(UserError, match=r"weights: timm/resnet18\.no_such_tag with weights none .*local file"):
            NamedBackbone("timm/resnet18.no_such_tag", "none")


def test_without_timm_its_names_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if name == "timm":
            raise ImportError
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r'pip install "aal\[timm\]"'):
        NamedBackbone("timm/resnet18")


@pytest.mark.data
def test_published_weights_tell_real_images_apart() -> None:
    x, y = cifar10(40)
    ours = NamedBackbone("mobilenet_v2", str(data("pretrained/mobilenet_v2_imagenet_fp16.pt")), size=96).eval()
    with torch.no_grad():
        features = torch.cat([ours(batch) for batch in x.split(50)])
    learned = torch.arange(len(y)) % 2 == 0
    centred = features - features[learned].mean(0)
    means = torch.stack([centred[learned & (y == k)].mean(0) for k in range(10)])
    guessed = (nn.functional.normalize(centred) @ nn.functional.normalize(means).T).argmax(1)
    assert (guessed == y)[~learned].float().mean() > 0.35, "raw pixels reach 0.27, random weights 0.14"
