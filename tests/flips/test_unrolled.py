"""Unrolled descent against its closed form, and what it holds for the backward pass."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from aal.flips.rehearsal import Weights, descend


class Peak(TorchDispatchMode):
    """Counts the bytes of the tensors that live at a time, of those made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(
        self,
        function: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self.sizes:
                storage = tensor.untyped_storage()
                self.sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.drop, storage._cdata)
        return made

    def drop(self, storage: int) -> None:
        self.now -= self.sizes.pop(storage)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_descent_of_a_parabola_and_its_derivative_are_the_closed_form(momentum: float, recompute: bool) -> None:
    goal = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([5.0, 3.0], dtype=torch.float64)

    def loss(step: int, weights: Weights) -> Tensor:
        return 0.5 * (weights["w"] - goal).square().sum()

    how = {"steps": 7, "learning_rate": 0.3, "momentum": momentum, "recompute": recompute}
    reached = descend(loss, {"w": start}, **how)["w"]  # type: ignore[arg-type]
    error, way = 1.0, 0.0  # share of the initial distance to the goal, which a step multiplies alike in every direction
    for _ in range(7):
        way = momentum * way + error
        error -= 0.3 * way
    torch.testing.assert_close(reached.detach(), goal.detach() + error * (start - goal.detach()))
    (slope,) = torch.autograd.grad(reached.sum(), goal)
    torch.testing.assert_close(slope, torch.full_like(slope, 1 - error))
    assert not start.requires_grad
    assert start.tolist() == [5, 3]


def test_each_step_has_its_own_loss() -> None:
    seen = descend(
        lambda step, weights: weights["w"] * 10.0**step,
        {"w": torch.tensor(0.0)},
        steps=3,
        learning_rate=1.0,
        momentum=0.0,
        recompute=True,
    )
    assert float(seen["w"].detach()) == -111


def held(samples: int, steps: int, recompute: bool) -> tuple[int, Tensor]:
    """Return the most bytes held at a time in unrolling a small network, and the gradient by its labels."""
    draw = torch.Generator().manual_seed(0)
    first, last = torch.randn(20, 30, generator=draw), torch.randn(30, 1, generator=draw)
    labels = torch.zeros(samples, requires_grad=True)

    def loss(step: int, weights: Weights) -> Tensor:
        x = torch.sin(torch.arange(samples * 20).view(samples, 20) * (step + 1.0))
        return ((x @ weights["first"]).tanh() @ weights["last"]).squeeze(1).sub(labels).square().mean()

    with Peak() as peak:
        weights = descend(
            loss,
            {"first": first, "last": last},
            steps=steps,
            learning_rate=0.01,
            momentum=0.9,
            recompute=recompute,
        )
        weights["last"].sum().backward()  # type: ignore[no-untyped-call]
    assert labels.grad is not None
    return peak.most, labels.grad


def test_recomputing_changes_no_gradient_and_holds_one_step_at_a_time() -> None:
    (less, recomputed), (more, kept) = held(1000, 20, True), held(1000, 20, False)
    torch.testing.assert_close(recomputed, kept)
    assert kept.abs().max() > 0
    assert less < more / 5


def test_a_further_step_costs_two_copies_of_the_weights_and_further_samples_one_step_of_them() -> None:
    copies = 2 * 4 * (20 * 30 + 30)  # bytes of weights and directions
    ten, thirty, larger = held(100, 10, True)[0], held(100, 30, True)[0], held(400, 30, True)[0]
    assert thirty - ten <= 20 * copies * 1.05
    one_step = held(400, 1, False)[0] - held(100, 1, False)[0]
    assert larger - thirty <= 2 * one_step
    assert held(400, 30, False)[0] - held(100, 30, False)[0] > 15 * one_step
