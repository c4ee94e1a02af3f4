"""What tables of studies share: what they measure, rows of estimates, paired tests, a paper's figures, notes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aal.checks import refuse
from aal.runs.reading import Run, common, number
from aal.studies.likeness import Beside, Facts, Figures, facts_of
from aal.studies.paired import ALIKE, PairedTest, paired_test, paired_values
from aal.studies.results import Column, MeanSd, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study

UNCORRECTED = "p is not corrected for the number of rows."
SPREAD = "Mean ±sample standard deviation over n seeds."
DATA = "Samples trained on: in the last round, labels, crafted copies and pseudo-labelled samples."

DIFFERENCE = ("n", "mean", "sd", "t", "p", "remark")  # of a paired test, as the CSV file has it
AT = "columns"  # the setting that lists numbers of labels
ARM, SEEDS = Column("arm", "arm"), Column("n", "n", counts=True)
AGAINST = (Column("against", printed=False), *(Column(f"difference_{key}", printed=False) for key in DIFFERENCE))

Own = Callable[[Row, list[Run], Figures], dict[str, Value]]  # what a table itself puts into a row


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
    paper: Callable[[Beside, Row, Run], Figures] | None = None,
    facts: Callable[[Row, Run], Facts] = lambda row, run: {},
    own: Own = lambda row, runs, figures: {},
    test: Callable[[Row], PairedTest] | None = None,
    tested: str = "Final accuracy",
    notes: Iterable[str] = (SPREAD,),
    more: Callable[[Beside], Iterable[str]] = lambda beside: (),
) -> Table:
    """Make the table of a study with a row for each of the study's, those without a finished run included.

    Args:
        study: The study.
        cells: Finished runs by arm and seed.
        columns: The columns. What ``own`` does not fill in is estimated over the runs, or said as their summaries do.
        paper: Finds the paper's figures for a row by one of its runs; None: those that it names.
        facts: What else that run was, for them to be compared.
        own: Fills in what is the table's own.
        test: Compares the arms of a row that is compared; None: their final accuracy.
        tested: What that test is of.
        notes: Sentences before those of the columns.
        more: Sentences after them, told which of the paper's figures the table has.
    """
    beside = Beside(study.table)
    paper = paper or (lambda beside, row, run: beside.figures(row.arm, row.paper, {**facts_of(run), **facts(row, run)}))
    test = test or (lambda row: paired_test(row.arm, row.group, cells[row.arm], cells[row.group]))
    rows, tests = [], []
    for row in study.rows:
        outcome = test(row) if row.against else None
        runs = list(cells[row.arm].values())
        figures = paper(beside, row, runs[0]) if runs else {}
        known: dict[str, Value] = {"arm": row.arm, "n": len(runs), "against": row.against, **difference(outcome)}
        known |= own(row, runs, figures)
        rows.append({column.key: _value(column, runs, figures, known) for column in columns})
        tests += [outcome] if outcome else []
    return concluded(columns, rows, tests, tested=tested, notes=notes, more=(*beside.notes(), *more(beside)))


def concluded(
    columns: Sequence[Column],
    rows: Sequence[dict[str, Value]],
    tests: Sequence[PairedTest],
    *,
    tested: str,
    notes: Iterable[str],
    more: Iterable[str] = (),
) -> Table:
    """Make the table of finished rows; the arguments are those of :func:`compared`. What a row lacks is empty."""
    rows = [{column.key: _value(column, [], {}, row) for column in columns} for row in rows]
    shown = tuple(
        replace(column, printed=False) if column.sometimes and all(_empty(row[column.key]) for row in rows) else column
        for column in columns
    )
    notes = (UNCORRECTED, *notes, *(column.note for column in shown if column.printed))
    return Table(shown, tuple(rows), tuple(tests), tuple(filter(None, (*notes, *more))), tested)


def accuracy_at(run: Run, labels: int) -> float | None:
    """Return the accuracy of the round trained on just that many labels; None where there was none."""
    return next((number(record, "accuracy") for record in run.rounds if record.get("labels") == labels), None)


def with_queries(run: Run, queries: int, column: str) -> float | None:
    """Return a column of the last round that had cost no more than some queries; None where there was none."""
    within = [record for record in run.rounds if queries_of(record) <= queries]
    return number(within[-1], column) if within else None


def queries_of(record: dict[str, Any]) -> float:
    """Return how many queries a round and those before it had cost; infinitely many where that is not known."""
    known = [number(record, f"queries_{purpose}") for purpose in ("labels", "attack")]
    return float("inf") if None in known else sum(filter(None, known))


def seconds_at(run: Run, labels: int) -> float | None:
    """Return the seconds that the query with just that many labels took; None where there was none."""
    for record in run.rounds:
        queried = number(record, "queried")
        if queried and number(record, "labels") == labels + queried:  # a record has the query before its round
            return number(record, "seconds_query")
    return None


def data(record: dict[str, Any]) -> float | None:
    """Return the effective data that a round was trained on: labels, crafted copies and pseudo-labelled samples."""
    labels = number(record, "labels")
    return None if labels is None else labels + sum(number(record, key) or 0 for key in ("crafted", "pseudo"))


def final_data(run: Run) -> float | None:
    """Return the effective data of a run's last round."""
    return data(run.rounds[-1]) if run.rounds else None


def first_reaching(run: Run, accuracy: float | None) -> dict[str, Any] | None:
    """Return the record of the first round whose accuracy is at least that high; None where there was none."""
    least = float("inf") if accuracy is None else accuracy - ALIKE
    return next((record for record in run.rounds if (number(record, "accuracy") or 0.0) >= least), None)


def check_columns(study: Study, called: str) -> None:
    """Refuse a setting ``columns`` that is not a list of ascending numbers of labels.

    Raises:
        UserError: Says so; the line starts with ``called``.
    """
    columns = study.settings[AT]
    whole = isinstance(columns, list) and all(type(labels) is int and labels > 0 for labels in columns)
    refuse(
        not whole or not columns or columns != sorted(set(columns)),
        f"{called}: settings.{AT} must list numbers of labels, ascending, not {columns!r}",
    )


def _value(column: Column, runs: list[Run], figures: Figures, known: Mapping[str, Value]) -> Value:
    if column.key in known:
        return known[column.key]
    if not column.estimated:
        return common(runs, column.key)
    of = column.of or (lambda run: number(run.summary, column.key))
    return mean_sd((of(run) for run in runs), figures.get(column.key))


def _empty(value: Value) -> bool:
    return value is None or (isinstance(value, MeanSd) and value.mean is None)
