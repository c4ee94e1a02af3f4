"""Known regression functions: values, slopes and means by closed forms, by other rules, and by scikit-learn's moons."""

import math
from typing import Any

import pytest
import torch
from sklearn.datasets import make_moons

from aal.errors import UserError
from aal.seeds import generator
from aal.theory.mass_radii import grid
from aal.theory.regression_functions import ETAS, LinearEta, MoonsEta, SineEta, weight_of

every_eta = pytest.mark.parametrize("name", ETAS)


def test_values_by_hand() -> None:
    x = torch.tensor([[0.0, 0.3], [0.25, 0.75], [0.75, 0.25], [1.0, 1.0]])
    torch.testing.assert_close(LinearEta()(x), x[:, 0].double())
    torch.testing.assert_close(SineEta()(x), torch.tensor([0.5 - 0.2 * 2 / 3, 0.5, 0.5, 0.5 + 1 / 3]).double())
    assert LinearEta().bayes(torch.tensor([[0.49], [0.5], [0.51]])).tolist() == [0, 0, 1], "a tie is class 0"


@every_eta
def test_eta_is_a_share_and_has_both_sides(name: str) -> None:
    eta = ETAS[name](grid(200, 2))
    assert eta.dtype == torch.float64
    assert 0 <= float(eta.min()) < 0.03
    assert 0.97 < float(eta.max()) <= 1


@every_eta
def test_further_elements_change_nothing(name: str) -> None:
    x = torch.rand(50, 5, generator=generator(0, "points"), dtype=torch.float64)
    torch.testing.assert_close(ETAS[name](x), ETAS[name](x[:, :2]))


@every_eta
def test_no_slope_is_above_the_largest_and_some_are_near_it(name: str) -> None:
    eta, x = ETAS[name], torch.rand(200_000, 2, generator=generator(0, "points"), dtype=torch.float64)
    x = x[: 10_000 if name == "moons" else None].requires_grad_()
    slopes = torch.autograd.grad(eta(x).sum(), x)[0].norm(dim=1)
    assert 0.98 * eta.lipschitz < float(slopes.max()) < 1.005 * eta.lipschitz


def moons_in_square(noise: float, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, labels = make_moons(n, noise=noise, random_state=0)
    plane = (torch.from_numpy(x) - torch.tensor(MoonsEta.low)) / torch.tensor(MoonsEta.size)
    return plane, torch.from_numpy(labels)


def test_the_moons_are_scikit_learns() -> None:
    """In each cell of the square the share of class 1 among scikit-learn's moons is eta's mean, weighed by density."""
    x, labels = moons_in_square(0.25, 100_000)
    cells = (x * 12).floor().long()
    inside = ((cells >= 0) & (cells < 12)).all(1)
    place = (cells[:, 0] * 12 + cells[:, 1])[inside]
    count = torch.bincount(place, minlength=144).double()
    ones = torch.bincount(place, labels[inside].double(), minlength=144)
    eta = MoonsEta(noise=0.25)(x[inside])
    expected = torch.bincount(place, eta, minlength=144)
    spread = torch.bincount(place, eta * (1 - eta), minlength=144)
    seen = count > 150
    assert seen.sum() > 50
    scores = ((ones - expected)[seen] / spread[seen].clamp_min(1).sqrt()).abs()
    assert float(scores.max()) < 4.5


@every_eta
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_mean_weights_by_another_rule(name: str, beta: float) -> None:
    """The mean over a grid that is not theirs."""
    eta, floor = ETAS[name], 0.05
    x = grid(250 if name == "moons" else 1501, 2)
    wanted = float(weight_of(eta(x), beta, floor).mean())
    assert eta.mean_weight(beta, floor) == pytest.approx(wanted, rel=2e-3)


def test_the_mean_weight_of_a_line_by_hand() -> None:
    line = LinearEta()
    assert line.mean_weight(0.5, 1e-12) == pytest.approx(4 * math.sqrt(0.5), rel=1e-5), (
        "the paper's density has no floor"
    )
    assert line.mean_weight(1, 0.01) == pytest.approx(2 * (1 + math.log(50)))
    assert line.mean_weight(2, 0.01) == pytest.approx(2 * (2 / 0.01 - 2))
    assert line.mean_weight(2, 0.5) == pytest.approx(4), "a floor of 1/2 leaves the uniform density"


@pytest.mark.parametrize(
    ("kind", "arguments", "line"),
    [
        (SineEta, {"amplitude": 0.5}, "amplitude: must be below 0.5, got 0.5"),
        (SineEta, {"amplitude": 0.0}, "amplitude: must be above 0, got 0.0"),
        (SineEta, {"waves": 0}, "waves: must be above 0, got 0"),
        (MoonsEta, {"noise": 0.01}, "noise: must be at least 0.05, got 0.01"),
        (MoonsEta, {"arcs": 1}, "arcs: must be at least 2, got 1"),
    ],
)
def test_functions_that_make_no_sense_are_named(kind: type, arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        kind(**arguments)
    assert str(caught.value) == line
