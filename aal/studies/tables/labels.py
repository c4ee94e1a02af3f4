"""Accuracy at given numbers of labels: Table 1 of paper *dfal*, Table 7 of paper *shadow*."""

from functools import partial

from aal.studies.comparison import (
    AGAINST,
    ARM,
    AT,
    DATA,
    SEEDS,
    SPREAD,
    accuracy_at,
    check_columns,
    compared,
    final_data,
)
from aal.studies.likeness import Beside, papers_figures
from aal.studies.results import Column, Table
from aal.studies.study import Cells, Study, TableKind

PAPER = papers_figures("labels")
MISSING = "—: not every run has a round trained on just that many labels."


def labels_table(study: Study, cells: Cells) -> Table:
    """Make the table of accuracy over labels from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of labels.
        cells: Finished runs by arm and seed.
    """
    at = (
        Column(
            f"accuracy_{labels}",
            f"accuracy, {labels} labels",
            4,
            estimated=True,
            of=partial(accuracy_at, labels=labels),
        )
        for labels in study.settings[AT]
    )
    columns = (
        ARM,
        SEEDS,
        *at,
        Column("accuracy", "accuracy at the end", 4, estimated=True),
        Column("labels", "labels at the end", counts=True),
        Column("data", "samples trained on", 0, estimated=True, of=final_data, note=DATA),
        *AGAINST,
    )

    def more(beside: Beside) -> list[str]:
        names = dict.fromkeys(name.rpartition("/")[0] for name in beside.shown)
        whole = [f"{name} {PAPER[f'{name}/All']['accuracy']:.4f}" for name in names if f"{name}/All" in PAPER]
        return [f"The paper's accuracy with the whole training set: {', '.join(whole)}."] if whole else []

    return compared(study, cells, columns, notes=(f"{SPREAD} {MISSING}",), more=more)


KIND = TableKind(labels_table, papers=tuple(PAPER), required=(AT,), check=check_columns)
