"""Seconds to select at given numbers of labels: Table 3 of paper *dfal*."""

from aal.runs.reading import Run
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables import dfal_paper
from aal.studies.tables.measures import COLUMNS, check_columns, seconds_at
from aal.studies.tables.paired import PairedTest, paired_values
from aal.studies.tables.table import (
    NAMED,
    SPREAD,
    UNCORRECTED,
    Column,
    Table,
    Value,
    difference,
    difference_columns,
    estimate,
)

MISSING = "—: not every run queried with just that many labels."


def seconds_table(study: Study, cells: Cells) -> Table:
    """Make the table of seconds a query from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of labels at which a query was made.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    at: list[int] = study.settings[COLUMNS]
    columns = (
        Column("arm", "arm"),
        Column("n", "n", counts=True),
        *(Column(f"seconds_{labels}", f"with {labels} labels", 3, estimated=True) for labels in at),
        Column("growth", f"{at[-1]} / {at[0]}", 2, estimated=True),
        Column("against", printed=False),
        *difference_columns(),
    )
    rows, tests = [], []
    for row in study.rows:
        test = _test(row, at[0], cells) if row.against else None
        rows.append(_row(row, at, list(cells[row.arm].values())) | difference(test))
        tests += [test] if test else []
    named = any(row.paper for row in study.rows)
    growth = f"{at[-1]} / {at[0]}: how many times as long the last takes as the first."
    notes = (UNCORRECTED, f"{SPREAD} {MISSING}", growth, *([NAMED] if named else []))
    return Table(columns, tuple(rows), tuple(tests), notes, tested=f"Seconds to select with {at[0]} labels")


KIND = TableKind(seconds_table, papers=tuple(dfal_paper.SECONDS), required=(COLUMNS,), check=check_columns)


def _test(row: Row, labels: int, cells: Cells) -> PairedTest:
    assert row.against is not None
    values: list[dict[int, float]] = []
    for arm in (row.arm, row.against):
        seconds = {seed: seconds_at(run, labels) for seed, run in cells[arm].items()}
        values.append({seed: value for seed, value in seconds.items() if value is not None})
    return paired_values(row.arm, row.against, *values)


def _row(row: Row, at: list[int], runs: list[Run]) -> dict[str, Value]:
    paper = {dfal_paper.SECONDS_LABELS: dfal_paper.SECONDS[row.paper]} if row.paper else {}
    return {
        "arm": row.arm,
        "n": len(runs),
        **{f"seconds_{n}": estimate((seconds_at(run, n) for run in runs), paper.get(n)) for n in at},
        "growth": estimate(_growth(run, at) for run in runs),
        "against": row.against,
    }


def _growth(run: Run, at: list[int]) -> float | None:
    first, last = seconds_at(run, at[0]), seconds_at(run, at[-1])
    return last / first if first and last is not None else None
