"""Curves of flipped labels: an accuracy over the positions of a sweep, and how long paths are in each class."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from aal.report.curves import Curve, mean_curve
from aal.report.flip_outcomes import FlipSelection, Values, values
from aal.report.style import CLEAN, POISON, POOL, panels, style
from aal.runs.reading import Run

BINS = 25  # bars of a distribution, about
ACROSS = 5  # distributions beside each other


def position_curve(
    name: str,
    colour: str,
    runs: Mapping[int, Run],
    positions: Sequence[FlipSelection],
    column: str,
    dashed: bool = False,
) -> Curve | None:
    """Average a column over seeds and repeats at each position of a sweep; None where no round has it.

    Args:
        name: What stands at its end.
        colour: Its colour, as hex.
        runs: Runs by seed.
        positions: The sweep's selections in order.
        column: Name of the column.
        dashed: Whether its line is dashed.

    Returns:
        The curve. Its band is a sample standard deviation over seeds and repeats; there is none where a position was
        tried but once.
    """
    found = {one.position or 0.0: list(values(runs, one, column).values()) for one in positions}
    return mean_curve(name, colour, found, dashed)


def level(of: Values) -> float | None:
    """Return the mean over seeds and repeats, to be a level that positions are compared with."""
    return sum(of.values()) / len(of) if of else None


@style()
def paths_figure(steps: Tensor, arrived: Tensor, labels: Tensor) -> Figure:
    """Draw the distribution of the number of steps of adversarial paths, a panel a class (Figures 4.6a and 4.7).

    Args:
        steps: Steps of each path, int64 ``(N,)``, at least one path.
        arrived: Whether it arrived, bool ``(N,)``.
        labels: The class that it led from ``(N,)``.
    """
    edges, classes = path_bins(steps).tolist(), labels.unique().tolist()
    figure, grid = panels(len(classes), 2.2, 1.8, ACROSS)
    for axes, label in zip(grid, classes, strict=True):
        parts = [steps[(labels == label) & kind].double().tolist() for kind in (arrived, ~arrived)]
        axes.hist(parts, edges, stacked=True, color=[CLEAN, POISON])
        axes.axvline(float(steps[labels == label].double().quantile(0.5)), color=POOL, linewidth=1.2, linestyle=":")
        axes.set(title=f"class {label}", xlabel="steps")
    for axes in grid[::ACROSS]:
        axes.set(ylabel="training points")
    return figure


def path_bins(steps: Tensor) -> Tensor:
    """Return edges of bars that each hold the same whole numbers of steps, from 0 to the longest path."""
    longest = int(steps.max())
    width = max(1, -(-(longest + 1) // BINS))
    return torch.arange(0, longest + 1 + width, width).double() - 0.5
