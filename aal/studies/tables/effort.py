"""Labels and data needed to reach an accuracy: Table 2 of paper *dfal*."""

from dataclasses import replace
from typing import Any

from aal.checks import refuse
from aal.runs.reading import Run, number
from aal.studies.comparison import (
    AGAINST,
    ARM,
    SEEDS,
    compare,
    compared,
    data,
    final_data,
    first_reaching,
)
from aal.studies.likeness import Figures, papers_figures
from aal.studies.paired import PairedTest
from aal.studies.results import Column, MeanSd, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

TARGET, TOLERANCE = "target", "tolerance"
NEEDED = (
    "Annotations and data (labels, crafted copies and pseudo-labelled samples) of the first round whose accuracy is at "
    "least the target, over the runs that reached it. ≥: no run did with as much."
)
COLUMNS = (
    ARM,
    SEEDS,
    Column("target", "target", counts=True),
    Column("reached", "reached", counts=True),
    Column("annotations", "annotations needed", 0, estimated=True, note=NEEDED),
    Column("data", "data needed", 0, estimated=True),
    Column("labels", "labels at the end", counts=True),
    Column("accuracy", "accuracy at the end", 4, estimated=True),
    *AGAINST,
)


def effort_table(study: Study, cells: Cells) -> Table:
    """Make the table of what an accuracy takes from the finished cells of a study.

    Args:
        study: The study. Its setting ``target`` is an accuracy in (0, 1], or an arm, whose mean final accuracy it then
            is, or one of both for each arm that rows are compared with; ``tolerance`` is taken off it.
        cells: Finished runs by arm and seed.
    """

    def own(row: Row, runs: list[Run], figures: Figures) -> dict[str, Value]:
        target = target_of(study, row, cells)
        reached = [record for run in runs if (record := first_reaching(run, target)) is not None]
        annotations = mean_sd((number(record, "labels") for record in reached), figures.get("annotations"))
        labelled = mean_sd(map(data, reached), figures.get("data"))
        return reached_by(runs, target) | {
            "annotations": at_least_so_much(annotations, [number(run.summary, "labels") for run in runs]),
            "data": at_least_so_much(labelled, [final_data(run) for run in runs]),
        }

    return compared(
        study,
        cells,
        COLUMNS,
        own=own,
        facts=lambda row, run: {"target": target_of(study, row, cells)},
        test=lambda row: test_of(row, cells, target_of(study, row, cells)),
        tested="Annotations to reach the target",
    )


def check_target(study: Study, called: str) -> None:
    """Refuse a target or a tolerance that makes no sense.

    Raises:
        UserError: Says so; the line starts with ``called``.
    """
    tolerance, target = study.settings.get(TOLERANCE, 0.0), study.settings[TARGET]
    refuse(
        isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < 1,
        f"{called}: settings.{TOLERANCE} must be in [0, 1), not {tolerance!r}",
    )
    called = f"{called}: settings.{TARGET}"
    groups = sorted({row.group for row in study.rows})
    targets = target if isinstance(target, dict) else dict.fromkeys(groups, target)
    for name in targets:
        refuse(name not in groups, f"{called}: no row is compared with {name!r}, nor stands alone")
    for name in groups:
        refuse(name not in targets, f"{called}: the key {name!r} is missing")
    for value in targets.values():
        accuracy = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
        arm = isinstance(value, str) and value in study.arms
        refuse(not accuracy and not arm, f"{called} must be in (0, 1] or the name of an arm, not {value!r}")


KIND = TableKind(
    effort_table,
    papers=tuple(papers_figures("effort")),
    required=(TARGET,),
    optional=(TOLERANCE,),
    check=check_target,
)


def target_of(study: Study, row: Row, cells: Cells) -> float | None:
    """Return the accuracy that a row's runs are to reach; None while no run of the arm that says it has finished."""
    target: Any = study.settings[TARGET]
    target = target[row.group] if isinstance(target, dict) else target
    if isinstance(target, str):
        target = mean_sd(number(run.summary, "accuracy") for run in cells[target].values()).mean
    return None if target is None else float(target) - float(study.settings.get(TOLERANCE, 0.0))


def test_of(row: Row, cells: Cells, target: float | None) -> PairedTest:
    """Compare the annotations that two arms took, if all of their runs reached the target."""
    if target is None:
        return PairedTest(row.arm, row.group, 0, remark="not compared: no run has said yet what the target is")
    for arm in (row.arm, row.group):
        failed = next((seed for seed, run in cells[arm].items() if first_reaching(run, target) is None), None)
        if failed is not None:
            n = len(cells[row.arm].keys() & cells[row.group].keys())
            remark = f"not compared: seed {failed} of {arm} did not reach the target"
            return PairedTest(row.arm, row.group, n, remark=remark, digits=0)
    return compare(row, cells, lambda run: number(first_reaching(run, target) or {}, "labels"), digits=0)


def reached_by(runs: list[Run], target: float | None) -> dict[str, Value]:
    """Return a row's target, and how many runs reached it."""
    reached = sum(first_reaching(run, target) is not None for run in runs)
    return {
        "target": None if target is None else f"{target:.4f}",
        "reached": f"{reached} of {len(runs)}" if runs and target is not None else None,
    }


def at_least_so_much(needed: MeanSd, ends: list[float | None]) -> MeanSd:
    """Say of a quantity that no run knows that it is not below what all had in the end."""
    known = [end for end in ends if end is not None]
    return replace(needed, beyond=min(known)) if needed.mean is None and known else needed
