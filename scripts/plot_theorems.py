"""Theorem 1 of paper noise: its bound on the adversarial risk beside what is measured of a classifier that fits noise.

The classifier is a soft k-NN on two Gaussians in the plane, far enough apart that only mislabelled points make it
vulnerable. The cover is four squares around each mean. Writes theorems.csv and theorems.png:

    python scripts/plot_theorems.py --out runs/theorems
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aal.attacks import PGD
from aal.files import write_bytes, write_csv
from aal.networks import SoftKNN
from aal.report.style import CLEAN, MUTED, POISON, POOL, panels, render, style
from aal.seeds import generator, sample_seeds
from aal.theorems import attack_radius, chance_bound, cube_masses, required_samples

MU, VARIANCE, RHO = 4.0, 0.4, 0.5
UNBOUNDED = (-math.inf, math.inf)
COLUMNS = ("noise", "n", "bound", "bound_sd", "pgd", "pgd_sd", "move", "move_sd")
SHOWN = {  # what is drawn: column, name, colour
    "bound": ("the theorem's bound, c1 (1 - δ)", CLEAN),
    "move": ("moved onto a mislabelled point", POISON),
    "pgd": ("PGD", POOL),
}


def mixture(n: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw samples ``(n, 2)`` of the mixture and their true labels ``(n,)``."""
    side = torch.randint(2, (n,), generator=draw)
    x = (2 * side[:, None] - 1) * MU + torch.randn(n, 2, generator=draw) * math.sqrt(VARIANCE)
    return x, (x.sum(1) >= 0).long()


def cover() -> Tensor:
    """Return the centres ``(8, 2)`` of squares with half a side RHO: four that meet at each mean."""
    corner = torch.tensor([-RHO, RHO])
    return torch.cat([torch.cartesian_prod(corner, corner) + mean for mean in (-MU, MU)])


def measured(n: int, noise: float, k: int, test: int, seed: int) -> tuple[float, float]:
    """Return two estimates from below of the adversarial risk at radius 2 RHO in L-inf, on one noisy training set.

    Returns:
        PGD's, and that of the proof's attacker, who moves a sample onto a mislabelled training point within reach.
    """
    draw = generator(seed, "theorems", n, str(noise))
    x, truth = mixture(n, draw)
    wrong = torch.rand(n, generator=draw) < noise
    network = SoftKNN((2,), 2, k).eval()
    network.take_in(x, torch.where(wrong, 1 - truth, truth))
    samples, labels = mixture(test, draw)
    radius = attack_radius(RHO)
    attack = PGD(radius=radius, steps=40, restarts=2, early_stop=True)
    fooled = attack(network, samples, labels, bounds=UNBOUNDED, seeds=sample_seeds(seed, "pgd", torch.arange(test)))
    with torch.no_grad():
        missed = network(samples).argmax(1) != labels
        known = network(x).argmax(1)  # it must say there what it was told
    near = torch.cdist(samples, x, p=torch.inf) <= radius
    moved = (near & (known[None] != labels[:, None])).any(1)
    return float((fooled.success | missed).double().mean()), float((moved | missed).double().mean())


def table(noises: Sequence[float], sizes: Sequence[int], k: int, test: int, repeats: int) -> list[tuple[float, ...]]:
    """Return a row of :data:`COLUMNS` for each noise rate and number of training points, mean and spread over draws."""
    masses = cube_masses(cover(), RHO, torch.tensor([[-MU, -MU], [MU, MU]]), VARIANCE)
    balls, c1, c2 = len(masses), float(masses.sum()), float(masses.min()) * len(masses)
    rows = []
    for noise in noises:
        print(f"noise {noise:g}: c1 {c1:.3f}, {required_samples(balls, noise, c2, 0.05)} samples for delta 0.05")
        for n in sizes:
            found = torch.tensor([measured(n, noise, k, test, seed) for seed in range(repeats)], dtype=torch.float64)
            (pgd, move), (pgd_sd, move_sd) = found.mean(0).tolist(), found.std(0).tolist()
            rows.append((noise, n, c1 * chance_bound(n, balls, noise, c2), 0.0, pgd, pgd_sd, move, move_sd))
            print("  " + ", ".join(f"{name} {value:.3g}" for name, value in zip(COLUMNS, rows[-1], strict=True)))
    return rows


def figure_of(rows: Sequence[tuple[float, ...]]) -> Figure:
    """Draw the rows, a panel a noise rate."""
    noises = sorted({row[0] for row in rows})
    with style():
        figure, grid = panels(len(noises), 3.4, 2.9, columns=3)
        for axes, noise in zip(grid, noises, strict=True):
            own = torch.tensor([row for row in rows if row[0] == noise], dtype=torch.float64)
            for name, (label, colour) in SHOWN.items():
                n, mean, sd = (own[:, COLUMNS.index(c)].numpy() for c in ("n", name, f"{name}_sd"))
                axes.plot(n, mean, color=colour, label=label, marker="o", markersize=3)
                axes.fill_between(n, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)
            axes.set_xscale("log", base=2)
            axes.set_ylim(-0.02, 1.02)
            axes.set_title(f"{noise:.0%} of labels wrong")
            axes.set_xlabel("training points", color=MUTED)
        grid[0].set_ylabel("adversarial risk")
        figure.legend(handles=grid[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=len(SHOWN))
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for theorems.csv and theorems.png")
    parser.add_argument("--noises", type=float, nargs="+", default=[0.05, 0.1, 0.2], help="rates of wrong labels")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024], help="training points")
    parser.add_argument("--k", type=int, default=5, help="neighbours that vote")
    parser.add_argument("--test", type=int, default=500, help="samples to attack")
    parser.add_argument("--repeats", type=int, default=5, help="training sets of each kind, at least 2")
    given = parser.parse_args(arguments)
    rows = table(given.noises, given.sizes, given.k, given.test, given.repeats)
    write_csv(given.out / "theorems.csv", COLUMNS, rows)
    write_bytes(given.out / "theorems.png", render(figure_of(rows)))


if __name__ == "__main__":
    main()
