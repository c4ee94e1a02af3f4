"""The tables that a study can end in, and making one from a study's folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

from aal.errors import UserError
from aal.studies.collision_table import collision_table
from aal.studies.runs import Run, read_cells
from aal.studies.study import Row, Study
from aal.studies.table import Table

TABLES: dict[str, Callable[[tuple[Row, ...], Mapping[str, Mapping[int, Run]]], Table]] = {"collision": collision_table}


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
    return TABLES[study.table](study.rows, cells), cells
