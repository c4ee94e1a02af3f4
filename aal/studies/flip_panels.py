"""The figures of a study of flipped labels: accuracy over the positions of a sweep, or what its arms differ in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aal.report.curves import Curve, Panel, curves_figure, mean_curve
from aal.report.flip_curves import level, position_curve
from aal.report.flip_outcomes import RANDOM, FlipSelection, selections, swept, values
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
        panels = along_panels(study, cells, columns, along)
        drawn = {"along": (panels, along.rpartition(".")[2], "accuracy", ARMS)}
    else:
        drawn = {
            name.partition(" ")[0]: (swept_panels(study, cells, column), "position", name, POSITIONS.format(name))
            for name, column in columns.items()
        }
    pictures = [
        figure_picture(directory, f"flips_{name}", curves_figure(shown, x, y, apart=True), caption)
        for name, (shown, x, y, caption) in drawn.items()
        if shown
    ]
    return (Section("Accuracy and what was flipped", pictures=tuple(pictures)),) if pictures else ()


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
    panels = [_panel(list(arms), cells, column) for arms in shared.values()]
    return [panel for panel in panels if panel.curves]


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
            mean_curve(str(selection), colour, {x: _tried(runs, selection, column) for x, runs in sorted(at.items())})
            for selection, colour in zip(known, PALETTE, strict=False)
        )
        panels.append(Panel(title, tuple(filter(None, curves))))
    return [panel for panel in panels if panel.curves]


def _tried(runs: list[Run], selection: FlipSelection, column: str) -> list[float]:
    return list(values(dict(enumerate(runs)), selection, column).values())


def _configured(run: Run, key: str) -> Any:  # noqa: ANN401
    """Return what a run's configuration has under a key with dots, ``None`` where it has nothing."""
    value: Any = read_mapping(run.folder / "config.yaml") if run.config else {}
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _panel(arms: list[str], cells: Cells, column: str) -> Panel:
    """Draw arms together; several are told apart by their names."""
    curves: list[Curve] = []
    levels: dict[str, float] = {}
    for arm in arms:
        runs = cells[arm]
        sweeps = swept(selections(runs.values()))
        for name, positions in sweeps.items():
            place = len(curves)
            called = name if len(arms) == 1 else arm if len(sweeps) == 1 else f"{arm}, {name}"
            dashed = place >= len(PALETTE)
            curve = position_curve(called, PALETTE[place % len(PALETTE)], runs, positions, column, dashed)
            curves += [curve] if curve else []
        random = level(values(runs, FlipSelection(RANDOM), column))
        levels |= {} if random is None else {RANDOM if len(arms) == 1 else f"{RANDOM}, {arm}": random}
    return Panel(", ".join(arms), tuple(curves), levels)
