"""Networks trained end to end: their layers, the shapes they take, and weights that let a signal through."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from aal.errors import UserError
from aal.networks import MLP, VGG8, VGG16, LeNet5, ResNet18, ResNet20, SoftKNN

IMAGE_NETWORKS = [LeNet5, VGG8, VGG16, ResNet18]
NETWORKS = [*IMAGE_NETWORKS, MLP]


def layers(network: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def weights(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for name, parameter in network.named_parameters() if parameter.ndim > 1]


def images(*shape: int) -> Tensor:
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 45)], ids=str)
def test_logits_depend_on_every_part_of_a_sample(
    network: Callable[[tuple[int, ...], int], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    net, x = network(shape, 7).eval(), images(*shape).requires_grad_()
    logits = net(x)
    assert logits.shape == (2, 7)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x)
    *_, height, width = shape
    for quarter in (gradient[..., : height // 2, : width // 2], gradient[..., height // 2 :, width // 2 :]):
        assert (quarter.abs().amax((2, 3)) > 0).all()
    assert logits.std(1).min() > 1e-3, "the signal died out"


@pytest.mark.parametrize("network", IMAGE_NETWORKS, ids=lambda network: network.__name__)
def test_sound_is_no_image(network: Callable[[tuple[int, ...], int], nn.Module]) -> None:
    with pytest.raises(UserError, match=r"^sample_shape: must be an image.s .*, got \(800,\)"):
        network((800,), 2)


def test_vgg16_is_configuration_d() -> None:
    shapes = weights(VGG16())
    assert [shape[0] for shape in shapes] == [64, 64, 128, 128, *[256] * 3, *[512] * 8, 10]
    assert len(shapes) == 16
    assert shapes[-3:] == [(512, 512), (512, 512), (10, 512)]
    assert not layers(VGG16(), nn.BatchNorm2d)
    assert len(layers(VGG16(batch_norm=True), nn.BatchNorm2d)) == 13
    assert [layer.p for layer in layers(VGG16(dropout=0.25), nn.Dropout)] == [0.25, 0.25]


def test_vgg8_has_eight_layers() -> None:
    assert [shape[0] for shape in weights(VGG8())] == [64, 128, 256, 512, 512, 512, 512, 10]


def test_an_odd_row_is_pooled_alone() -> None:
    assert VGG8((1, 33, 8)).layers[-7].in_features == 512 * 2 * 1  # type: ignore[union-attr]


def test_resnet18_keeps_the_size_of_small_images() -> None:
    network = ResNet18((1, 28, 28), 10)
    assert len(weights(network)) == 18 + 3  # and three shortcuts that double the channels
    assert sum(parameter.numel() for parameter in ResNet18().parameters()) == pytest.approx(11.17e6, rel=0.001)
    stem = network.relu(network.bn1(network.conv1(images(1, 28, 28))))
    assert network.layer1(network.maxpool(stem)).shape == (2, 64, 28, 28)


def test_a_perceptron_has_the_widths_and_activation_that_are_asked_for() -> None:
    network = MLP((1, 4, 4), 3, widths=(8, 5), activation=nn.Tanh, dropout=0.1)
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Flatten", "Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"]
    assert weights(network) == [(8, 16), (5, 8), (3, 5)]
    assert weights(MLP((6,), 2, widths=())) == [(2, 6)]
    kinds = [type(layer).__name__ for layer in MLP((6,), 2, widths=(4,), batch_norm=True)]
    assert kinds == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LeNet5((1, 8, 8)), r"^sample_shape: .*LeNet5 takes images of 12x12 or more"),
        (lambda: LeNet5(dropout=1.0), r"^dropout: must be in \[0, 1\), got 1\.0"),
        (lambda: VGG8(dropout=-0.1), r"^dropout: must be"),
        (lambda: MLP((3,), 2, widths=(4, 0)), r"^widths: must be at least 1, got 0"),
        *((partial(kind, num_classes=-1), r"^num_classes: must be at least 1, got -1") for kind in (LeNet5, VGG8)),
        *((partial(kind, num_classes=0), r"^num_classes: must be at least 1, got 0") for kind in (ResNet18, ResNet20)),
        (lambda: MLP((3,), 0), r"^num_classes: must be at least 1, got 0"),
        (lambda: SoftKNN((3,), 0), r"^num_classes: must be at least 1, got 0"),
        (lambda: ResNet20(weights="absent.pt"), r"^weights: absent\.pt: no such file"),
    ],
)
def test_bad_values_are_refused_by_name(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
