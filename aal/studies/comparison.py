"""What all tables of studies have in common: rows of estimates over seeds, paired tests, a paper's figures, notes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from aal.runs.documents import read_mapping
from aal.runs.reading import Run, common, number
from aal.studies.paired import PairedTest, paired_test, paired_values
from aal.studies.results import Column, MeanSd, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study

PAPERS = Path(__file__).with_name("papers")
UNCORRECTED = "p is not corrected for the number of rows."
SPREAD = "Mean ±sample standard deviation over n seeds."
DATA = "Data: what the last round was trained on: labels, crafted copies and pseudo-labelled samples."
NAMED = "[ ]: the figure that the paper prints under the name in the study's row; the study's note says what differs."

DIFFERENCE = ("n", "mean", "sd", "t", "p", "remark")  # of a paired test, as the CSV file has it
ARM, SEEDS = Column("arm", "arm"), Column("n", "n", counts=True)
AGAINST = (Column("against", printed=False), *(Column(f"difference_{key}", printed=False) for key in DIFFERENCE))

Figures = Mapping[str, float | str]  # a paper's, by the key of the column that they stand in
Own = Callable[[Row, list[Run], Figures], dict[str, Value]]  # what a table itself puts into a row


def papers_figures(table: str) -> dict[str, Figures]:
    """Read what the papers print for a kind of table, by the names that the rows of a study may use for it."""
    printed = [paper[table] for paper in _papers() if table in paper]
    return {
        name: {column: figure for column, figure in zip(one["columns"], row, strict=True) if figure is not None}
        for one in printed
        for name, row in one["rows"].items()
    }


@cache
def _papers() -> list[dict[str, Any]]:
    """Read what all papers print, by the kind of table."""
    return [read_mapping(path) for path in sorted(PAPERS.glob("*.yaml"))]


def named_in(figures: Mapping[str, Figures]) -> Callable[[Row], Figures]:
    """Return what finds the figures that a row names, if it names any."""
    return lambda row: figures.get(row.paper or "", {})


def difference(test: PairedTest | None) -> dict[str, Value]:
    """Return a row's values for the columns of a paired test; none where it is compared with no other arm."""
    return {f"difference_{key}": getattr(test, key) for key in DIFFERENCE if test}


def compare(row: Row, cells: Cells, of: Callable[[Run], float | None], digits: int = 3) -> PairedTest:
    """Compare a quantity of runs of a row's two arms, over the seeds that both have it for."""
    found = [{seed: of(run) for seed, run in cells[arm].items()} for arm in (row.arm, row.group)]
    known = [{seed: value for seed, value in values.items() if value is not None} for values in found]
    return paired_values(row.arm, row.group, *known, digits=digits)


def compared(
    study: Study,
    cells: Cells,
    columns: Sequence[Column],
    *,
    paper: Callable[[Row], Figures],
    own: Own = lambda row, runs, figures: {},
    test: Callable[[Row], PairedTest] | None = None,
    tested: str = "Final accuracy",
    notes: Iterable[str] = (SPREAD,),
    more: Iterable[str] = (),
    named: str = NAMED,
) -> Table:
    """Make the table of a study with a row for each of the study's, those without a finished run included.

    Args:
        study: The study.
        cells: Finished runs by arm and seed.
        columns: The columns. What ``own`` does not fill in is estimated over the runs, or said as their summaries do.
        paper: Finds the paper's figures for a row.
        own: Fills in what is the table's own.
        test: Compares the arms of a row that is compared; None: their final accuracy.
        tested: What that test is of.
        notes: Sentences before those of the columns.
        more: Sentences after them.
        named: Sentence for studies whose rows name a paper's figures.
    """
    test = test or (lambda row: paired_test(row.arm, row.group, cells[row.arm], cells[row.group]))
    rows, tests = [], []
    for row in study.rows:
        outcome = test(row) if row.against else None
        runs, figures = list(cells[row.arm].values()), paper(row)
        known: dict[str, Value] = {"arm": row.arm, "n": len(runs), "against": row.against, **difference(outcome)}
        known |= own(row, runs, figures)
        rows.append({column.key: _value(column, runs, figures, known) for column in columns})
        tests += [outcome] if outcome else []
    return concluded(study, columns, rows, tests, tested=tested, notes=notes, more=more, named=named)


def concluded(
    study: Study,
    columns: Sequence[Column],
    rows: Sequence[dict[str, Value]],
    tests: Sequence[PairedTest],
    *,
    tested: str,
    notes: Iterable[str],
    more: Iterable[str] = (),
    named: str = NAMED,
) -> Table:
    """Make the table of finished rows; the arguments are those of :func:`compared`. What a row lacks is empty."""
    rows = [{column.key: _value(column, [], {}, row) for column in columns} for row in rows]
    shown = tuple(
        replace(column, printed=False) if column.sometimes and all(_empty(row[column.key]) for row in rows) else column
        for column in columns
    )
    notes = (UNCORRECTED, *notes, *(column.note for column in shown if column.printed))
    names = named if any(row.paper for row in study.rows) else ""
    return Table(shown, tuple(rows), tuple(tests), tuple(filter(None, (*notes, names, *more))), tested)


def _value(column: Column, runs: list[Run], figures: Figures, known: Mapping[str, Value]) -> Value:
    if column.key in known:
        return known[column.key]
    if not column.estimated:
        return common(runs, column.key)
    of = column.of or (lambda run: number(run.summary, column.key))
    return mean_sd((of(run) for run in runs), figures.get(column.key))


def _empty(value: Value) -> bool:
    return value is None or (isinstance(value, MeanSd) and value.mean is None)
