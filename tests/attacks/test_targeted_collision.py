"""The targeted collision against closed forms of its objective, and its own promises."""

import math

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, TargetedCollision
from aal.errors import RunStopped, UserError
from aal.networks import DigitBackbone
from tests.attacks.test_collision import Counted, Linear, digits, inside, norms

EXACT = {"tolerance": 0.0, "steps": 100, "patience": 100}


def attack(model: nn.Module, x: Tensor, target: Tensor | None, **values: float) -> Adversarial:
    return TargetedCollision(**values)(model, x, torch.zeros(len(x)), target=target)


def minimiser(model: Linear, b: Tensor, t: Tensor, beta: float) -> Tensor:
    """Return where ``||A (x - t)||^2 + beta ||x - b||^2`` is least: both gradients cancel."""
    square = model.matrix.detach().T @ model.matrix.detach()
    one = torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square + beta * one, (t @ square + beta * b).T).T


@pytest.mark.parametrize("beta", [0.01, 0.5, 20.0])
@pytest.mark.parametrize("opacity", [0.0, 0.3])
def test_it_finds_the_minimum_of_a_linear_map(beta: float, opacity: float) -> None:
    model, x, t = Linear(6, 4), inside(8, 6), inside(9, 6)[8]
    found = attack(model, x, t, beta=beta, opacity=opacity, **EXACT)
    b = (1 - opacity) * x + opacity * t
    torch.testing.assert_close(found.x, minimiser(model, b, t, beta), atol=1e-3, rtol=0)
    least, reached = (
        norms(model(p) - model(t[None])).detach() ** 2 + beta * norms(p - b) ** 2
        for p in (minimiser(model, b, t, beta), found.x)
    )
    assert (reached <= 1.001 * least).all()
    torch.testing.assert_close(found.info["initial"], norms(model(x) - model(t[None])).detach())
    torch.testing.assert_close(found.info["final"], norms(model(found.x) - model(t[None])).detach())
    torch.testing.assert_close(found.distance, norms(found.x - x))


def test_another_target_a_sample_has_another_minimum() -> None:
    model, x, t = Linear(6, 4), inside(5, 6), inside(10, 6)[5:]
    found = attack(model, x, t, beta=0.5, **EXACT)
    torch.testing.assert_close(found.x, minimiser(model, x, t, 0.5), atol=1e-3, rtol=0)


def test_beta_counts_shares_of_the_range() -> None:
    """The same data in other units: the minimum is the same in those."""
    model, x, t = Linear(6, 4), inside(4, 6), inside(5, 6)[4]
    wide = nn.Sequential(nn.Linear(6, 6, bias=False).double(), model)
    with torch.no_grad():
        wide[0].weight.copy_(torch.eye(6) / 255)
    found = TargetedCollision(beta=0.5, **EXACT)(wide, 255 * x, torch.zeros(4), target=255 * t, bounds=(0.0, 255.0))
    torch.testing.assert_close(found.x / 255, minimiser(model, x, t, 0.5), atol=1e-3, rtol=0)


def test_a_huge_beta_keeps_the_watermarked_base() -> None:
    x, t = inside(4, 6), inside(5, 6)[4]
    kept = attack(Linear(6, 6), x, t, beta=1e9, opacity=0.2)
    torch.testing.assert_close(kept.x, 0.8 * x + 0.2 * t, atol=1e-6, rtol=0)
    assert not kept.success.any()
    assert torch.equal(attack(Linear(6, 6), x, t, opacity=0.2, steps=1).x, torch.lerp(x, t, 0.2))


def test_nothing_leaves_the_range() -> None:
    model, x, t = Linear(6, 4), inside(4, 6), inside(5, 6)[4]
    t[0] = 0.7
    held = TargetedCollision(beta=0.0)(model, x, torch.zeros(4), target=t, bounds=(0.39, 0.71))
    assert held.x.min() >= 0.39
    assert held.x.max() <= 0.71
    assert held.success.all()


@pytest.mark.parametrize("opacity", [0.0, 0.3])
def test_digits_of_another_class_collide_with_the_target_and_keep_their_looks(opacity: float) -> None:
    backbone, x = DigitBackbone(), digits(40)
    target, bases = x[0], x[1:]
    found = attack(backbone, bases, target, beta=0.1, opacity=opacity)
    with torch.no_grad():
        after = norms(backbone(found.x) - backbone(target[None]))
        before = norms(backbone(bases) - backbone(target[None]))
    torch.testing.assert_close(found.info["initial"], before)
    torch.testing.assert_close(found.info["final"], after, atol=1e-4, rtol=1e-4)
    assert after.median() < 0.1 * before.median()
    assert torch.equal(found.success, after <= 0.5 * before)
    assert found.success.float().mean() > 0.9
    assert (norms(found.x - bases) < norms(target - bases)).float().mean() > 0.9, "it became the target itself"


def test_a_small_beta_comes_nearer_and_a_large_one_looks_more_like_the_base() -> None:
    backbone, x = DigitBackbone(), digits(20)
    near, far = (attack(backbone, x[1:], x[0], beta=beta, tolerance=0.0) for beta in (0.01, 30.0))
    assert near.info["final"].mean() < far.info["final"].mean() < far.info["initial"].mean()
    assert far.distance.mean() < near.distance.mean()


def test_the_objective_never_rises_with_more_steps() -> None:
    backbone, x, beta = DigitBackbone().double(), digits(12, torch.float64), 0.1
    last = torch.full((11,), math.inf, dtype=torch.float64)
    for steps in (1, 2, 5, 10, 20, 40):
        found = attack(backbone, x[1:], x[0], beta=beta, steps=steps, tolerance=0.0, patience=1000)
        objective = found.info["final"] ** 2 + beta * found.distance**2
        assert (objective <= last + 1e-9).all(), steps
        last = objective


def test_all_bases_go_through_the_model_at_once_and_the_finished_leave() -> None:
    x, model = inside(6, 6), Linear(6, 6)
    t = x[3].clone()  # its own base is there already
    counted = Counted(model)
    found = attack(counted, x, t, beta=0.0)
    target, bases, *rest = counted.batches
    assert (target, bases) == (1, 6)
    assert rest[0] == 6
    assert rest[-1] < 6
    assert sum(rest) == found.info["iterations"].sum()
    assert torch.equal(found.queries, found.info["iterations"] + 1)
    torch.testing.assert_close(found.x[3], x[3], rtol=0, atol=1e-9)  # products of one row and of six may round apart


def test_no_target_is_an_empty_sample() -> None:
    backbone, x = DigitBackbone(), digits(5)
    assert torch.equal(attack(backbone, x, None).x, attack(backbone, x, torch.zeros_like(x[0])).x)


def test_features_that_are_not_finite_stop_the_run() -> None:
    class Broken(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x[:, :1] > 1, torch.nan, super().forward(x))

    x = inside(5, 6)
    x[3, 0] = 3.0
    with pytest.raises(RunStopped, match=r"samples \[3\]"):
        TargetedCollision()(Broken(6, 6), x, torch.zeros(5), target=inside(6, 6)[5], bounds=(0.0, 4.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta", -1.0),
        ("opacity", 1.0),
        ("opacity", -0.1),
        ("steps", 0),
        ("step_size", 0.0),
        ("momentum", 1.0),
        ("tolerance", math.nan),
        ("patience", 0),
        ("success", math.inf),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^{name}: must be"):
        TargetedCollision(**{name: value})


def test_bad_targets_are_refused() -> None:
    x = inside(4, 6)
    with pytest.raises(UserError, match="target: must be"):
        attack(Linear(6, 6), x, torch.zeros(3, 6))
    with pytest.raises(UserError, match=r"target: x: samples \[0\] are outside"):
        attack(Linear(6, 6), x, torch.full((6,), 2.0))
