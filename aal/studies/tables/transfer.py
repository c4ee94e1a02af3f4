"""What one network's queries are worth to another: Table 4 of paper *dfal*."""

from aal.errors import UserError
from aal.runs.reading import Run, class_and_arguments, common, number, part
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables import dfal_paper
from aal.studies.tables.measures import final_data
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

COLUMNS = (
    Column("arm", "arm"),
    Column("strategy", "queries of"),
    Column("source_network", "chosen by"),
    Column("network", "trained"),
    Column("n", "n", counts=True),
    Column("accuracy", "accuracy", 4, estimated=True),
    Column("accuracy_source", "chooser's accuracy", 4, estimated=True),
    Column("labels", "labels", counts=True),
    Column("data", "data", 0, estimated=True),
    Column("source", printed=False),
    Column("against", printed=False),
    *difference_columns(),
)

CHOOSER = "Chooser's accuracy: that of the network which chose the labels, at the end of its own run."


def transfer_table(study: Study, cells: Cells) -> Table:
    """Make the table of replayed runs from the finished cells of a study.

    Args:
        study: The study; the arm of each row replays the cells of one other arm.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    rows, tests = [], []
    for row in study.rows:
        (source,) = study.arms[row.arm].reads
        test = paired_test(row.arm, row.against, cells[row.arm], cells[row.against]) if row.against else None
        rows.append(_row(row, source, cells) | difference(test))
        tests += [test] if test else []
    named = any(row.paper for row in study.rows)
    notes = (UNCORRECTED, SPREAD, CHOOSER, DATA, *([NAMED] if named else []))
    return Table(COLUMNS, tuple(rows), tuple(tests), notes)


def _check(study: Study, called: str) -> None:
    for index, row in enumerate(study.rows):
        if len(study.arms[row.arm].reads) != 1:
            raise UserError(f"{called}: rows[{index}].arm: {row.arm} must read the cells of one other arm (cell:ARM)")


KIND = TableKind(transfer_table, papers=tuple(dfal_paper.TRANSFER), check=_check)


def _row(row: Row, source: str, cells: Cells) -> dict[str, Value]:
    replayed, chosen = (list(cells[arm].values()) for arm in (row.arm, source))
    paper = round(dfal_paper.TRANSFER[row.paper] / 100, 4) if row.paper else None
    return {
        "arm": row.arm,
        "strategy": common(chosen, "strategy"),
        "source_network": _network(chosen),
        "network": _network(replayed),
        "n": len(replayed),
        "accuracy": estimate((number(run.summary, "accuracy") for run in replayed), paper),
        "accuracy_source": estimate(number(run.summary, "accuracy") for run in chosen),
        "labels": common(replayed, "labels"),
        "data": estimate(final_data(run) for run in replayed),
        "source": source,
        "against": row.against,
    }


def _network(runs: list[Run]) -> str | None:
    """Return the class of the network that runs train, or their backbone and head, by the first one's configuration."""
    if not runs:
        return None
    _, model = part(runs[0], "model")
    network, _ = class_and_arguments(model.get("network"))
    backbone, arguments = class_and_arguments(model.get("backbone"))
    named = arguments.get("name") or backbone  # a NamedBackbone is what it is called
    return network or " + ".join(str(text) for text in (named, runs[0].summary.get("head")) if text) or None
