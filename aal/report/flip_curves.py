"""Curves over the positions of sweeps of flipped labels."""

from collections import Counter
from collections.abc import Mapping, Sequence

from aal.report.curves import Panel, mean_curve
from aal.report.flip_outcomes import RANDOM, FlipSelection, level, selections, swept, values
from aal.report.style import PALETTE
from aal.runs.reading import Run


def sweeps_panel(
    title: str, arms: Mapping[str, Mapping[int, Run]], column: str, against: Sequence[str] = (RANDOM,)
) -> Panel:
    """Average a column over seeds and repeats at each position of the sweeps of flipped labels, a curve a sweep.

    A curve's band is a sample standard deviation over seeds and repeats; there is none where a position was tried but
    once. Several arms are told apart by their names.

    Args:
        title: Headline.
        arms: Runs by arm and seed.
        column: The column of a round's record.
        against: Selections without positions whose means are levels to compare with, where there are any.
    """
    sweeps = [(arm, *sweep) for arm, runs in arms.items() for sweep in swept(selections(runs.values())).items()]
    alone, counted = len(arms) == 1, Counter(arm for arm, *_ in sweeps)
    curves = []
    for place, (arm, name, positions) in enumerate(sweeps):
        called = name if alone else arm if counted[arm] == 1 else f"{arm}, {name}"
        found = {one.position or 0.0: list(values(arms[arm], one, column).values()) for one in positions}
        curves.append(mean_curve(called, PALETTE[place % len(PALETTE)], found, place >= len(PALETTE)))
    tried = {(arm, name): values(runs, FlipSelection(name), column) for arm, runs in arms.items() for name in against}
    levels = {name if alone else f"{name}, {arm}": level(of) for (arm, name), of in tried.items()}
    known = {name: mean for name, mean in levels.items() if mean is not None}
    return Panel(title, tuple(filter(None, curves)), known)
