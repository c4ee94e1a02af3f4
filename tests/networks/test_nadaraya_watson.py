"""The Nadaraya-Watson network against its formula, pair by pair."""

import math

import pytest
import torch
from torch import Tensor

from aal.errors import UserError
from aal.networks import NadarayaWatson
from aal.seeds import generator

FORMULAS = {
    "gaussian": lambda u: math.exp(-(u**2) / 2),
    "epanechnikov": lambda u: max(1 - u**2, 0.0),
    "uniform": lambda u: float(u < 1),
}


def known(points: Tensor, labels: Tensor, kernel: str, h: float, classes: int = 3) -> NadarayaWatson:
    network = NadarayaWatson(tuple(points.shape[1:]), classes, kernel, h)
    network.take_in(points, labels)
    return network


def shares(network: NadarayaWatson, x: Tensor) -> Tensor:
    """Return the shares of the classes by the formula."""
    found = torch.zeros(len(x), network.num_classes, dtype=torch.float64)
    for row, sample in enumerate(x):
        for point, label in zip(network.points, network.labels.tolist(), strict=True):
            found[row, label] += FORMULAS[network.kernel](math.dist(sample.flatten(), point.flatten()) / network.h)
    return found / found.sum(1, keepdim=True).clamp_min(1e-300)


def drawn(n: int, *shape: int) -> tuple[Tensor, Tensor]:
    draw = generator(n, "points")
    return torch.rand(n, *shape, generator=draw, dtype=torch.float64), torch.randint(3, (n,), generator=draw)


@pytest.mark.parametrize("kernel", FORMULAS)
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 3, 2)])
def test_it_is_its_formula(kernel: str, shape: tuple[int, ...]) -> None:
    network = known(*drawn(40, *shape), kernel, 0.3)
    x = drawn(25, *shape)[0]
    logits = network(x)
    torch.testing.assert_close(logits.softmax(1) if kernel == "gaussian" else logits, shares(network, x))
    single = network(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, network(x.float().double()).float())


@pytest.mark.parametrize("kernel", FORMULAS)
def test_blocks_change_nothing(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = known(*drawn(40, 2), kernel, 0.3), drawn(25, 2)[0].requires_grad_()
    wanted = network(x)
    (slope,) = torch.autograd.grad(wanted[:, 1].sum(), x, allow_unused=True)
    monkeypatch.setattr("aal.networks.nadaraya_watson.ELEMENTS", 60)
    monkeypatch.setattr("aal.attacks.soft_vote.ELEMENTS", 60)
    torch.testing.assert_close(network(x), wanted)
    if kernel != "uniform":
        torch.testing.assert_close(torch.autograd.grad(network(x)[:, 1].sum(), x)[0], slope)


@pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
def test_its_gradient_is_that_of_the_formula(kernel: str) -> None:
    network = known(*drawn(20, 2), kernel, 0.4)
    x = drawn(6, 2)[0].requires_grad_()
    assert torch.autograd.gradcheck(network, x)


def test_a_compact_kernel_ends_at_h_and_does_not_reach_it() -> None:
    points, labels = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]]), torch.tensor([2, 1, 1])
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0], [0.0, 2.5]])
    for kernel in ("uniform", "epanechnikov"):
        network = known(points, labels, kernel, 3.0)
        found = network(x)
        assert found[0].tolist() == [0.0, 0.0, 1.0]  # the second point is at 3 exactly
        assert found[2].tolist() == [0.0, 0.0, 0.0]  # nothing within 3: 0 of 0, class 0
        assert found[3, 1] == found[3, 2] == 0.5
        assert found.argmax(1).tolist()[2:] == [0, 1]  # of equal shares the lower class
    assert known(points, labels, "uniform", 3.0)(x)[1].tolist() == [0.0, 0.5, 0.5]


def test_a_gaussian_knows_the_class_however_far_all_points_are() -> None:
    network = known(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 2]), "gaussian", 1e-3)
    x = torch.tensor([[-500.0], [500.0]], requires_grad=True)
    logits = network(x)
    assert logits.isfinite().all()
    assert logits.argmax(1).tolist() == [0, 2]
    assert logits.softmax(1)[:, 1].tolist() == [0.0, 0.0], "class 1 has no points"
    (slope,) = torch.autograd.grad((logits[:, 2] - logits[:, 0]).sum(), x)
    torch.testing.assert_close(slope, torch.full((2, 1), 1e6))  # (1 - 0) / h^2, everywhere


@pytest.mark.parametrize("kernel", FORMULAS)
def test_one_class_duplicates_and_no_points_are_answered(kernel: str) -> None:
    points = torch.full((6, 2), 0.5)
    assert known(points, torch.full((6,), 2), kernel, 0.1)(points).argmax(1).tolist() == [2] * 6
    both = known(points, torch.tensor([1, 2, 2, 1, 1, 2]), kernel, 0.1)(points)
    assert both.argmax(1).tolist() == [1] * 6
    assert torch.equal(NadarayaWatson((2,), 3, kernel)(points), torch.zeros(6, 3))
    wrong = known(points, torch.ones(6).long(), kernel, 0.1)(torch.tensor([[math.nan, 0.5], [0.5, 0.5]]))
    assert wrong.isnan().all(1).tolist() == [True, False]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UserError, match=r"^h: must be above 0, got 0$"):
        NadarayaWatson((2,), 3, h=0)
    with pytest.raises(UserError, match=r"^kernel: must be one of gaussian, epanechnikov, uniform, got 'box'$"):
        NadarayaWatson((2,), 3, "box")
