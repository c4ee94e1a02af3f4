"""Folding keeps the function to the last digits, is skipped where it would not, and leaves no trace."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from torch.overrides import TorchFunctionMode

from aal.attacks import PGD
from aal.attacks.folding import folded
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead, ResNet20


class Norms(TorchFunctionMode):
    """Counts the batch norms that are computed."""

    count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        self.count += function is F.batch_norm
        return function(*args, **(kwargs or {}))


def norms(model: nn.Module, x: Tensor) -> int:
    with Norms() as mode:
        model(x)
    return mode.count


def lived(model: nn.Module) -> nn.Module:
    """Give a model the statistics of training, in double precision and eval mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean):
                if tensor is not None:
                    nn.init.normal_(tensor, 0.5)
            if module.running_var is not None:
                nn.init.uniform_(module.running_var, 0.01, 4)
    return model.double().eval()


def outputs(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a model says, and a gradient of it by its input."""
    leaf = x.clone().requires_grad_()
    out = model(leaf)
    return out.detach(), torch.autograd.grad(out.sin().sum(), leaf)[0]


def images() -> Tensor:
    return torch.rand(3, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (4, 9)),
        (nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True)), (4, 9, 9)),
        (nn.Sequential(nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6, affine=False)), (4, 5, 5, 5)),
        (nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, dilation=2, groups=2), nn.BatchNorm2d(8, eps=0.1)), (4, 9, 9)),
        (nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6)), (4, 9, 9)),
    ],
    ids=["1d", "no bias, in place", "3d, no weight", "strides and groups", "reflected"],
)
def test_the_function_and_its_gradient_stay_the_same_without_the_norm(model: nn.Module, shape: tuple[int, ...]) -> None:
    lived(model)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = outputs(model, x)
    with folded(model):
        assert norms(model, x) == 0
        torch.testing.assert_close(outputs(model, x), expected, rtol=1e-12, atol=1e-12)
    assert norms(model, x) == 1


def test_every_norm_of_a_resnet_is_folded() -> None:
    model, x = lived(ResNet20()), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    expected = outputs(model, x)
    assert norms(model, x) == 19
    with folded(model):
        assert norms(model, x) == 0
        torch.testing.assert_close(outputs(model, x), expected, rtol=1e-10, atol=1e-12)


def test_a_lightning_module_is_folded() -> None:
    class Small(Backbone):
        feature_size = 6

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten())

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    model = lived(TransferClassifier(Small(), DenseHead(), 3))
    expected = outputs(model, images())
    with folded(model):
        assert norms(model, images()) == 0
        torch.testing.assert_close(outputs(model, images()), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_no_trace_is_left(fails: bool) -> None:
    model = lived(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes = [set(vars(module)) for module in model.modules()]
    expected = model(images())
    try:
        with folded(model):
            assert norms(model, images()) == 0
            assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert attributes == [set(vars(module)) for module in model.modules()]
    assert torch.equal(model(images()), expected)


def test_one_attack_within_another_folds_once() -> None:
    model = lived(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)))
    expected = model(images())
    with folded(model):
        with folded(model):
            torch.testing.assert_close(model(images()), expected, rtol=1e-12, atol=1e-12)
        assert norms(model, images()) == 0
    assert norms(model, images()) == 1


class Wired(nn.Module):
    """One convolution and one batch norm, put together by a function of the two and the input."""

    def __init__(self, wiring: Callable[["Wired", Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.wiring = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), wiring

    def forward(self, x: Tensor) -> Tensor:
        return self.wiring(self, x)


def alone(m: Wired, x: Tensor) -> Tensor:
    return m.norm(m.conv(x))


def beside(m: Wired, x: Tensor) -> Tensor:
    between = m.conv(x)
    return m.norm(between) + between.detach()


def branching(m: Wired, x: Tensor) -> Tensor:
    between = m.conv(x)
    return m.norm(between) if between.mean() > 0 else between


WIRINGS: dict[str, Callable[[Wired, Tensor], Tensor]] = {
    "the convolution twice": lambda m, x: m.norm(m.conv(m.conv(x))),
    "the norm twice": lambda m, x: m.norm(m.norm(m.conv(x))),
    "the convolution beside the norm": beside,
    "another layer between": lambda m, x: m.norm(m.conv(x).relu()),
    "the norm before the convolution": lambda m, x: m.conv(m.norm(x)),
    "a branch that depends on the data": branching,
    "a forward pass that counts": lambda m, x: m.norm(m.conv(x)) / len(x),
}


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_other_wirings_are_left_alone(wiring: Callable[[Wired, Tensor], Tensor]) -> None:
    model = lived(Wired(wiring))
    expected, count = outputs(model, images()), norms(model, images())
    with folded(model):
        assert norms(model, images()) == count
        assert all(torch.equal(*pair) for pair in zip(outputs(model, images()), expected, strict=True))


def train_mode(model: Wired) -> None:
    model.norm.train()


def no_statistics(model: Wired) -> None:
    model.norm = nn.BatchNorm2d(4, track_running_stats=False).double().eval()


def normalised_weight(model: Wired) -> None:
    weight_norm(model.conv)


def own_kind(model: Wired) -> None:
    class Doubled(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model.conv.__class__ = Doubled


def own_forward(model: Wired) -> None:
    original = model.conv.forward
    vars(model.conv)["forward"] = lambda x: 2 * original(x)


def half(model: Wired) -> None:
    model.bfloat16()


def hook_inside(model: Wired) -> None:
    model.conv.register_forward_hook(lambda module, inputs, output: output + 1)


def hook_outside(model: Wired) -> None:
    model.register_full_backward_hook(lambda module, before, after: None)


def compiled(model: Wired) -> None:
    model.conv.compile(backend="eager")


@pytest.mark.parametrize(
    "change",
    [train_mode, no_statistics, normalised_weight, own_kind, own_forward, half, hook_inside, hook_outside, compiled],
)
def test_modules_of_another_kind_are_left_alone(change: Callable[[Wired], None]) -> None:
    plain = lived(Wired(alone))
    with folded(plain):
        assert norms(plain, images()) == 0, "the change makes the difference"
    model = lived(Wired(alone))
    change(model)
    attributes = [set(vars(module)) for module in model.modules()]
    with folded(model):
        assert attributes == [set(vars(module)) for module in model.modules()]


def test_attacks_fold_and_find_the_same() -> None:
    torch.manual_seed(0)
    model = lived(
        nn.Sequential(
            nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 6), nn.BatchNorm2d(5), nn.Flatten()
        )
    )
    y = model(images()).argmax(1)
    with Norms() as mode:
        found = PGD(radius=0.1, norm="l2")(model, images(), y)
    assert mode.count == 0
    handle = model.register_forward_hook(lambda module, inputs, output: None)
    with Norms() as mode:
        expected = PGD(radius=0.1, norm="l2")(model, images(), y)
    handle.remove()
    assert mode.count == 2 * 21
    torch.testing.assert_close(found.x, expected.x, rtol=0, atol=1e-9)
