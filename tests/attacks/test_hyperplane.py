"""The shortest way onto a hyperplane within bounds, against linear and quadratic programs solved by scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor, nn

from aal.attacks import FABT, Attack, DeepFool
from aal.attacks.boundary import onto_hyperplane
from aal.seeds import generator


def cases(n: int = 60, size: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Points, some at the ends of the range; slopes, with some elements 0; and rises, of which some are too far."""
    random = generator(0, "cases")
    x = torch.rand(n, size, generator=random, dtype=torch.float64).mul_(1.4).sub_(0.2).clamp_(0, 1)
    slope = torch.randn(n, size, generator=random, dtype=torch.float64)
    slope[::3, 1] = 0
    rise = torch.randn(n, generator=random, dtype=torch.float64)
    return x, slope, rise


def most(x: Tensor, slope: Tensor, rise: Tensor) -> Tensor:
    """How far the function can rise, or fall, within [0, 1]."""
    w = slope * rise.sign()[:, None]
    return torch.where(w > 0, (1 - x) * w, -x * w).sum(1)


def smallest(x: Tensor, slope: Tensor, rise: Tensor, norm: str) -> float:
    """Solve one case as a program: the smallest norm of d with <slope, d> = rise and 0 <= x + d <= 1."""
    n, w, low, high = len(x), slope.numpy(), -x.numpy(), 1 - x.numpy()
    if norm == "linf":  # over (d, t): the least t with |d_i| <= t
        eye, ones = np.eye(n), np.ones((n, 1))
        found = linprog(
            np.r_[np.zeros(n), 1.0],
            A_ub=np.block([[eye, -ones], [-eye, -ones]]),
            b_ub=np.zeros(2 * n),
            A_eq=np.r_[w, 0.0][None],
            b_eq=[float(rise)],
            bounds=[*zip(low, high, strict=True), (0, None)],
        )
        return float(found.fun)
    found = minimize(
        lambda d: d @ d,
        np.clip(w * float(rise) / (w @ w), low, high),
        jac=lambda d: 2 * d,
        bounds=list(zip(low, high, strict=True)),
        constraints={"type": "eq", "fun": lambda d: w @ d - float(rise), "jac": lambda d: w},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    return math.sqrt(found.fun)


@pytest.mark.parametrize(("norm", "order"), [("linf", math.inf), ("l2", 2.0)])
class TestOntoHyperplane:
    def test_it_is_the_solution_of_the_program(self, norm: str, order: float) -> None:
        x, slope, rise = cases()
        d = onto_hyperplane(x, slope, rise, norm, 0.0, 1.0)
        possible = rise.abs() < most(x, slope, rise)
        assert 20 < possible.sum() < 55, "the case must have both"
        assert ((x + d >= -1e-12) & (x + d <= 1 + 1e-12)).all()
        torch.testing.assert_close((slope * d).sum(1)[possible], rise[possible])
        wanted = [smallest(x[k], slope[k], rise[k], norm) for k in possible.nonzero().squeeze(1).tolist()]
        found = torch.linalg.vector_norm(d[possible], order, dim=1)
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-5, atol=1e-7)

    def test_out_of_reach_it_goes_as_far_as_it_can(self, norm: str, order: float) -> None:
        x, slope, rise = cases()
        d = onto_hyperplane(x, slope, rise * 100, norm, 0.0, 1.0)
        torch.testing.assert_close((slope * d).sum(1), most(x, slope, rise) * rise.sign())
        assert (d[::3, 1] == 0).all(), "what is of no use is not moved"

    def test_without_bounds_it_is_the_closed_form(self, norm: str, order: float) -> None:
        x, slope, rise = cases()
        d = onto_hyperplane(x, slope, rise, norm, -math.inf, math.inf)
        dual = 1.0 if norm == "linf" else 2.0
        wanted = rise.abs() / torch.linalg.vector_norm(slope, dual, dim=1)
        torch.testing.assert_close(torch.linalg.vector_norm(d, order, dim=1), wanted)
        torch.testing.assert_close((slope * d).sum(1), rise)

    def test_no_slope_or_no_rise_is_no_way(self, norm: str, order: float) -> None:
        x, slope, rise = cases()
        for low, high in ((0.0, 1.0), (-math.inf, math.inf)):
            assert (onto_hyperplane(x, 0 * slope, rise, norm, low, high) == 0).all()
            assert (onto_hyperplane(x, slope, 0 * rise, norm, low, high) == 0).all()

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_tiny_and_huge_slopes_keep_their_direction_in_single_precision(
        self, norm: str, order: float, scale: float
    ) -> None:
        x, slope, rise = (tensor.float() for tensor in cases())
        wanted = onto_hyperplane(x, slope, rise, norm, 0.0, 1.0)
        found = onto_hyperplane(x, slope * scale, rise * scale, norm, 0.0, 1.0)
        if scale > 1:
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        else:
            assert found.isfinite().all()

    def test_shapes_do_not_matter(self, norm: str, order: float) -> None:
        x, slope, rise = cases(size=12)
        flat = onto_hyperplane(x, slope, rise, norm, 0.0, 1.0)
        images = onto_hyperplane(x.view(-1, 3, 2, 2), slope.view(-1, 3, 2, 2), rise, norm, 0.0, 1.0)
        assert torch.equal(images.flatten(1), flat)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_move_leads_beyond_what_numbers_can_say(norm: str) -> None:
    slope, rise = torch.tensor([[1e-30, 0.0], [2.0, 0.0]]), torch.tensor([1e9, 1.0])
    moved = onto_hyperplane(torch.zeros(2, 2), slope, rise, norm, -math.inf, math.inf)
    assert moved.tolist() == [[0.0, 0.0], [0.5, 0.0]]


@pytest.mark.parametrize(("attack", "seed"), [(DeepFool(), 0), (FABT(), 22)], ids=["DeepFool", "FABT"])
def test_a_network_that_is_flat_far_out_stops_no_attack_on_data_without_bounds(attack: Attack, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = (nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2))
        network, x = nn.Sequential(*hidden), torch.rand(200, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8)
    y = network(x).argmax(1)
    found = attack(network, x, y, bounds=(-math.inf, math.inf))
    assert found.x.isfinite().all()
    assert torch.equal(found.success, network(found.x).argmax(1) != y)
