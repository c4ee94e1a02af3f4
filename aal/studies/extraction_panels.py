"""The figures of a study of model extraction: fidelity and accuracy over queries of the victim."""

from pathlib import Path

from aal.report.curves import Panel, curves_figure, mean_curve
from aal.report.page import Section, figure_picture
from aal.report.style import CLEAN, PALETTE
from aal.runs.reading import number
from aal.studies.comparison import AT, with_queries
from aal.studies.results import mean_sd
from aal.studies.study import Cells, Study
from aal.studies.study_page import groups

TEXT = (
    "{} over queries of the victim, for labels and by attacks. Line: mean over seeds; band: ± one sample standard "
    "deviation."
)


def extraction_sections(study: Study, cells: Cells, directory: Path) -> tuple[Section, ...]:
    """Draw fidelity and accuracy over queries, panels for each arm that others are compared with.

    Args:
        study: A study whose table is ``extraction``.
        cells: Finished runs by arm and seed.
        directory: The study's folder.
    """
    named = {"fidelity": "Share of test samples with the victim's label", "accuracy": "Test accuracy"}
    return tuple(_section(study, cells, directory, column, text) for column, text in named.items())


def drawn_together(study: Study) -> list[dict[str, str]]:
    """Return the arms of each panel with their colours, no colour twice: what the others are compared with comes first.

    Args:
        study: The study. Where more arms are compared with one than there are colours, that one has several panels.
    """
    panels = []
    for group, arms in groups(study).items():
        others = [arm for arm in arms if arm != group]
        for first in range(0, max(len(others), 1), len(PALETTE)):
            panels.append(({group: CLEAN} if group else {}) | dict(zip(others[first:], PALETTE, strict=False)))
    return panels


def _section(study: Study, cells: Cells, directory: Path, column: str, said: str) -> Section:
    panels, text = [], TEXT.format(said)
    for arms in drawn_together(study):
        lead, *others = arms
        curves = [mean_curve(arm, colour, _found(study, cells, arm, column)) for arm, colour in arms.items()]
        victim = mean_sd(number(run.summary, "victim_accuracy") for run in cells[lead].values()).mean
        levels = {"victim": victim} if column == "accuracy" and victim is not None else {}
        title = f"against {lead}" if others and arms[lead] == CLEAN else ""
        panels.append(Panel(title, tuple(curve for curve in curves if curve is not None), levels))
    picture = figure_picture(directory, f"extraction_{column}", curves_figure(panels, "queries", column), text)
    return Section(column.capitalize() + " over queries", pictures=picture, missing="" if picture else "No run yet.")


def _found(study: Study, cells: Cells, arm: str, column: str) -> dict[float, list[float]]:
    """Return a column of an arm's runs by number of queries."""
    runs = cells[arm].values()
    every = {queries: [with_queries(run, queries, column) for run in runs] for queries in study.settings[AT]}
    return {float(queries): [value for value in values if value is not None] for queries, values in every.items()}
