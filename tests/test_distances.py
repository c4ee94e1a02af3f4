"""Distances that float32 narrows down and float64 settles, against all pairs in float64."""

import math

import pytest
import torch

from aal import distances
from tests.strategies.test_k_center import KINDS, made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 3])
def test_nearest_is_exact_to_the_bit(kind: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "ROWS", 11)
    monkeypatch.setattr(distances, "COLUMNS", 7)
    x, c = made(kind, 60, 40, 9, 0)
    of_x, of_c = torch.arange(60) % classes, torch.arange(40) % classes
    squared = (x.double()[:, None] - c.double()).square().sum(-1)
    assert torch.equal(distances.nearest(x, c), distances.root(squared.amin(1)))
    squared[of_x[:, None] == of_c] = math.inf
    assert torch.equal(distances.nearest(x, c, (of_x, of_c)), distances.root(squared.amin(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_hold_and_leave_few_pairs(kind: str) -> None:
    x, c = (distances.full(points) for points in made(kind, 80, 50, 9, 1))
    frame = distances.Frame.of(x, c)
    squared = (x.double()[:, None] - c.double()).square().sum(-1)
    placed, there = frame.place(x), frame.place(c)
    bound = frame.at_most(placed, there, None)
    assert (bound >= squared.amin(1)).all()
    near = frame.within(placed, there, bound)
    assert near[squared <= bound[:, None]].all()
    if kind in ("any", "offset"):
        assert near.sum() <= 1.1 * len(x)


def test_nothing_to_be_near() -> None:
    assert distances.nearest(torch.zeros(3, 2), torch.zeros(0, 2)).tolist() == [math.inf] * 3
    assert distances.nearest(torch.zeros(0, 2), torch.zeros(0, 2)).shape == (0,)


def test_equal_squares_have_equal_roots() -> None:
    """Distances are compared to the bit: the place in a vector must not tell."""
    squared = torch.rand(1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(101)
    assert set(distances.root(squared).tolist()) == {math.sqrt(float(squared[0]))}


def test_faults_are_of_the_rows_that_are_not_finite() -> None:
    points = torch.tensor([[3e38, -3e38], [0.0, math.nan], [math.inf, math.inf], [-math.inf, 1.0], [1.0, 2.0]])
    assert distances.faults(points).isnan().tolist() == [False, True, True, True, False]
    assert distances.faults(points[:0]).shape == (0,)


def test_precision_of_products_is_as_before_afterwards() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        x, c = made("any", 60, 40, 64, 0)
        squared = (x.double()[:, None] - c.double()).square().sum(-1)
        assert torch.equal(distances.nearest(x, c), distances.root(squared.amin(1)))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
