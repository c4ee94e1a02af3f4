"""Success of targeted poisons by size of the training set and kind of learning: section III.D of paper *robust*."""

from collections.abc import Mapping

from aal.runs.reading import Run, common, number
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables import robust_paper
from aal.studies.tables.paired import paired_values
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

COLUMNS = (
    Column("arm", "arm"),
    Column("n", "n", counts=True),
    Column("labels", "training set", counts=True),
    Column("targets", "targets", 1, estimated=True),
    Column("attack_success", "attack success", 3, estimated=True),
    Column("misclassified", "misclassified clean", 1, estimated=True),
    Column("accuracy", "accuracy", 4, estimated=True),
    Column("against", printed=False),
    *difference_columns(),
)
SUCCESS = (
    "Attack success: share of the targets that were classified as wanted after training on all samples and the poisons "
    "of one target; those that were misclassified without poisons are not among them."
)


def targets_table(study: Study, cells: Cells) -> Table:
    """Make the table of the success of targeted poisons from runs of ``aal.callbacks.TargetedSets``.

    Args:
        study: The study.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    rows, tests = [], []
    for row in study.rows:
        test = None
        if row.against:
            test = paired_values(row.arm, row.against, _success(cells[row.arm]), _success(cells[row.against]))
            tests.append(test)
        rows.append(_row(row, list(cells[row.arm].values())) | difference(test))
    named = any(row.paper for row in study.rows)
    notes = (UNCORRECTED, SPREAD, SUCCESS, *([NAMED] if named else []))
    return Table(COLUMNS, tuple(rows), tuple(tests), notes, tested="Attack success")


KIND = TableKind(targets_table, papers=tuple(robust_paper.SUCCESS))


def _success(runs: Mapping[int, Run]) -> dict[int, float]:
    """Return the attack's success of the runs that tried a target, by seed."""
    found = {seed: number(run.summary, "attack_success") for seed, run in runs.items()}
    return {seed: success for seed, success in found.items() if success is not None}


def _row(row: Row, runs: list[Run]) -> dict[str, Value]:
    return {
        "arm": row.arm,
        "n": len(runs),
        "labels": common(runs, "labels"),
        "targets": estimate(number(run.summary, "targets") for run in runs),
        "attack_success": estimate(
            (number(run.summary, "attack_success") for run in runs), robust_paper.SUCCESS.get(row.paper or "")
        ),
        "misclassified": estimate(number(run.summary, "misclassified") for run in runs),
        "accuracy": estimate(number(run.summary, "accuracy") for run in runs),
        "against": row.against,
    }
