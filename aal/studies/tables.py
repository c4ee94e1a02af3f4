"""The kinds of tables that a study can end in, and making one from a study's folder."""

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
from aal.studies.study import Study, TableKind
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
    return TABLES[study.table].make(study, cells), cells
