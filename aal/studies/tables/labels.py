"""Accuracy at given numbers of labels: Table 1 of paper *dfal*, Table 7 of paper *shadow*."""

from collections.abc import Iterator

from aal.runs.reading import Run, common, number
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables import dfal_paper, shadow_paper
from aal.studies.tables.measures import COLUMNS, accuracy_at, check_columns, final_data
from aal.studies.tables.paired import paired_test
from aal.studies.tables.table import (
    DATA,
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

PAPER = dfal_paper.accuracies() | shadow_paper.accuracies()

MISSING = "—: not every run has a round trained on just that many labels."


def labels_table(study: Study, cells: Cells) -> Table:
    """Make the table of accuracy over labels from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of labels, its rows name the paper's as
            :mod:`aal.studies.tables.dfal_paper` and :mod:`aal.studies.tables.shadow_paper` do.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    at: list[int] = study.settings[COLUMNS]
    columns = (
        Column("arm", "arm"),
        Column("n", "n", counts=True),
        *(Column(f"accuracy_{labels}", f"{labels} labels", 4, estimated=True) for labels in at),
        Column("accuracy", "at the end", 4, estimated=True),
        Column("labels", "labels", counts=True),
        Column("data", "data", 0, estimated=True),
        Column("against", printed=False),
        *difference_columns(),
    )
    rows, tests = [], []
    for row in study.rows:
        test = paired_test(row.arm, row.against, cells[row.arm], cells[row.against]) if row.against else None
        rows.append(_row(row, at, list(cells[row.arm].values())) | difference(test))
        tests += [test] if test else []
    return Table(columns, tuple(rows), tuple(tests), tuple(_notes(study)))


KIND = TableKind(labels_table, papers=tuple(PAPER), required=(COLUMNS,), check=check_columns)


def _row(row: Row, at: list[int], runs: list[Run]) -> dict[str, Value]:
    paper = PAPER[row.paper] if row.paper else {}
    return {
        "arm": row.arm,
        "n": len(runs),
        **{f"accuracy_{n}": estimate((accuracy_at(run, n) for run in runs), paper.get(n)) for n in at},
        "accuracy": estimate((number(run.summary, "accuracy") for run in runs), paper.get(None)),
        "labels": common(runs, "labels"),
        "data": estimate(final_data(run) for run in runs),
        "against": row.against,
    }


def _notes(study: Study) -> Iterator[str]:
    yield UNCORRECTED
    yield f"{SPREAD} {MISSING}"
    yield DATA
    named = [row.paper for row in study.rows if row.paper]
    if named:
        yield NAMED
    settings = dict.fromkeys(name.rpartition("/")[0] for name in named if name not in shadow_paper.accuracies())
    if settings:
        full = ", ".join(f"{setting} {PAPER[f'{setting}/All'][None]:.4f}" for setting in settings)
        yield f"The paper's accuracy with the whole training set: {full}."
