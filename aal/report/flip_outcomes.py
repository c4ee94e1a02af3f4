"""What the rounds of runs of flipped labels came to by what was flipped, over seeds and repeats."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aal.runs.reading import Run, number

CLEAN, RANDOM = "clean", "random"  # names that records and configurations have for these selections

Values = Mapping[tuple[int, int], float]  # a quantity by seed and repeat


class FlipSelection(NamedTuple):
    """What a round flipped: by which selector and, in a sweep, at which position."""

    selector: str
    position: float | None = None

    def __str__(self) -> str:
        """What the ledger calls it."""
        return self.selector if self.position is None else f"{self.selector}[{self.position:g}]"


def selection_of(record: Mapping[str, Any]) -> FlipSelection:
    """Return what a round flipped, told its record."""
    return FlipSelection(str(record["selector"]), number(record, "position"))


def selections(runs: Iterable[Run]) -> list[FlipSelection]:
    """Return all that runs flipped: selectors as they come first, the positions of each ascending."""
    found = dict.fromkeys(selection_of(record) for run in runs for record in run.rounds if "selector" in record)
    order = {name: place for place, name in enumerate(dict.fromkeys(selection.selector for selection in found))}
    return sorted(found, key=lambda one: (order[one.selector], -1.0 if one.position is None else one.position))


def swept(known: Iterable[FlipSelection]) -> dict[str, list[FlipSelection]]:
    """Return the selectors that have positions, each with its selections in order."""
    placed = [selection for selection in known if selection.position is not None]
    names = dict.fromkeys(selection.selector for selection in placed)
    return {name: [selection for selection in placed if selection.selector == name] for name in names}


def values(runs: Mapping[int, Run], selection: FlipSelection, column: str) -> dict[tuple[int, int], float]:
    """Return a column of the records of one selection, by seed and repeat; those that lack it are left out.

    Args:
        runs: Runs by seed.
        selection: What was flipped.
        column: Name of the column.
    """
    found = {}
    for seed, run in runs.items():
        for record in run.rounds:
            value = number(record, column)
            if value is not None and "selector" in record and selection_of(record) == selection:
                found[seed, int(record.get("repeat", 0))] = value
    return found


def level(of: Values) -> float | None:
    """Return the mean over seeds and repeats, to be a level that positions are compared with."""
    return sum(of.values()) / len(of) if of else None


def by_seed(of: Values) -> dict[int, float]:
    """Return the mean over repeats of each seed."""
    seeds = dict.fromkeys(seed for seed, _ in of)
    return {seed: statistics.fmean(value for (other, _), value in of.items() if other == seed) for seed in seeds}


def over_repeats(of: Values) -> float | None:
    """Return the sample standard deviation over the repeats of a seed, pooled over seeds; None without repeats."""
    means, seeds = by_seed(of), [seed for seed, _ in of]
    spare = len(seeds) - len(means)
    squares = sum((value - means[seed]) ** 2 for (seed, _), value in of.items())
    return (squares / spare) ** 0.5 if spare else None


def averaged(parts: Iterable[Values]) -> dict[tuple[int, int], float]:
    """Return the mean of several selections for each seed and repeat that all of them have."""
    known = list(parts)
    shared = set.intersection(*(set(part) for part in known)) if known else set()
    return {trial: statistics.fmean(part[trial] for part in known) for trial in sorted(shared)}
