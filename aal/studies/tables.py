"""The kinds of tables that a study can end in, and making one from a study's folder."""

from dataclasses import replace
from pathlib import Path

from aal.errors import UserError
from aal.studies import (
    budget_table,
    collision_table,
    effort_table,
    flips_table,
    labels_table,
    seconds_table,
    targets_table,
    transfer_table,
)
from aal.studies.runs import Run, read_cells
from aal.studies.study import Cells, Study, TableKind
from aal.studies.table import Table

TABLES: dict[str, TableKind] = {
    "collision": collision_table.KIND,
    "labels": labels_table.KIND,
    "effort": effort_table.KIND,
    "budget": budget_table.KIND,
    "seconds": seconds_table.KIND,
    "transfer": transfer_table.KIND,
    "targets": targets_table.KIND,
    "flips": flips_table.KIND,
}


def study_table(study: Study, directory: Path) -> tuple[Table, dict[str, dict[int, Run]]]:
    """Make a study's table from the finished cells in its folder.

    Args:
        study: The study.
        directory: Its folder.

    Returns:
        The table, and the finished runs by arm and seed that it was made from.

    Raises:
        UserError: A file of a cell is broken, or the study was recorded with a table that no longer exists.
    """
    if study.table not in TABLES:
        raise UserError(f"{directory}: no table {study.table!r}; there is {', '.join(sorted(TABLES))}")
    cells = {arm: read_cells(directory, arm, study.seeds) for arm in study.arms}
    table = TABLES[study.table].make(study, cells)
    return replace(table, notes=(*table.notes, *_copies(cells))), cells


def _copies(cells: Cells) -> list[str]:
    """Return what crafted copies the arms' finished runs trained on, and whether they are of samples or of features."""
    made = {}
    for arm, runs in cells.items():
        for summary in (run.summary for run in runs.values() if "copies_of" in run.summary):
            of = "features, not of samples" if summary["copies_of"] == "features" else "samples"
            made[arm] = f"{arm} of {of}" + (f", by {summary['copies_by']}" if "copies_by" in summary else "")
    return [f"Crafted copies: {'; '.join(made.values())}."] if made else []
