"""Theorems 3.1 to 3.3: by hand, on a line, and at which n they name a point."""

import math
from functools import partial
from typing import Any

import pytest
import torch

from aal.errors import UserError
from aal.theory.boundary_density import BoundaryDensity
from aal.theory.correct_sets import (
    correct,
    deviation,
    knn_bound,
    largest_set,
    least_size,
    mass_of_neighbours,
    neighbours_to_try,
)
from aal.theory.kernel_bounds import cone_integral, hoeffding_failure, kernel_bound, rkhs_bound
from aal.theory.mass_radii import Radii, grid, radii_of
from aal.theory.regression_functions import ETAS

SQUARE = torch.tensor([[0.5, 0.5], [0.0, 0.5], [0.0, 0.0], [0.4, 0.6]]).double()


def uniform(centres: torch.Tensor, cells: int) -> Radii:
    mesh = grid(cells, centres.shape[1])
    return radii_of(centres, mesh, torch.full((len(mesh),), 1 / len(mesh), dtype=torch.float64))


def test_c_0_and_delta_p_by_hand() -> None:
    assert deviation(1000, 50, 2, 0.05) == pytest.approx(
        math.sqrt((math.log(4) + math.log(1e9 + 1) + math.log(20)) / 100)
    )
    spread = 2 * math.log(1000) + math.log(20)
    wanted = 0.05 + 3 / 1000 * (spread + math.sqrt(50 * spread))
    assert mass_of_neighbours(1000, 50, 2, 0.05, universal=3) == pytest.approx(wanted)
    assert mass_of_neighbours(1000, 50, 2, 0.05, universal=0) == 0.05
    as_printed = mass_of_neighbours(1000, 50, 2, 0.05, universal=deviation(1000, 50, 2, 0.05))
    assert mass_of_neighbours(1000, 50, 2, 0.05) == as_printed
    assert deviation(10**18, 1, 20, 0.5) < 100, "n^(d + 1) is beyond a float"


@pytest.mark.parametrize("p", [0.01, 0.1, 0.19])
def test_r_p_of_a_uniform_square_is_that_of_a_disk(p: float) -> None:
    """In the middle, half of one at an edge, a quarter in a corner."""
    found = uniform(SQUARE[:3], 160).at(p)
    wanted = torch.tensor([p, 2 * p, 4 * p]).div(math.pi).sqrt().double()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1 / 160)


def test_r_p_of_a_few_points_by_hand() -> None:
    points, weights = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0.25, 0.25, 0.5])
    radii = radii_of(torch.tensor([[0.0], [2.0]]), points, weights)
    assert [radii.at(p).tolist() for p in (0.25, 0.26, 0.5, 0.75, 1.0)] == [
        [0.0, 1.0],
        [1.0, 1.0],
        [1.0, 1.0],
        [3.0, 1.0],
        [3.0, 2.0],
    ]
    assert radii.at(1.1).tolist() == [math.inf, math.inf]
    with pytest.raises(UserError, match="weights: must be at least 0 and sum to 1"):
        radii_of(points, points, weights * 2)


def test_r_p_leans_to_where_the_mass_is() -> None:
    mesh = grid(100, 2)
    weights = BoundaryDensity(eta=ETAS["linear"], beta=1.0, floor=0.02)(mesh)
    near, far = radii_of(torch.tensor([[0.5, 0.5], [0.05, 0.5]]), mesh, weights / weights.sum()).at(0.05).tolist()
    _, same = uniform(torch.tensor([[0.5, 0.5], [0.05, 0.5]]).double(), 100).at(0.05).tolist()
    assert near < same < far, "C_beta falls as beta grows: far from the boundary balls grow"


def test_theorem_3_1_on_a_line_by_hand() -> None:
    """With eta = x and uniform points a ball of mass p is p / 2 wide to each side, and p at an end."""
    n, k = 4000, 1000
    x = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    points = correct(x[:, 0], knn_bound(uniform(x, 4000), n=n, k=k, dimensions=1, lipschitz=1.0, universal=0.0))
    p, noise = k / n, math.sqrt((2 * math.log(2) + math.log(n**2 + 1) + math.log(20)) / (2 * k))
    wanted = [abs(at - 0.5) - max(p / 2, p - min(at, 1 - at)) > noise for at in x[:, 0].tolist()]
    assert points.tolist() == wanted
    assert 0 < sum(wanted) < len(wanted) - 50


def test_theorem_3_1_is_empty_in_two_dimensions_at_a_thousand_points() -> None:
    """Of a line in the square the points at the edges come first, with half a disk around them."""

    def named(n: int, k: int) -> bool:
        mass = mass_of_neighbours(n, k, 2, 0.05)
        return 0.5 - math.sqrt(2 * mass / math.pi) > deviation(n, k, 2, 0.05)

    assert not any(named(1000, k) for k in range(1, 1001))
    least = next(n for n in range(2300, 2600) if any(named(n, k) for k in range(1, n, 5)))
    along = torch.linspace(0, 1, 9, dtype=torch.float64)
    x = torch.cartesian_prod(along, along)
    radii = uniform(x, 96)

    def points(n: int) -> tuple[float | None, torch.Tensor]:
        bound = lambda k: knn_bound(radii, n=n, k=int(k), dimensions=2, lipschitz=1.0)  # noqa: E731
        return largest_set(ETAS["linear"](x), bound, neighbours_to_try(n))

    assert points(1000)[0] is None
    assert not points(1000)[1].any()
    assert least_size(lambda n: bool(points(n)[1].any())) == pytest.approx(least, rel=0.03)
    k, found = points(10_000)
    assert k is not None
    assert set(x[found, 0].tolist()) == {0.0, 0.125, 0.875, 1.0}


@pytest.mark.parametrize("least", [1, 2, 3, 100, 12_345])
def test_the_least_size_is_found(least: int) -> None:
    assert least_size(lambda n: n >= least) == least
    assert least_size(lambda n: n >= least, first=100) == max(least, 100)
    assert least_size(lambda n: n >= least, most=50) == (least if least <= 50 else None)


def test_the_largest_set_is_that_of_the_best_choice() -> None:
    eta = torch.tensor([0.1, 0.4, 0.9])
    best, points = largest_set(eta, lambda h: torch.tensor([h, 1 - h, 0.35]), [0.1, 0.95, 0.5])
    assert (best, points.tolist()) == (0.1, [True, False, True])
    assert neighbours_to_try(3) == [1, 2, 3]
    assert neighbours_to_try(10**6)[-1] == 10**6


def test_theorem_3_2_by_hand() -> None:
    density = torch.tensor([1.0, 4.0, 0.01])
    n, h, t = 100_000, 0.1, math.log(100_000) ** 2
    found = kernel_bound(density, n=n, bandwidth=h, dimensions=2, lipschitz=1.5, constant=1.0)
    assert found.tolist() == [
        pytest.approx(0.15 + 2 * t / (1000 - t)),
        pytest.approx(0.15 + 2 * t / (4000 - t)),
        math.inf,
    ]
    assert cone_integral(1) == pytest.approx(1.0)
    assert cone_integral(2) == pytest.approx(math.pi / 3)
    assert cone_integral(3) == pytest.approx(math.pi / 3)
    default = kernel_bound(density, n=n, bandwidth=h, dimensions=2, lipschitz=1.5)
    assert default[0] == pytest.approx(0.15 + 2 * t / (1000 * math.pi / 3 - t))


def test_the_chance_in_the_proof_of_theorem_3_2_gets_worse() -> None:
    chances = [hoeffding_failure(n) for n in (10**4, 10**6, 10**9, 10**12)]
    assert chances == sorted(chances)
    assert chances[-1] == pytest.approx(2, abs=1e-3)
    assert chances[1] > 1.8, "a chance of at least 1 - 2 of being right"


def test_theorem_3_3_by_hand() -> None:
    density, n, h, ridge = torch.tensor([4.0]), 10_000, 0.5, 25.0
    t, size = math.log(n) ** 2, 20.0  # the root of n / ridge
    shared: dict[str, Any] = {"n": n, "bandwidth": h, "ridge": ridge, "dimensions": 2, "lipschitz": 0.2}
    shared |= {"constant": 1.0, "norm": 3.0}
    first = 2 * t / (10_000 - t)
    printed = first + 0.1 + 3 / (0.5 * (2500 - t)) * size
    proof = first + 0.1 * size + 25 * 3 / (0.5 * (10_000 - t)) * size
    assert rkhs_bound(density, **shared).tolist() == [pytest.approx(printed)]
    assert rkhs_bound(density, **shared, reading="proof").tolist() == [pytest.approx(proof)]
    assert rkhs_bound(density / 1e6, **shared).tolist() == [math.inf]


def test_theorem_3_3_as_printed_likes_any_larger_lambda_and_as_proved_names_no_point() -> None:
    x = grid(21, 2)
    eta, density = ETAS["linear"](x), torch.ones(len(x))
    shared: dict[str, Any] = {"dimensions": 2, "lipschitz": 1.0}
    printed = [rkhs_bound(density, n=10**6, bandwidth=0.1, ridge=10.0**power, **shared)[0].item() for power in range(9)]
    assert printed == sorted(printed, reverse=True)
    for power in range(3, 16, 3):
        for ridge in (10.0**exponent for exponent in range(-6, 16)):
            bounds = [
                rkhs_bound(density, n=10**power, bandwidth=h, ridge=ridge, reading="proof", **shared)
                for h in (0.03, 0.3, 1)
            ]
            for h, bound in zip((0.03, 0.3, 1), bounds, strict=True):
                assert float(bound.min()) > 2 * math.sqrt(1 / cone_integral(2)) / h * (1 - 1e-9)
                assert not correct(eta, bound).any()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (partial(deviation, 10, 11, 2, 0.05), "k: must be at most n, 10, got 11"),
        (partial(deviation, 10, 0, 2, 0.05), "k: must be at least 1, got 0"),
        (partial(deviation, 10, 1, 2, 1.0), "failure: must be above 0 and below 1, got 1.0"),
        (partial(mass_of_neighbours, 10, 1, 2, 0.5, -1.0), "universal: must be at least 0, got -1.0"),
        (
            partial(kernel_bound, torch.ones(1), n=10, bandwidth=0.0, dimensions=2, lipschitz=1.0),
            "bandwidth: must be above 0, got 0.0",
        ),
        (
            partial(rkhs_bound, torch.ones(1), n=9, bandwidth=1.0, ridge=0.0, dimensions=2, lipschitz=1.0),
            "ridge: must be above 0, got 0.0",
        ),
        (partial(least_size, bool, first=10, most=9), "most: must be at least 10, got 9"),
    ],
)
def test_numbers_that_make_no_sense_are_named(call: partial[object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert str(caught.value) == line
