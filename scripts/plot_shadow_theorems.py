"""Theorems 3.1 to 3.3 of paper shadow: where they are sure of a classifier, and from how many training points on.

For each regression function of the beta experiment and each beta: the least number of training points at which a
theorem names a single point of the square, with the best k or h of all; and the area that it names at some numbers,
with that k or h. Constants that the paper leaves open are as :mod:`aal.theory.correct_sets` says; of Theorem 3.3
lambda is the best of some, too. Writes sets.csv, least.csv and theorems.png:

    python scripts/plot_shadow_theorems.py --out runs/shadow_theorems
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aal.checks import at_least, one_of, positive
from aal.errors import UserError
from aal.report.style import CLEAN, MUTED, PALETTE, panels, render, style
from aal.runs.files import write_bytes, write_csv
from aal.theory.boundary_density import BoundaryDensity
from aal.theory.correct_sets import knn_bound, largest_set, least_size, neighbours_to_try
from aal.theory.kernel_bounds import READINGS, kernel_bound, rkhs_bound
from aal.theory.mass_radii import grid, radii_of
from aal.theory.regression_functions import ETAS

DIMENSIONS, FAILURE = 2, 0.05
BANDWIDTHS = [10 ** (-place / 8) for place in range(33)]  # 1 to 0.0001
RIDGES = [10.0**power for power in range(-4, 9)]
TRIED = 60  # numbers of neighbours
FIRST, MOST = 100, 10**9  # training points that a theorem is asked from and to
LEAST = ("eta", "beta", "theorem", "least_n")
SETS = ("eta", "beta", "theorem", "n", "area", "choice")
THEOREMS = ("3.1", "3.2", *(f"3.3 {reading}" for reading in READINGS))


@dataclass(frozen=True)
class Where:
    """A regression function with a density of training points, and where a theorem is asked.

    Attributes:
        eta: The function at the points ``(B,)``.
        bounds: Each theorem's bound at them ``(B,)`` by its name, told n and k, h, or h and lambda.
        choices: What there is to choose from by the theorem's name, told n.
    """

    eta: Tensor
    bounds: dict[str, Callable[[int, float], Tensor]]
    choices: dict[str, Callable[[int], Sequence[float]]]

    def named(self, theorem: str, n: int) -> tuple[float | None, float]:
        """Return the best choice at n, and the share of the points that a theorem names with it."""
        choice, points = largest_set(self.eta, partial(self.bounds[theorem], n), self.choices[theorem](n))
        return choice, float(points.double().mean())

    def says(self, theorem: str, n: int) -> bool:
        """Return whether a theorem names any of the points at n."""
        return bool(self.named(theorem, n)[1])


def asked(name: str, beta: float, floor: float, points: int, cells: int) -> Where:
    """Prepare the theorems for one regression function and density.

    Args:
        name: The function.
        beta: The density's beta.
        floor: Its floor.
        points: Points along each side of the square at which the theorems are asked, its edges among them.
        cells: Cells along each side that the density is summed in.
    """
    function = ETAS[name]
    mu = BoundaryDensity(eta=function, beta=beta, floor=floor, dimensions=DIMENSIONS)
    along = torch.linspace(0, 1, points, dtype=torch.float64)
    x, mesh = torch.cartesian_prod(along, along), grid(cells, DIMENSIONS)
    weights = mu(mesh)
    radii, density = radii_of(x, mesh, weights / weights.sum()), mu(x)

    def knn(n: int, k: float) -> Tensor:
        return knn_bound(radii, n=n, k=int(k), failure=FAILURE, dimensions=DIMENSIONS, lipschitz=function.lipschitz)

    def kernel(n: int, bandwidth: float) -> Tensor:
        return kernel_bound(density, n=n, bandwidth=bandwidth, dimensions=DIMENSIONS, lipschitz=function.lipschitz)

    def rkhs(reading: str, n: int, bandwidth: float) -> Tensor:
        bound = partial(rkhs_bound, density, n=n, bandwidth=bandwidth, reading=reading, dimensions=DIMENSIONS)
        return torch.stack([bound(ridge=ridge, lipschitz=function.lipschitz) for ridge in RIDGES]).amin(0)

    bounds = {"3.1": knn, "3.2": kernel} | {f"3.3 {reading}": partial(rkhs, reading) for reading in READINGS}
    choices: dict[str, Callable[[int], Sequence[float]]] = dict.fromkeys(THEOREMS, lambda n: BANDWIDTHS)
    return Where(function(x), bounds, choices | {"3.1": partial(neighbours_to_try, count=TRIED)})


def tables(
    etas: Sequence[str], betas: Sequence[float], sizes: Sequence[int], floor: float, points: int, cells: int
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the rows of :data:`LEAST` and of :data:`SETS`."""
    least: list[tuple[object, ...]] = []
    sets: list[tuple[object, ...]] = []
    for name in etas:
        for beta in betas:
            where = asked(name, beta, floor, points, cells)
            for theorem in THEOREMS:
                from_n = least_size(partial(where.says, theorem), FIRST, MOST)
                least.append((name, beta, theorem, from_n))
                found = [(n, *where.named(theorem, n)) for n in sizes]
                sets += [(name, beta, theorem, n, area, choice) for n, choice, area in found]
                said = "no n up to 1e9" if from_n is None else f"n = {from_n:,}"
                areas = ", ".join(f"{area:.3f} at {n:.0e}" for n, _, area in found)
                print(f"{name}, beta {beta:g}, Theorem {theorem}: says something from {said}; area {areas}", flush=True)
    return least, sets


@style()
def figure_of(rows: Sequence[tuple[object, ...]]) -> Figure:
    """Draw the area that each theorem names over n, a panel an eta and theorem, a curve a beta."""
    pairs = [*dict.fromkeys((row[0], row[2]) for row in rows)]
    figure, grid_of_axes = panels(len(pairs), 3.6, 2.8, columns=len(THEOREMS))
    betas = [*dict.fromkeys(row[1] for row in rows)]
    for axes, pair in zip(grid_of_axes, pairs, strict=True):
        for place, beta in enumerate(betas):
            own = [row for row in rows if (row[0], row[2], row[1]) == (*pair, beta)]
            colour = CLEAN if not place else PALETTE[(place - 1) % len(PALETTE)]
            axes.plot([row[3] for row in own], [row[4] for row in own], "o-", color=colour, label=f"β = {beta:g}")
        axes.set(xscale="log", ylim=(-0.02, 1.02), title=f"{pair[0]}, Theorem {pair[1]}")
        axes.set_xlabel("training points", color=MUTED)
    figure.legend(handles=grid_of_axes[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=len(betas))
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute, write the tables and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and theorems.png")
    parser.add_argument("--etas", nargs="+", default=[*ETAS], help="regression functions")
    parser.add_argument("--betas", type=float, nargs="+", default=[0.0, 0.5, 1.0, 2.0], help="of the densities")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e3, 1e4, 1e5, 1e6, 1e7], help="training points")
    parser.add_argument("--floor", type=float, default=0.01, help="least |eta - 1/2| that a density counts")
    parser.add_argument("--points", type=int, default=33, help="points a side of the square to ask at, at least 2")
    parser.add_argument("--cells", type=int, default=96, help="cells a side of the square that a density is summed in")
    given = parser.parse_args(arguments)
    try:
        for name in given.etas:
            one_of(tuple(ETAS), {"--etas": name})
        for beta in given.betas:
            at_least(0, {"--betas": beta})
        for size in given.sizes:
            at_least(1, {"--sizes": size})
        positive({"--floor": given.floor})
        at_least(2, {"--points": given.points})
        at_least(1, {"--cells": given.cells})
        given.out.mkdir(parents=True, exist_ok=True)
        sizes = [math.floor(size) for size in given.sizes]
        least, sets = tables(given.etas, given.betas, sizes, given.floor, given.points, given.cells)
    except OSError as error:
        parser.error(f"--out: {given.out} cannot be made a folder ({error.strerror})")
    except UserError as error:
        parser.error(str(error))
    write_csv(given.out / "least.csv", LEAST, least)
    write_csv(given.out / "sets.csv", SETS, sets)
    write_bytes(given.out / "theorems.png", render(figure_of(sets)))


if __name__ == "__main__":
    main()
