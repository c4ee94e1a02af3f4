"""Densities that lean to the boundary: they integrate to one, and what is drawn is of them."""

from typing import Any

import pytest
import torch
from scipy import stats

from aal.errors import UserError
from aal.seeds import generator
from aal.theory.boundary_density import PROPOSALS, BoundaryDensity
from aal.theory.mass_radii import grid
from aal.theory.regression_functions import ETAS

every_eta = pytest.mark.parametrize("name", ETAS)


def made(name: str, **arguments: Any) -> BoundaryDensity:
    return BoundaryDensity(eta=ETAS[name], **arguments)


@every_eta
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_the_density_integrates_to_one(name: str, beta: float) -> None:
    """The mean over midpoints that are not those of the constant."""
    density = made(name, beta=beta, floor=0.05)
    assert float(density(grid(250 if name == "moons" else 1501, 2)).mean()) == pytest.approx(1, abs=2e-3)


def test_densities_by_hand() -> None:
    x = torch.tensor([[0.5, 0.5], [0.505, 0.5], [0.75, 0.5], [1.0, 0.5]])
    density = made("linear", beta=2.0, floor=0.01)
    constant = 1 / (2 * (200 - 2))
    wanted = constant * torch.tensor([10_000, 10_000, 16, 4.0]).double()
    torch.testing.assert_close(density(x), wanted)
    assert torch.equal(made("sine")(x), torch.ones(4).double()), "beta 0 is uniform"
    assert density.acceptance == pytest.approx(396 / 10_000)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_what_is_drawn_of_a_line_has_its_distribution_function(beta: float) -> None:
    """Kolmogorov and Smirnov against the distance to the boundary, whose distribution is known by hand."""
    density = made("linear", beta=beta, floor=0.02)
    x = density.draw(20_000, generator(0, "draw", int(10 * beta)))
    u = (x[:, 0] - 0.5).abs()

    def below(u: Any) -> Any:  # noqa: ANN401 - of NumPy's arrays
        u = torch.as_tensor(u)
        inner, ratio = u.clamp_max(0.02) * 0.02**-beta, u.clamp_min(0.02)
        outer = (ratio / 0.02).log() if beta == 1 else (ratio ** (1 - beta) - 0.02 ** (1 - beta)) / (1 - beta)
        return (2 * density.constant * (inner + outer)).numpy()

    assert stats.kstest(u.numpy(), below).pvalue > 0.01
    assert stats.kstest(x[:, 1].numpy(), "uniform").pvalue > 0.01
    assert stats.binomtest(int((x[:, 0] > 0.5).sum()), len(x)).pvalue > 0.01


@every_eta
def test_what_is_drawn_lies_in_cells_as_the_density_says(name: str) -> None:
    density = made(name, beta=1.0, floor=0.05)
    n, cells = 20_000, 8
    x = density.draw(n, generator(0, "cells"))
    counts = torch.bincount((x * cells).long() @ torch.tensor([cells, 1]), minlength=cells**2)
    fine = density(grid(cells * 30, 2)).reshape(cells, 30, cells, 30).mean((1, 3)).flatten()
    assert stats.chisquare(counts.numpy(), (fine / fine.sum() * n).numpy()).pvalue > 0.01
    uniform = (counts - n / cells**2).square().sum() / (n / cells**2)
    assert float(uniform) > 1000, "a uniform draw would pass"


def test_more_dimensions_are_uniform() -> None:
    x = made("sine", beta=2.0, floor=0.05, dimensions=4).draw(5000, generator(0, "draw"))
    assert x.shape == (5000, 4)
    assert all(stats.kstest(x[:, axis].numpy(), "uniform").pvalue > 0.01 for axis in (2, 3))
    assert float((ETAS["sine"](x) - 0.5).abs().median()) < 0.08


def test_a_larger_draw_begins_with_the_smaller_one() -> None:
    density = made("linear", beta=1.0, floor=0.01)
    few, many = (density.draw(n, generator(3, "draw")) for n in (100, PROPOSALS // 4))
    assert torch.equal(many[:100], few)
    assert not torch.equal(density.draw(100, generator(4, "draw")), few)


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("linear", {"beta": -1.0}, "beta: must be at least 0, got -1.0"),
        ("linear", {"floor": 0.0}, "floor: must be above 0, got 0.0"),
        ("linear", {"floor": 0.6}, "floor: must be at most 0.5, the most that eta is from 1/2, got 0.6"),
        ("sine", {"dimensions": 1}, "dimensions: SineEta needs at least 2, got 1"),
        (
            "linear",
            {"beta": 2.0, "floor": 1e-5},
            "floor: with beta 2 a floor of 1e-05 accepts fewer than one point in 10,000; take a larger floor",
        ),
    ],
)
def test_densities_that_make_no_sense_are_named(name: str, arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        made(name, **arguments)
    assert str(caught.value) == line
