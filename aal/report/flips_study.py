"""The panels of a study of flipped labels: adversarial accuracy against where in a sweep the flips were."""

from collections.abc import Mapping

from aal.report.curves import Curve, Panel
from aal.report.flip_curves import level, position_curve
from aal.report.style import PALETTE
from aal.studies.flip_trials import RANDOM, Selection, selections, swept, values
from aal.studies.flips_table import adversarial_column
from aal.studies.runs import Run
from aal.studies.study import Study


def swept_panels(study: Study, cells: Mapping[str, Mapping[int, Run]]) -> list[Panel]:
    """Return a panel for each arm with a sweep; arms that are compared with one arm share a panel with it.

    Args:
        study: A study whose table is ``flips``.
        cells: Finished runs by arm and seed.
    """
    shared: dict[str, dict[str, None]] = {}
    for row in study.rows:
        shared.setdefault(row.group, {}).update({row.group: None, row.arm: None})
    panels = [_panel(list(arms), cells, adversarial_column(study)) for arms in shared.values()]
    return [panel for panel in panels if panel.curves]


def _panel(arms: list[str], cells: Mapping[str, Mapping[int, Run]], column: str) -> Panel:
    """Draw arms together; several are told apart by their names."""
    curves: list[Curve] = []
    levels: dict[str, float] = {}
    for arm in arms:
        runs = cells[arm]
        sweeps = swept(selections(runs.values()))
        for name, positions in sweeps.items():
            number = len(curves)
            called = name if len(arms) == 1 else arm if len(sweeps) == 1 else f"{arm}, {name}"
            dashed = number >= len(PALETTE)
            curve = position_curve(called, PALETTE[number % len(PALETTE)], runs, positions, column, dashed)
            curves += [curve] if curve else []
        random = level(values(runs, Selection(RANDOM), column))
        levels |= {} if random is None else {RANDOM if len(arms) == 1 else f"{RANDOM}, {arm}": random}
    return Panel(", ".join(arms), tuple(curves), levels)
