"""Theorems 1 and 2 of paper noise: their bound on the adversarial risk beside what is measured of classifiers.

Two Gaussians in the plane, far enough apart that only mislabelled points make a classifier vulnerable. The cover is
four squares around each mean. Theorem 1: risk over the number of training points, of a soft k-NN, at the radius that
serves for any classifier. Theorem 2: risk over the radius, of a Lipschitz classifier, with as many training points as
are required. Writes theorems.csv, radii.csv and theorems.png:

    python scripts/plot_theorems.py --out runs/theorems
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from aal.attacks import PGD
from aal.checks import at_least, positive, probability
from aal.errors import UserError
from aal.networks import SoftKNN
from aal.report.style import CLEAN, MUTED, PALETTE, POISON, POOL, panels, render, style
from aal.runs.files import write_bytes, write_csv
from aal.seeds import generator, sample_seeds
from aal.theory.theorems import attack_radius, chance_bound, cube_masses, required_samples

MU, VARIANCE, RHO = 4.0, 0.4, 0.5
UNBOUNDED = (-math.inf, math.inf)
MOST = 100_000  # training points of Theorem 2
FAILURE = 0.05  # the theorems' delta
BLOCK = 256  # training points whose distances to all are held at once
STEPS = 50  # radii that Theorem 2's attacker is tried at
COLUMNS = ("noise", "n", "bound", "bound_sd", "pgd", "pgd_sd", "move", "move_sd")
RADII = ("noise", "n", "radius", "risk", "risk_sd", "bound", "theorem_1", "theorem_2", "lipschitz")
TOWARDS = PALETTE[3]
SHOWN = {  # what is drawn of Theorem 1: column, name, colour
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


def constants() -> tuple[int, float, float]:
    """Return what the theorems ask of a cover: its number of balls, c1 and c2."""
    masses = cube_masses(cover(), RHO, torch.tensor([[-MU, -MU], [MU, MU]]), VARIANCE)
    return len(masses), float(masses.sum()), float(masses.min()) * len(masses)


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


def nearest(samples: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Return each sample's distance in L-inf to the nearest training point of either label ``(B, 2)``."""
    distances = torch.cdist(samples, x, p=torch.inf)
    return torch.stack([distances.masked_fill(labels[None] != side, torch.inf).amin(1) for side in (0, 1)], 1)


def walked(n: int, noise: float, test: int, seed: int) -> tuple[Tensor, float, float]:
    """Measure Theorem 2 on a noisy training set: its attacker walks towards the nearest mislabelled training point.

    The classifier says ``p_1(x) = 1/2 + clip(kappa / 4 (d_0(x) - d_1(x)), -1/2, 1/2)`` with the distances to the
    nearest training points of either label. A distance has slope 1 at most, so kappa bounds what the probabilities
    change in L1. With g, the least distance of training points with different labels, the margin is
    ``min(1, kappa g / 2)``: the theorem's ``chi / kappa`` is g / 2 at most, which every kappa up to 2 / g gives. The
    class it predicts does not depend on kappa.

    Returns:
        The risk within each of STEPS radii from 0 to 2 RHO, the theorem's radius, and the kappa it is for.
    """
    draw = generator(seed, "theorem 2", n, str(noise))
    x, truth = mixture(n, draw)
    labels = torch.where(torch.rand(n, generator=draw) < noise, 1 - truth, truth)
    samples, wanted = mixture(test, draw)
    gap = min(
        nearest(x[part], x, labels).gather(1, 1 - labels[part, None]).min().item()
        for part in torch.arange(n).split(BLOCK)
    )
    distances = torch.cdist(samples, x, p=torch.inf).masked_fill(labels[None] == wanted[:, None], torch.inf)
    length, at = distances.min(1)
    missed, risks = torch.zeros(test, dtype=torch.bool), []
    for radius in torch.linspace(0, attack_radius(RHO), STEPS):
        share = (radius / length.clamp_min(1e-12)).clamp_max(1)  # of a way that may be infinite
        there = samples + share[:, None] * (x[at] - samples)
        missed |= nearest(there, x, labels).argmin(1) != wanted
        risks.append(missed.double().mean())
    kappa = 2 / gap
    return torch.stack(risks), attack_radius(RHO, margin=min(1.0, kappa * gap / 2), lipschitz=kappa), kappa


def table(noises: Sequence[float], sizes: Sequence[int], k: int, test: int, repeats: int) -> list[tuple[float, ...]]:
    """Return a row of :data:`COLUMNS` for each noise rate and number of training points, mean and spread over draws."""
    balls, c1, c2 = constants()
    rows = []
    for noise in noises:
        print(
            f"noise {noise:g}: c1 {c1:.3f}, {required_samples(balls, noise, c2, FAILURE)} samples for delta {FAILURE}"
        )
        for n in sizes:
            found = torch.tensor([measured(n, noise, k, test, seed) for seed in range(repeats)], dtype=torch.float64)
            (pgd, move), (pgd_sd, move_sd) = found.mean(0).tolist(), found.std(0).tolist()
            rows.append((noise, n, c1 * chance_bound(n, balls, noise, c2), 0.0, pgd, pgd_sd, move, move_sd))
            print("  " + ", ".join(f"{name} {value:.3g}" for name, value in zip(COLUMNS, rows[-1], strict=True)))
    return rows


def radii(noises: Sequence[float], test: int, repeats: int) -> list[tuple[float, ...]]:
    """Return a row of :data:`RADII` for each noise rate and radius, at the number of samples that is required."""
    balls, c1, c2 = constants()
    rows: list[tuple[float, ...]] = []
    for noise in noises:
        n = required_samples(balls, noise, c2, FAILURE)
        risks, theorem_2, kappa = zip(*(walked(n, noise, test, seed) for seed in range(repeats)), strict=True)
        mean, sd = torch.stack(risks).mean(0), torch.stack(risks).std(0)
        bounds = (
            c1 * chance_bound(n, balls, noise, c2),
            attack_radius(RHO),
            sum(theorem_2) / repeats,
            sum(kappa) / repeats,
        )
        print(f"noise {noise:g}, n {n}: " + ", ".join(f"{a} {b:.4g}" for a, b in zip(RADII[5:], bounds, strict=True)))
        for radius, *risk in zip(
            torch.linspace(0, attack_radius(RHO), STEPS).tolist(), mean.tolist(), sd.tolist(), strict=True
        ):
            rows.append((noise, n, radius, *risk, *bounds))
    return rows


def drawn(axes: Axes, own: Tensor, columns: Sequence[str], over: str, what: str, label: str, colour: str) -> None:
    """Draw a column of a table ``(rows, columns)`` over another one, with its spread."""
    along, mean, sd = (own[:, columns.index(name)].numpy() for name in (over, what, f"{what}_sd"))
    axes.plot(along, mean, color=colour, label=label, marker="o" if over == "n" else "", markersize=3)
    axes.fill_between(along, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)


def figure_of(rows: Sequence[tuple[float, ...]], by_radius: Sequence[tuple[float, ...]]) -> Figure:
    """Draw both tables, a panel a noise rate: Theorem 1 in the first ones, Theorem 2 in the others."""
    noises = list(dict.fromkeys(row[0] for row in rows))
    with style():
        figure, grid = panels(2 * len(noises), 3.4, 2.9, columns=len(noises))
        for first, second, noise in zip(grid, grid[len(noises) :], noises, strict=False):
            own = torch.tensor([row for row in rows if row[0] == noise], dtype=torch.float64)
            for name, (label, colour) in SHOWN.items():
                drawn(first, own, COLUMNS, "n", name, label, colour)
            first.set_xscale("log", base=2)
            first.set_title(f"Theorem 1, {noise:.0%} of labels wrong")
            first.set_xlabel("training points", color=MUTED)
            own = torch.tensor([row for row in by_radius if row[0] == noise], dtype=torch.float64)
            drawn(second, own, RADII, "radius", "risk", "moved towards a mislabelled point", TOWARDS)
            bound, _, from_radius, _ = own[0, 5:].tolist()
            second.plot([from_radius, attack_radius(RHO)], [bound, bound], color=CLEAN, linewidth=3)
            second.axvline(from_radius, color=CLEAN, linewidth=0.8, linestyle=":", label="radius of Theorem 2")
            second.set_title(f"Theorem 2, {int(own[0, 1]):,} training points")
            second.set_xlabel("radius of the attack", color=MUTED)
            for axes in (first, second):
                axes.set_ylim(-0.02, 1.02)
        for axes in grid[:: len(noises)]:
            axes.set_ylabel("adversarial risk")
        handles = [*grid[0].get_legend_handles_labels()[0], *grid[-1].get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the tables and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and theorems.png")
    parser.add_argument(
        "--noises", type=float, nargs="+", default=[0.05, 0.1, 0.2], help="rates of wrong labels, up to 1"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024], help="training points")
    parser.add_argument("--k", type=int, default=5, help="neighbours that vote")
    parser.add_argument("--test", type=int, default=500, help="samples to attack")
    parser.add_argument("--repeats", type=int, default=5, help="training sets of each kind, at least 2")
    given = parser.parse_args(arguments)
    try:
        for noise in given.noises:
            positive({"--noises": noise})
            probability({"--noises": noise})
        for size in given.sizes:
            at_least(1, {"--sizes": size})
        at_least(1, {"--k": given.k, "--test": given.test})
        at_least(2, {"--repeats": given.repeats})
        balls, _, c2 = constants()
        for noise in given.noises:
            if (n := required_samples(balls, noise, c2, FAILURE)) > MOST:
                raise UserError(
                    f"--noises: {noise} asks for {float(n):.4g} training points, and at most {MOST:,} are drawn"
                )
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: {given.out} cannot be made a folder ({error.strerror})")
    except UserError as error:
        parser.error(str(error))
    rows = table(given.noises, given.sizes, given.k, given.test, given.repeats)
    by_radius = radii(given.noises, given.test, given.repeats)
    write_csv(given.out / "theorems.csv", COLUMNS, rows)
    write_csv(given.out / "radii.csv", RADII, by_radius)
    write_bytes(given.out / "theorems.png", render(figure_of(rows, by_radius)))


if __name__ == "__main__":
    main()
