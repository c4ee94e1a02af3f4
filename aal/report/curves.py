"""Curves over the number of labels, a radius or a position: accuracy, and the share of poison among the queries."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from aal.report.page import Picture, figure_picture
from aal.report.style import MUTED, ink, panels, style
from aal.runs.reading import Run, number

GAP = 0.062  # least distance of two labels at the ends of curves, in heights of the panel
NEAR = 0.02  # how far from its curve's end a name may stand without a line that leads to it
ALMOST = 1e-9  # what a tick may be above 1 by rounding
MANY = 5  # curves above which a panel is made higher

Found = Mapping[float | None, float | None]  # a quantity by another, as a run's records have them


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


def record_curve(
    name: str, colour: str, runs: Iterable[Run], column: str = "accuracy", *, dashed: bool = False
) -> Curve | None:
    """Average a column of the rounds' records over labels given (initial ones included); None where no round has it."""
    found = ({number(record, "labels"): number(record, column) for record in run.rounds} for run in runs)
    return _over_runs(name, colour, found, dashed)


def poison_curve(name: str, colour: str, runs: Iterable[Run], *, dashed: bool = False) -> Curve | None:
    """Average the share of poison among the queries so far, over queries so far; None where no run was poisoned.

    The share is cumulative since that of a single query, with one label a query, is either 0 or 1.
    """
    return _over_runs(name, colour, map(_poison_shares, runs), dashed)


def mean_curve(name: str, colour: str, found: Mapping[float, Sequence[float]], dashed: bool = False) -> Curve | None:
    """Average what was found at each of some numbers, a curve over them; None where nothing was.

    Args:
        name: What stands at its end.
        colour: Its colour, as hex.
        found: Values by number, ascending.
        dashed: Whether its line is dashed.

    Returns:
        The curve. Its band is a sample standard deviation; there is none where a number has but one value.
    """
    known = {x: torch.tensor(tried, dtype=torch.float64) for x, tried in found.items() if tried}
    if not known:
        return None
    mean = torch.stack([tried.mean() for tried in known.values()])
    spread = all(len(tried) > 1 for tried in known.values())
    sd = torch.stack([tried.std() for tried in known.values()]) if spread else None
    return Curve(name, colour, torch.tensor(list(known), dtype=torch.float64), mean, sd, dashed)


def rounds_picture(
    run: Run, name: str, columns: Mapping[str, tuple[str, str]], text: str, *, least: int = 1
) -> tuple[Picture, ...]:
    """Draw accuracies of a run over labels into its page, and into a file.

    Args:
        run: The run.
        name: The file's name.
        columns: Colour and column of each curve by its name.
        text: What is drawn.
        least: Rounds that a curve has at least; others are not drawn.
    """
    curves = [record_curve(called, colour, [run], column) for called, (colour, column) in columns.items()]
    drawn = tuple(curve for curve in curves if curve is not None and len(curve.x) >= least)
    return figure_picture(run.folder, name, accuracy_figure([Panel("", drawn)]), text)


def expected_share(run: Run) -> dict[str, float]:
    """Return the level of random queries, N / (pool + N) of poison; none for a run that was not poisoned."""
    poisons, pool = number(run.summary, "poisons"), number(run.summary, "pool") or 0.0
    return {"random": poisons / (pool + poisons)} if poisons else {}


def accuracy_figure(groups: Sequence[Panel]) -> Figure | None:
    """Draw accuracy against labels: mean over seeds with a band of one sample standard deviation."""
    return curves_figure(groups, "labels given, initial ones included", "test accuracy")


def poison_figure(groups: Sequence[Panel]) -> Figure | None:
    """Draw the share of poison among the queries so far, with the random expectation as a dotted line."""
    return curves_figure(groups, "labels queried", "share of poison among queries", share=True)


@style()
def curves_figure(
    groups: Sequence[Panel],
    x_label: str,
    y_label: str,
    *,
    share: bool = False,
    whole: bool = True,
    apart: bool = False,
    log: bool = False,
) -> Figure | None:
    """Draw curves, a panel a group that has any; None where no group has.

    Args:
        groups: The panels.
        x_label: What the curves are over.
        y_label: What they are of.
        share: Whether both scales begin at 0, and that of a share ends at 1.
        whole: Whether the numbers below are whole.
        apart: Whether each panel has a scale of its own, and each point its mark.
        log: Whether the scale below is of logarithms.
    """
    groups = [group for group in groups if group.curves]
    if not groups:
        return None
    many = any(len(group.curves) > MANY for group in groups)
    figure, grid = panels(len(groups), 5.2, 4.4 if many else 3.4)
    for axes, group in zip(grid, groups, strict=True):
        axes.set_xscale("log" if log else "linear")
        for curve in group.curves:
            _plot(axes, curve, marked=apart)
        low, high = _limits([group] if apart else groups, share)
        axes.set(ylim=(low, high), title=group.title, xlabel=x_label, ylabel=y_label)
        axes.set(
            xlim=(0 if share else None, None), yticks=[tick for tick in axes.get_yticks() if low <= tick <= 1 + ALMOST]
        )
        if not log:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
        for height in group.levels.values():
            axes.axhline(height, color=MUTED, linewidth=1.2, linestyle=":")
        _label_ends(axes, group)
    return figure


def _poison_shares(run: Run) -> Found:
    """Return the share of poison among a run's queries so far, by their number."""
    found = [(number(record, "labels"), number(record, "poison_queried")) for record in run.rounds]
    initial = found[0][0] if found else None
    return {
        labels - initial: poisons / (labels - initial)
        for labels, poisons in found
        if initial is not None and labels is not None and poisons is not None and labels > initial
    }


def _over_runs(name: str, colour: str, found: Iterable[Found], dashed: bool) -> Curve | None:
    """Average over runs what each has, where it has both numbers."""
    series = [dict(sorted((x, y) for x, y in one.items() if x is not None and y is not None)) for one in found]
    known = [one for one in series if one]
    shared = sorted(set.intersection(*map(set, known))) if known else []
    curve = mean_curve(name, colour, {x: [one[x] for one in known] for x in shared}, dashed)
    if curve is None or all(len(one) == len(shared) for one in known):
        return curve
    points = (torch.tensor(list(one.items()), dtype=torch.float64).unbind(1) for one in known)
    return replace(curve, runs=tuple((x, y) for x, y in points))


def _limits(groups: Sequence[Panel], share: bool) -> tuple[float, float]:
    """Return limits of y for panels: all of 0 to 1 for a share, what accuracy needs otherwise."""
    if share:
        return -0.02, 1.04
    ends = [level for group in groups for level in group.levels.values()]
    for curve in (curve for group in groups for curve in group.curves):
        sd = torch.zeros(()) if curve.sd is None else curve.sd
        ends += torch.cat([curve.mean - sd, curve.mean + sd, *(own for _, own in curve.runs)]).tolist()
    return max(-0.02, min(ends) - 0.05), min(1.02, max(ends) + 0.05)


def _plot(axes: Axes, curve: Curve, marked: bool) -> None:
    marker = "o" if marked or len(curve.x) == 1 else None  # a line through one point is invisible
    dashes, x = "--" if curve.dashed else "-", curve.x.numpy()
    axes.plot(x, curve.mean.numpy(), dashes, color=curve.colour, marker=marker, label=curve.name)
    for own_x, own in curve.runs:
        axes.plot(own_x.numpy(), own.numpy(), dashes, color=curve.colour, linewidth=0.8, alpha=0.5)
    if curve.sd is not None:
        band = (curve.mean - curve.sd).numpy(), (curve.mean + curve.sd).numpy()
        axes.fill_between(x, *band, color=curve.colour, alpha=0.16, linewidth=0)


def _label_ends(axes: Axes, group: Panel) -> None:
    """Name each curve at its end, moving names apart where ends are close; a line leads from an end to a moved name."""
    low, high = axes.get_ylim()
    curves = [(float(curve.mean[-1]), curve.name, ink(curve.colour), float(curve.x[-1])) for curve in group.curves]
    ends = sorted([*curves, *((level, name, MUTED, math.nan) for name, level in group.levels.items())])
    heights = _apart([(end - low) / (high - low) for end, *_ in ends])
    for height, (end, name, colour, x) in zip(heights, ends, strict=True):
        short = x < 0.9 * axes.get_xlim()[1]  # of a mean that ends before some of its runs do
        if (abs(height - (end - low) / (high - low)) > NEAR or short) and not math.isnan(x):
            axes.add_artist(
                ConnectionPatch(
                    (x, end),
                    (1.012, height),
                    "data",
                    "axes fraction",
                    axesA=axes,
                    axesB=axes,
                    color=colour,
                    linewidth=0.6,
                    alpha=0.7,
                )
            )
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
    upward = [*itertools.accumulate(ends, lambda below, end: max(end, below + GAP))]
    # What stands above the panel pushes the names below it down again.
    downward = itertools.accumulate(reversed(upward), lambda above, height: min(height, above - GAP), initial=1.0 + GAP)
    return [*downward][:0:-1]
