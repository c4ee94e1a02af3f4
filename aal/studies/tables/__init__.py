"""The tables that studies end in: each is a file here that has a ``KIND``, and its name is the table's."""

import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from aal.runs.reading import Run, read_cells
from aal.studies.results import Table
from aal.studies.study import Cells, Study, TableKind

TABLES: dict[str, TableKind] = {
    found.name: import_module(f"{__name__}.{found.name}").KIND for found in pkgutil.iter_modules(__path__)
}


def study_table(study: Study, directory: Path) -> tuple[Table, dict[str, dict[int, Run]]]:
    """Make a study's table from the finished cells in its folder.

    Args:
        study: The study.
        directory: Its folder.

    Returns:
        The table, and the finished runs by arm and seed that it was made from.

    Raises:
        UserError: A file of a cell is broken.
    """
    cells = {arm: read_cells(directory, arm, study.seeds) for arm in study.arms}
    table = TABLES[study.table].make(study, cells)
    return replace(table, notes=(*table.notes, *_copies(cells), *_without_row(study))), cells


def _without_row(study: Study) -> list[str]:
    """Say which arms have no row, and what they are for where it is known."""
    uses: dict[str, list[str]] = {arm: [] for arm in study.arms if arm not in {row.arm for row in study.rows}}
    for row in study.rows:
        for name, what in ((row.against, "compared with"), *((arm, "read") for arm in study.arms[row.arm].reads)):
            uses.get(name or "", []).append(what)
    named = (f"{arm} ({', '.join(dict.fromkeys(what))})" if what else arm for arm, what in uses.items())
    return [f"Arms without a row of their own: {', '.join(named)}."] if uses else []


def _copies(cells: Cells) -> list[str]:
    """Return what crafted copies the arms' finished runs trained on, and whether they are of samples or of features."""
    made = {}
    for arm, runs in cells.items():
        for summary in (run.summary for run in runs.values() if "copies_of" in run.summary):
            of = "features, not of samples" if summary["copies_of"] == "features" else "samples"
            made[arm] = f"{arm} of {of}" + (f", by {summary['copies_by']}" if "copies_by" in summary else "")
    return [f"Crafted copies: {'; '.join(made.values())}."] if made else []
