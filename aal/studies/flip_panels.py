"""The figures of a study of flipped labels: accuracy over the positions of a sweep, or what its arms differ in."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aal.report.curves import Panel, curves_figure, mean_curve
from aal.report.flip_curves import sweeps_panel
from aal.report.flip_outcomes import selections, values
from aal.report.page import Section, figure_picture
from aal.report.style import PALETTE
from aal.runs.documents import read_mapping
from aal.runs.reading import Run, number
from aal.studies.study import Cells, Study

POSITIONS = (
    "The {} of the networks trained on flipped labels against where in the sweep the flips were. Line: mean over seeds "
    "and repeats; band: ± one sample standard deviation. Dotted: flips at random."
)
ARMS = "Accuracy under attack and without, over what the arms differ in. Mean and sample standard deviation over seeds."


def flips_sections(
    study: Study, cells: Cells, directory: Path, adversarial: str, along: str | None
) -> tuple[Section, ...]:
    """Draw adversarial and natural accuracy over the positions of sweeps, or over what the study's arms differ in.

    Args:
        study: A study whose table is ``flips``.
        cells: Finished runs by arm and seed.
        directory: The study's folder.
        adversarial: The column of a round's record that has the adversarial accuracy.
        along: The key of the number in a configuration in which the arms differ; None: positions are drawn.
    """
    columns = {"adversarial accuracy": adversarial, "natural accuracy": "accuracy"}
    if along is not None:
        drawn = {"along": (along_panels(study, cells, columns, along), along.rpartition(".")[2], "accuracy", ARMS)}
    else:
        drawn = {
            name.partition(" ")[0]: (swept_panels(study, cells, column), "position", name, POSITIONS.format(name))
            for name, column in columns.items()
        }
    pictures = (
        figure_picture(directory, f"flips_{name}", curves_figure(shown, x, y, apart=True), caption)
        for name, (shown, x, y, caption) in drawn.items()
    )
    return (Section("Accuracy and what was flipped", pictures=tuple(itertools.chain(*pictures))),)


def swept_panels(study: Study, cells: Cells, column: str) -> list[Panel]:
    """Return a panel for each arm with a sweep; arms that are compared with one arm share a panel with it.

    Args:
        study: A study whose table is ``flips``.
        cells: Finished runs by arm and seed.
        column: The column of a round's record that is drawn.
    """
    shared: dict[str, dict[str, None]] = {}
    for row in study.rows:
        shared.setdefault(row.group, {}).update({row.group: None, row.arm: None})
    return [sweeps_panel(", ".join(arms), {arm: cells[arm] for arm in arms}, column) for arms in shared.values()]


def along_panels(study: Study, cells: Cells, columns: Mapping[str, str], along: str) -> list[Panel]:
    """Return a panel for each column against the number in which a study's arms differ, a curve a selection.

    Args:
        study: A study whose table is ``flips``.
        cells: Finished runs by arm and seed.
        columns: Columns of a round's record by their panel's title.
        along: The key of that number in a configuration.
    """
    at: dict[float, list[Run]] = {}
    for run in (run for row in study.rows for run in cells[row.arm].values()):
        x = number({"x": _configured(run, along)}, "x")
        if x is not None:
            at.setdefault(x, []).append(run)
    known = selections(run for runs in at.values() for run in runs)
    panels = []
    for title, column in columns.items():
        curves = (
            mean_curve(
                str(selection),
                colour,
                {x: [*values(dict(enumerate(runs)), selection, column).values()] for x, runs in sorted(at.items())},
            )
            for selection, colour in zip(known, PALETTE, strict=False)
        )
        panels.append(Panel(title, tuple(filter(None, curves))))
    return panels


def _configured(run: Run, key: str) -> Any:  # noqa: ANN401
    """Return what a run's configuration has under a key with dots, ``None`` where it has nothing."""
    value: Any = read_mapping(run.folder / "config.yaml") if run.config else {}
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
