"""Theorems 1 and 2: closed forms, and the proof's inequality by simulation."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch

from aal.errors import UserError
from aal.seeds import generator
from aal.theory.theorems import attack_radius, chance_bound, cube_masses, required_samples, simulate


def exact(masses: list[float], noise: float, n: int) -> float:
    """The probability that each of some disjoint balls holds a mislabelled point, by inclusion and exclusion."""
    return sum(
        (-1) ** size * (1 - noise * sum(chosen)) ** n
        for size in range(len(masses) + 1)
        for chosen in itertools.combinations(masses, size)
    )


def test_required_samples_are_the_theorems() -> None:
    assert required_samples(10, 0.1, 0.5, 0.05) == math.ceil(200 * math.log(200))
    assert required_samples(1, 1.0, 1.0, math.exp(-3.5)) == 4


@pytest.mark.parametrize(("noise", "mass"), [(1e-200, 1e-200), (1e-320, 1.0)])
def test_samples_beyond_counting_are_refused(noise: float, mass: float) -> None:
    with pytest.raises(UserError, match=r"noise: 1e-.* asks for more samples than can be counted"):
        required_samples(10, noise, mass, 0.05)


@pytest.mark.parametrize(
    ("balls", "noise", "mass", "failure"), [(1, 1.0, 1.0, 0.5), (7, 0.03, 0.4, 0.01), (500, 0.2, 0.9, 0.1)]
)
def test_from_the_required_samples_on_the_bound_is_kept(balls: int, noise: float, mass: float, failure: float) -> None:
    n = required_samples(balls, noise, mass, failure)
    assert chance_bound(n, balls, noise, mass) >= 1 - failure
    assert chance_bound(n // 2, balls, noise, mass) < 1 - failure, "half of them would do"


def test_the_bound_is_exact_for_one_ball_and_never_negative() -> None:
    assert chance_bound(5, 1, 0.5, 0.4) == pytest.approx(1 - 0.8**5)
    assert chance_bound(0, 3, 0.5, 0.4) == 0.0
    assert chance_bound(50, 4, 0.25, 0.8) == pytest.approx(1 - 4 * 0.95**50)


@pytest.mark.parametrize(
    ("masses", "noise", "n"),
    [([0.3], 0.2, 20), ([0.25, 0.25, 0.25, 0.25], 0.1, 100), ([0.05, 0.1, 0.3], 0.3, 80), ([0.1] * 6, 1.0, 30)],
)
def test_simulation_is_the_exact_chance_and_above_the_proofs_bound(masses: list[float], noise: float, n: int) -> None:
    trials = 20_000
    found = simulate(torch.tensor(masses), noise, n, trials, generator(0, "trials"))
    truth = exact(masses, noise, n)
    error = 4 * math.sqrt(truth * (1 - truth) / trials)
    assert found == pytest.approx(truth, abs=error)
    assert found >= chance_bound(n, len(masses), noise, min(masses) * len(masses)) - error
    assert 0.1 < truth < 0.999, "a chance that tells nothing"


def test_with_the_required_samples_the_cover_is_mislabelled_as_often_as_promised() -> None:
    masses, noise, failure = torch.tensor([0.02] * 20), 0.1, 0.2
    n = required_samples(20, noise, 0.4, failure)
    assert simulate(masses, noise, n, 4000, generator(1, "trials")) >= 1 - failure
    assert simulate(masses, noise, n // 3, 4000, generator(1, "trials")) < 1 - failure


def test_simulation_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    masses = torch.tensor([0.2, 0.3])
    whole = simulate(masses, 0.2, 40, 1000, generator(2, "trials"))
    monkeypatch.setattr("aal.theory.theorems.DRAWS", 40 * 7)
    assert simulate(masses, 0.2, 40, 1000, generator(2, "trials")) == whole


def test_attack_radii() -> None:
    assert attack_radius(0.3) == 0.6
    assert attack_radius(0.3, margin=1.0) == 0.6
    assert attack_radius(0.3, margin=0.5, lipschitz=2.0) == pytest.approx(0.35)
    assert attack_radius(0.3, margin=1.0, lipschitz=0.1) == 0.0


def test_theorem_2s_radius_reaches_a_mislabelled_point_of_a_lipschitz_classifier_and_no_less_does() -> None:
    """A classifier on the line whose margin falls by 1 a unit from a mislabelled point at 0: kappa is 1, chi is 0.4."""
    margin, kappa, rho = 0.4, 1.0, 0.5

    def wrong(x: float) -> bool:  # p(wrong) - p(right) = 0.4 - |x|
        return margin - kappa * abs(x) > 0

    radius = attack_radius(rho, margin=margin, lipschitz=kappa)
    assert wrong(2 * rho - radius - 1e-9)  # from the far side of the ball
    assert not wrong(2 * rho - radius + 1e-9)


def test_masses_of_cubes_are_those_of_samples() -> None:
    means = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    centres = torch.tensor([[-1.0, -1.0], [0.5, 1.5], [5.0, 5.0]])
    masses = cube_masses(centres, 0.5, means, 0.4)
    draw = generator(0, "samples")
    x = means[torch.randint(2, (200_000,), generator=draw)] + math.sqrt(0.4) * torch.randn(200_000, 2, generator=draw)
    inside = ((x[:, None] - centres).abs() <= 0.5).all(2).double().mean(0)
    torch.testing.assert_close(masses, inside, rtol=0, atol=0.004)
    one = math.erf(0.5 / math.sqrt(2 * 0.4))
    assert float(cube_masses(centres[:1], 0.5, means[:1], 0.4)) == pytest.approx(one**2)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: required_samples(0, 0.1, 0.5, 0.05), "balls: must be at least 1, got 0"),
        (lambda: required_samples(2, 0.0, 0.5, 0.05), "noise: must be above 0, got 0.0"),
        (lambda: required_samples(2, 1.1, 0.5, 0.05), "noise: must be from 0 to 1, got 1.1"),
        (lambda: required_samples(2, 0.1, 1.5, 0.05), "mass: must be from 0 to 1, got 1.5"),
        (lambda: required_samples(2, 0.1, 0.5, 1.0), "failure: must be above 0 and below 1, got 1.0"),
        (lambda: attack_radius(0.0), "rho: must be above 0, got 0.0"),
        (lambda: attack_radius(1.0, margin=1.5), "margin: must be from 0 to 1, got 1.5"),
        (lambda: attack_radius(1.0, lipschitz=0.0), "lipschitz: must be above 0, got 0.0"),
        (lambda: chance_bound(-1, 2, 0.1, 0.5), "n: must be at least 0, got -1"),
        (lambda: simulate(torch.tensor([0.9, 0.2]), 0.1, 5, 5, generator(0, "x")), "masses: must be above 0 and sum"),
        (lambda: simulate(torch.tensor([0.2]), 0.1, 0, 5, generator(0, "x")), "n: must be at least 1, got 0"),
    ],
)
def test_numbers_that_make_no_sense_are_named(call: Callable[[], float], line: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert str(caught.value).startswith(line)
