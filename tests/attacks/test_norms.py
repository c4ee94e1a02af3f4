"""The three functions of each norm, against their definitions."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from aal.attacks.norms import NORMS, any_norm
from aal.errors import UserError
from aal.seeds import generator

ORDERS = {"linf": math.inf, "l2": 2.0, "l1": 1.0}


def numbers(*shape: int, purpose: str = "numbers") -> Tensor:
    return torch.randn(*shape, generator=generator(0, purpose), dtype=torch.float64)


@pytest.mark.parametrize("name", list(NORMS))
class TestEveryNorm:
    def test_size_is_the_norm(self, name: str) -> None:
        d = numbers(5, 3, 2, 2)
        torch.testing.assert_close(NORMS[name].size(d), torch.linalg.vector_norm(d.flatten(1), ORDERS[name], dim=1))

    def test_random_points_fill_the_ball_and_stay_in_it(self, name: str) -> None:
        x, seeds = torch.zeros(4000, 1, 1, 2, dtype=torch.float64), torch.arange(4000)
        d = NORMS[name].random(x, 0.7, seeds, 0)
        sizes = NORMS[name].size(d)
        assert d.shape == x.shape
        assert sizes.max() <= 0.7
        # uniform in two dimensions: a share of (1/2)**2 lies within half the radius, and the mean is 0
        assert abs(float((sizes < 0.35).double().mean()) - 0.25) < 0.03
        assert d.mean(0).abs().max() < 0.02
        assert abs(float((d[:, 0, 0, 0] * d[:, 0, 0, 1]).mean())) < 0.01

    def test_the_steepest_step_has_its_length_and_ascends_most(self, name: str) -> None:
        gradient, x = numbers(6, 3, 2, 2), torch.zeros(6, 3, 2, 2, dtype=torch.float64)
        norm = NORMS[name]
        step = norm.steepest(gradient.clone(), 0.3, x, -9.0, 9.0)
        dual = {"linf": 1.0, "l2": 2.0, "l1": math.inf}[name]
        torch.testing.assert_close(norm.size(step), torch.full((6,), 0.3, dtype=torch.float64))
        best = 0.3 * torch.linalg.vector_norm(gradient.flatten(1), dual, dim=1)  # Hölder's inequality, with equality
        torch.testing.assert_close((step * gradient).flatten(1).sum(1), best)

    def test_no_gradient_no_step(self, name: str) -> None:
        zero = torch.zeros(2, 1, 2, 2)
        assert torch.equal(NORMS[name].steepest(zero.clone(), 0.3, zero, 0.0, 1.0), zero)

    def test_tiny_gradients_of_single_precision_still_have_a_direction(self, name: str) -> None:
        gradient = numbers(3, 8).float() * 1e-30
        step = NORMS[name].steepest(gradient, 0.5, torch.zeros(3, 8), -1.0, 1.0)
        torch.testing.assert_close(NORMS[name].size(step), torch.full((3,), 0.5))

    def test_projection_is_the_nearest_point_of_the_ball(self, name: str) -> None:
        d, norm = numbers(4, 3), NORMS[name]
        projected = norm.project(d.clone(), 0.6)
        assert (norm.size(projected) <= 0.6 + 1e-12).all()
        for point, found in zip(d, projected, strict=True):
            # any other point of the ball is farther: the solver starts from the answer and from elsewhere
            for start in (found, torch.zeros(3, dtype=torch.float64)):
                constraint = {"type": "ineq", "fun": lambda z: 0.6 - float(norm.size(torch.tensor(z)[None])[0])}
                solved = minimize(
                    lambda z, point=point: float(((torch.tensor(z) - point) ** 2).sum()),
                    start.numpy(),
                    constraints=[constraint],
                )
                assert ((found - point) ** 2).sum() <= solved.fun + 1e-5  # the solver may overstep the ball by 1e-6

    def test_projection_leaves_points_of_the_ball_alone(self, name: str) -> None:
        d = numbers(4, 3) * 0.01
        assert torch.equal(NORMS[name].project(d.clone(), 0.6), d)
        assert torch.equal(NORMS[name].project(d.clone(), 0.0), torch.zeros_like(d))


def test_the_l1_step_spends_its_length_where_the_range_leaves_room() -> None:
    x = torch.tensor([[0.9, 0.5, 0.2]])
    step = NORMS["l1"].steepest(torch.tensor([[3.0, -2.0, 1.0]]), 0.4, x, 0.0, 1.0)
    torch.testing.assert_close(step, torch.tensor([[0.1, -0.3, 0.0]]))


def test_infinite_bounds_leave_room_for_the_whole_l1_step() -> None:
    step = NORMS["l1"].steepest(torch.tensor([[3.0, -2.0]]), 0.4, torch.zeros(1, 2), -math.inf, math.inf)
    torch.testing.assert_close(step, torch.tensor([[0.4, 0.0]]))


def test_an_unknown_norm_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="norm: must be one of linf, l2, l1, got 'l7'"):
        any_norm({"norm": "l7"})
