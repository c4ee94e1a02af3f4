"""The labeling budget that an accuracy takes, over many repeats: Tables III to V of paper *robust*."""

import math
from collections.abc import Iterator
from dataclasses import replace

from aal.runs.reading import Run, common, number
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables import robust_paper
from aal.studies.tables.effort import TARGET, TOLERANCE, check_target, needed, target_of, test_of
from aal.studies.tables.table import (
    NAMED,
    UNCORRECTED,
    Column,
    Estimate,
    Table,
    Value,
    difference,
    difference_columns,
    estimate,
)

QUANTILES = {"min": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "max": 1.0}

SOMETIMES = ("extra", "secured", "copies", "fooled")  # columns that people see where any row has something in them
COLUMNS = (
    Column("arm", "arm"),
    Column("n", "n", counts=True),
    Column("target", "target", counts=True),
    Column("reached", "reached", counts=True),
    Column("budget", "labels", 0, estimated=True),
    *(Column(f"budget_{name.strip('%')}", name, 0, estimated=True) for name in QUANTILES),
    Column("extra", "extra labels", 0, estimated=True),
    Column("secured", "secured", counts=True),
    Column("copies", "copies of"),
    Column("fooled", "targets fooled", 2, estimated=True),
    Column("accuracy", "final accuracy", 3, estimated=True),
    Column("against", printed=False),
    *difference_columns(),
)

NEEDED = (
    "Labels asked for, initial and discarded ones included, by the first round whose accuracy is at least the target: "
    "mean ±sample standard deviation over the runs that reached it; quantiles over all runs, ≥: so many runs did not "
    "reach it with as much."
)
NOTES = {
    "extra": "Extra labels: those that examined others until the end of that round.",
    "secured": "Secured: labels set aside, which no labeler gives.",
    "copies": "Copies of: whether copies were crafted of the samples (input) or of their features.",
    "fooled": "Targets fooled: share of runs in which the target ended up misclassified as the attacker wants it.",
}


def budget_table(study: Study, cells: Cells) -> Table:
    """Make the table of what an accuracy takes from the finished cells of a study of many seeds.

    Args:
        study: The study; its settings ``target`` and ``tolerance`` are those of
            :func:`aal.studies.tables.effort.effort_table`.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    rows, tests = [], []
    for row in study.rows:
        target = target_of(study, row, cells)
        test = test_of(row, cells, target) if row.against else None
        rows.append(_row(row, list(cells[row.arm].values()), target) | difference(test))
        tests += [test] if test else []
    columns = tuple(replace(column, printed=False) if _empty(column, rows) else column for column in COLUMNS)
    return Table(columns, tuple(rows), tuple(tests), tuple(_notes(study, columns)), tested="Labels to reach the target")


KIND = TableKind(
    budget_table, papers=tuple(robust_paper.BUDGETS), required=(TARGET,), optional=(TOLERANCE,), check=check_target
)


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of values, some of which may be infinite, between neighbours as in the paper's tables."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below if below == above else below + (place % 1) * (above - below)


def _notes(study: Study, columns: tuple[Column, ...]) -> Iterator[str]:
    printed = {column.key for column in columns if column.printed}
    yield UNCORRECTED
    yield NEEDED
    yield from (note for key, note in NOTES.items() if key in printed)
    named = [row.paper for row in study.rows if row.paper]
    if named:
        yield NAMED
    spreads = [f"{name} {figures['sd']:g}" for name in dict.fromkeys(named) if (figures := robust_paper.BUDGETS[name])]
    if spreads:
        yield f"The paper's standard deviations: {', '.join(spreads)}."


def _empty(column: Column, rows: list[dict[str, Value]]) -> bool:
    """Whether a column that not every study has holds nothing."""
    values = [row[column.key] for row in rows]
    return column.key in SOMETIMES and all(
        value is None or (isinstance(value, Estimate) and value.mean is None) for value in values
    )


def _row(row: Row, runs: list[Run], target: float | None) -> dict[str, Value]:
    records = [needed(run, target) for run in runs]
    reached = [record for record in records if record is not None]
    paper = robust_paper.BUDGETS.get(row.paper or "", {})
    never = robust_paper.NEVER.get(row.paper or "")
    most = [most for run in runs if run.rounds and (most := number(run.rounds[-1], "labels")) is not None]
    mean = estimate((number(record, "labels") for record in reached), paper.get("mean") or never)
    return {
        "arm": row.arm,
        "n": len(runs),
        "target": None if target is None else f"{target:.4f}",
        "reached": f"{len(reached)} of {len(runs)}" if runs and target is not None else None,
        "budget": Estimate(mean.mean, mean.sd, mean.paper, None if mean.mean is not None else min(most, default=None)),
        **_quantiles([number(record, "labels") if record else None for record in records], most, paper),
        "extra": estimate(number(record, "extra_labels") for record in reached),
        "secured": common(runs, "secured"),
        "copies": common(runs, "copies_of"),
        "fooled": estimate(number(run.summary, "target_fooled") for run in runs),
        "accuracy": estimate(number(run.summary, "accuracy") for run in runs),
        "against": row.against,
    }


def _quantiles(budgets: list[float | None], most: list[float], paper: dict[str, float]) -> dict[str, Value]:
    """Return the quantiles of all runs' budgets; a run that did not reach the target needs more than it had."""
    values = [math.inf if budget is None else budget for budget in budgets]
    found: dict[str, Value] = {}
    for name, share in QUANTILES.items():
        value = quantile(values, share) if values and len(most) == len(values) else None
        known = value is not None and math.isfinite(value)
        beyond = None if value is None or known else min(most)
        found[f"budget_{name.strip('%')}"] = Estimate(value if known else None, None, paper.get(name), beyond)
    return found
