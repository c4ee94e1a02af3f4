"""Success of targeted poisons by size of the training set and kind of learning: section III.D of paper *robust*."""

from aal.runs.reading import number
from aal.studies.comparison import AGAINST, ARM, SEEDS, compare, compared
from aal.studies.likeness import papers_figures
from aal.studies.results import Column, Table
from aal.studies.study import Cells, Study, TableKind

SUCCESS = (
    "Attack success: share of the targets that were classified as wanted after training on all samples and the poisons "
    "of one target; those that were misclassified without poisons are not among them."
)
COLUMNS = (
    ARM,
    SEEDS,
    Column("labels", "training samples", counts=True),
    Column("targets", "targets", 1, estimated=True),
    Column("attack_success", "attack success", 3, estimated=True, note=SUCCESS),
    Column("misclassified", "misclassified without poison", 1, estimated=True),
    Column("accuracy", "accuracy", 4, estimated=True),
    *AGAINST,
)


def targets_table(study: Study, cells: Cells) -> Table:
    """Make the table of the success of targeted poisons from runs of ``aal.callbacks.TargetedSets``.

    Args:
        study: The study.
        cells: Finished runs by arm and seed.
    """
    return compared(
        study,
        cells,
        COLUMNS,
        test=lambda row: compare(row, cells, lambda run: number(run.summary, "attack_success")),
        tested="Attack success",
    )


# Its runs have all labels from the first round on: there is nothing to draw over them.
KIND = TableKind(targets_table, papers=tuple(papers_figures("targets")), sections=lambda study, cells, directory: ())
