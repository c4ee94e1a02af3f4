"""The kinds of tables that a study can end in, and making one from a study's folder."""

from dataclasses import replace
from pathlib import Path

from aal.errors import UserError
from aal.runs.reading import Run, read_cells
from aal.studies.study import Cells, Study, TableKind
from aal.studies.tables import budget, collision, effort, flips, labels, seconds, targets, transfer
from aal.studies.tables.table import Table

TABLES: dict[str, TableKind] = {
    "collision": collision.KIND,
    "labels": labels.KIND,
    "effort": effort.KIND,
    "budget": budget.KIND,
    "seconds": seconds.KIND,
    "transfer": transfer.KIND,
    "targets": targets.KIND,
    "flips": flips.KIND,
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
