"""The labeling budget that an accuracy takes, over many repeats: Tables III to V of paper *robust*."""

import math

from aal.runs.reading import Run, common, number
from aal.studies.comparison import AGAINST, ARM, SEEDS, compared, first_reaching
from aal.studies.likeness import Beside, Facts, Figures, papers_figures
from aal.studies.results import Column, MeanSd, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables.effort import (
    TARGET,
    TOLERANCE,
    at_least_so_much,
    check_target,
    reached_by,
    target_of,
    test_of,
)

PAPER = papers_figures("budget")
QUANTILES = {"budget_min": 0.0, "budget_25": 0.25, "budget_50": 0.5, "budget_75": 0.75, "budget_max": 1.0}
TITLES = ("fewest", "lower quartile", "median", "upper quartile", "most")  # of the quantiles
NEEDED = (
    "Labels asked for, initial and discarded ones included, by the first round whose accuracy is at least the target: "
    "mean ±sample standard deviation over the runs that reached it; fewest to most over all runs, ≥: so many runs did "
    "not reach it with as much."
)
EXTRA = "Extra labels: those that examined others until the end of that round."
SECURED = "Secured: labels set aside, which no labeler gives."
COPIES = "Copies of: whether copies were crafted of the samples (input) or of their features."
FOOLED = "Targets fooled: share of runs in which the target ended up misclassified as the attacker wants it."
COLUMNS = (
    ARM,
    SEEDS,
    Column("target", "target", counts=True),
    Column("reached", "reached", counts=True),
    Column("budget", "labels needed", 0, estimated=True, note=NEEDED),
    *(Column(key, title, 0, estimated=True) for key, title in zip(QUANTILES, TITLES, strict=True)),
    Column("extra", "extra labels", 0, estimated=True, sometimes=True, note=EXTRA),
    Column("secured", "secured", counts=True, sometimes=True, note=SECURED),
    Column("copies", "copies of", sometimes=True, note=COPIES),
    Column("fooled", "targets fooled", 2, estimated=True, sometimes=True, note=FOOLED),
    Column("accuracy", "final accuracy", 3, estimated=True),
    *AGAINST,
)


def budget_table(study: Study, cells: Cells) -> Table:
    """Make the table of what an accuracy takes from the finished cells of a study of many seeds.

    Args:
        study: The study; its settings ``target`` and ``tolerance`` are those of
            :func:`aal.studies.tables.effort.effort_table`.
        cells: Finished runs by arm and seed.
    """

    def own(row: Row, runs: list[Run], figures: Figures) -> dict[str, Value]:
        target = target_of(study, row, cells)
        records = [first_reaching(run, target) for run in runs]
        reached = [record for record in records if record is not None]
        most = [most for run in runs if run.rounds and (most := number(run.rounds[-1], "labels")) is not None]
        budget = mean_sd((number(record, "labels") for record in reached), figures.get("budget"))
        return reached_by(runs, target) | {
            "budget": at_least_so_much(budget, [*most]),
            **_quantiles([number(record, "labels") if record else None for record in records], most, figures),
            "extra": mean_sd(number(record, "extra_labels") for record in reached),
            "copies": common(runs, "copies_of"),
            "fooled": mean_sd(number(run.summary, "target_fooled") for run in runs),
        }

    def facts(row: Row, run: Run) -> Facts:
        held = (
            number(run.summary, "pool"),
            number(next(iter(run.rounds), {}), "labels"),
            number(run.summary, "secured"),
        )
        return {"target": target_of(study, row, cells), "training": sum(filter(None, held))}

    def more(beside: Beside) -> list[str]:
        spreads = [f"{name} {PAPER[name]['sd']:g}" for name in beside.shown if "sd" in PAPER[name]]
        return [f"The paper's standard deviations: {', '.join(spreads)}."] if spreads else []

    return compared(
        study,
        cells,
        COLUMNS,
        own=own,
        facts=facts,
        test=lambda row: test_of(row, cells, target_of(study, row, cells)),
        tested="Labels to reach the target",
        notes=(),
        more=more,
    )


KIND = TableKind(budget_table, papers=tuple(PAPER), required=(TARGET,), optional=(TOLERANCE,), check=check_target)


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of values, some of which may be infinite, between neighbours as in the paper's tables."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below if below == above else below + (place % 1) * (above - below)


def _quantiles(budgets: list[float | None], most: list[float], figures: Figures) -> dict[str, Value]:
    """Return the quantiles of all runs' budgets; a run that did not reach the target needs more than it had."""
    values = [math.inf if budget is None else budget for budget in budgets]
    found: dict[str, Value] = {}
    for key, share in QUANTILES.items():
        value = quantile(values, share) if values and len(most) == len(values) else None
        known = value is not None and math.isfinite(value)
        beyond = None if value is None or known else min(most)
        found[key] = MeanSd(value if known else None, None, figures.get(key), beyond)
    return found
