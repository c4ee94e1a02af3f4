"""Curves over the number of labels, a radius or a position: accuracy, and the share of poison among the queries."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from aal.report.style import MUTED, ink, panels, style
from aal.runs.reading import Run, number

GAP = 0.062  # least distance of two labels at the ends of curves, in heights of the panel
NEAR = 0.02  # how far from its curve's end a name may stand without a line that leads to it
MANY = 5  # curves above which a panel is made higher


@dataclass(frozen=True)
class Curve:
    """A quantity over labels, or over something else, averaged over the runs of an arm.

    Attributes:
        name: What stands at its end.
        colour: Its colour, as hex.
        x: Numbers of labels ``(T,)`` that every run had, or radii, or positions.
        mean: Mean over runs ``(T,)``.
        sd: Sample standard deviation over runs ``(T,)``; None for a single run.
        dashed: Whether its line is dashed, which tells apart what colours no longer can.
        runs: Where runs ended at different numbers of labels, each of them in full as ``x`` and values ``(T,)``: the
            mean goes only as far as the shortest.
    """

    name: str
    colour: str
    x: Tensor
    mean: Tensor
    sd: Tensor | None
    dashed: bool = False
    runs: tuple[tuple[Tensor, Tensor], ...] = ()


@dataclass(frozen=True)
class Panel:
    """Curves that are compared with each other.

    Attributes:
        title: Headline; may be empty.
        curves: The curves, in the order of the legend.
        levels: Levels to compare with by name, such as the random expectation.
    """

    title: str
    curves: tuple[Curve, ...]
    levels: Mapping[str, float] = field(default_factory=dict)


def accuracy_curve(name: str, colour: str, runs: Iterable[Run], *, dashed: bool = False) -> Curve | None:
    """Average test accuracy over labels given (initial ones included); None where no round has it."""
    return record_curve(name, colour, runs, "accuracy", dashed=dashed)


def record_curve(name: str, colour: str, runs: Iterable[Run], column: str, *, dashed: bool = False) -> Curve | None:
    """Average a column of the rounds' records over labels given; None where no round has it."""

    def point(first: dict[str, Any], record: dict[str, Any]) -> tuple[float | None, float | None]:
        return number(record, "labels"), number(record, column)

    return _average(name, colour, [_series(run, point) for run in runs], dashed)


def poison_curve(name: str, colour: str, runs: Iterable[Run], *, dashed: bool = False) -> Curve | None:
    """Average the share of poison among the queries so far, over queries so far; None where no run was poisoned.

    The share is cumulative since that of a single query, with one label a query, is either 0 or 1.
    """
    return _average(name, colour, [_series(run, _poison_share) for run in runs], dashed)


def expected_share(run: Run) -> dict[str, float]:
    """Return the level of random queries, N / (pool + N) of poison; none for a run that was not poisoned."""
    poisons, pool = number(run.summary, "poisons"), number(run.summary, "pool")
    if poisons is None or pool is None or pool + poisons <= 0:
        return {}
    return {"random": poisons / (pool + poisons)}


def accuracy_figure(groups: Sequence[Panel]) -> Figure:
    """Draw accuracy against labels: mean over seeds with a band of one sample standard deviation."""
    return _draw(groups, "labels given, initial ones included", "test accuracy", share=False)


def poison_figure(groups: Sequence[Panel]) -> Figure:
    """Draw the share of poison among the queries so far, with the random expectation as a dotted line."""
    return _draw(groups, "labels queried", "poison among queries so far", share=True)


def radius_figure(groups: Sequence[Panel], y_label: str) -> Figure:
    """Draw what is left at each radius of an attack; the radii need not be whole numbers."""
    return _draw(groups, "radius, in the units of the samples", y_label, share=True, whole=False)


def position_figure(groups: Sequence[Panel], x_label: str, y_label: str) -> Figure:
    """Draw an accuracy against the position of what was flipped, each panel on a scale of its own."""
    return _draw(groups, x_label, y_label, share=False, apart=True)


def _poison_share(first: dict[str, Any], record: dict[str, Any]) -> tuple[float | None, float | None]:
    labels, initial, poisons = number(record, "labels"), number(first, "labels"), number(record, "poison_queried")
    if labels is None or initial is None or poisons is None or labels <= initial:
        return None, None
    return labels - initial, poisons / (labels - initial)


Point = Callable[[dict[str, Any], dict[str, Any]], tuple[float | None, float | None]]


def _series(run: Run, point: Point) -> dict[float, float]:
    pairs = [point(run.rounds[0], record) for record in run.rounds]
    return {x: y for x, y in pairs if x is not None and y is not None}


def _average(name: str, colour: str, series: list[dict[float, float]], dashed: bool) -> Curve | None:
    known = [one for one in series if one]
    if not known:
        return None
    x = sorted(set.intersection(*(set(one) for one in known)))
    if not x:
        return None
    values = torch.tensor([[one[at] for at in x] for one in known], dtype=torch.float64)
    sd = values.std(0) if len(known) > 1 else None
    uneven = any(len(one) > len(x) for one in known)
    apart = [torch.tensor(sorted(one.items()), dtype=torch.float64) for one in known] if uneven else []
    runs = tuple((points[:, 0], points[:, 1]) for points in apart)
    return Curve(name, colour, torch.tensor(x, dtype=torch.float64), values.mean(0), sd, dashed, runs)


def _draw(
    groups: Sequence[Panel], x_label: str, y_label: str, *, share: bool, whole: bool = True, apart: bool = False
) -> Figure:
    with style():
        many = any(len(group.curves) > MANY for group in groups)
        figure, grid = panels(len(groups), 5.2, 4.4 if many else 3.4)
        for axes, group in zip(grid, groups, strict=True):
            for curve in group.curves:
                _plot(axes, curve, marked=apart)
            low, high = _limits([group] if apart else groups, share)
            axes.set_ylim(low, high)
            axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1])  # there is no 102 %
            axes.set_xlim(left=0 if share else None)
            axes.set_title(group.title)
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None if apart else 0))
            for level in group.levels.values():
                axes.axhline(level, color=MUTED, linewidth=1.2, linestyle=":")
            _label_ends(axes, group)
    return figure


def _limits(groups: Sequence[Panel], share: bool) -> tuple[float, float]:
    """Return limits of y for panels: all of 0 to 1 for a share, what accuracy needs otherwise."""
    if share:
        return -0.02, 1.04
    curves = [curve for group in groups for curve in group.curves]
    spread = [torch.zeros_like(curve.mean) if curve.sd is None else curve.sd for curve in curves]
    levels = [level for group in groups for level in group.levels.values()]
    levels += [float(end) for curve in curves for _, own in curve.runs for end in own.aminmax()]
    low = min([*(float((curve.mean - sd).min()) for curve, sd in zip(curves, spread, strict=True)), *levels])
    high = max([*(float((curve.mean + sd).max()) for curve, sd in zip(curves, spread, strict=True)), *levels])
    return max(-0.02, low - 0.05), min(1.02, high + 0.05)


def _plot(axes: Axes, curve: Curve, marked: bool) -> None:
    marker = "o" if marked or len(curve.x) == 1 else None  # a line through one point is invisible
    dashes = "--" if curve.dashed else "-"
    x, mean = curve.x.tolist(), curve.mean.tolist()
    axes.plot(x, mean, dashes, color=curve.colour, marker=marker, label=curve.name)
    for own_x, own in curve.runs:
        axes.plot(own_x.tolist(), own.tolist(), dashes, color=curve.colour, linewidth=0.8, alpha=0.5)
    if curve.sd is not None:
        low, high = (curve.mean - curve.sd).tolist(), (curve.mean + curve.sd).tolist()
        axes.fill_between(x, low, high, color=curve.colour, alpha=0.16, linewidth=0)


def _label_ends(axes: Axes, group: Panel) -> None:
    """Name each curve at its end, moving names apart where ends are close; a line leads from an end to a moved name."""
    low, high = axes.get_ylim()
    ends = [
        (float(curve.mean[-1] - low) / (high - low), curve.name, ink(curve.colour), float(curve.x[-1]))
        for curve in group.curves
    ]
    ends += [((level - low) / (high - low), name, MUTED, math.nan) for name, level in group.levels.items()]
    ends.sort()
    for height, (end, name, colour, x) in zip(_apart([end for end, *_ in ends]), ends, strict=True):
        short = x < 0.9 * axes.get_xlim()[1]  # of a mean that ends before some of its runs do
        if (abs(height - end) > NEAR or short) and not math.isnan(x):
            axes.add_artist(_leader(axes, (x, low + end * (high - low)), height, colour))
        axes.annotate(
            name,
            (1.0, height),
            (9, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )


def _apart(ends: list[float]) -> list[float]:
    """Move ascending heights apart by ``GAP``, none above 1 where they can all be below."""
    heights: list[float] = []
    for end in ends:
        heights.append(max(end, heights[-1] + GAP) if heights else end)
    over = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for index in range(len(heights) - 1, -1, -1):  # what stands above the panel pushes the names below it down again
        limit = heights[index + 1] - GAP if index + 1 < len(heights) else heights[index] - over
        heights[index] = min(heights[index], limit)
    return heights


def _leader(axes: Axes, end: tuple[float, float], height: float, colour: str) -> ConnectionPatch:
    """Return the line from a curve's end, in the data's units, to the left of its name."""
    return ConnectionPatch(
        end, (1.012, height), "data", "axes fraction", axesA=axes, axesB=axes, color=colour, linewidth=0.6, alpha=0.7
    )
