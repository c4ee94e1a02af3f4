"""The table of shadows: what it compares, and what it shows at a budget."""

from pathlib import Path

import pytest

from aal.runs.reading import Run
from aal.studies.arms import Arm
from aal.studies.results import MeanSd
from aal.studies.study import Row, Study
from aal.studies.tables import TABLES


def run(accuracy: float, labels: int) -> Run:
    rounds = tuple(
        {"round": place, "budget": budget, "labels": labels, "accuracy": accuracy - 0.1 * (1 - place), "fidelity": 0.9}
        for place, budget in enumerate((50, 100))
    )
    return Run(Path("nowhere"), {"accuracy": accuracy, "labels": labels, "queries_labels": labels}, rounds, "")


def test_shadows_are_compared_however_many_labels_they_took() -> None:
    arms = {name: Arm((), "") for name in ("none", "many")}
    rows = (Row("none"), Row("many", against="none"))
    study = Study("s", "s", "", tuple(range(5)), 1, "shadow", rows, arms, {"columns": [50, 100]})
    cells = {
        "none": {seed: run(0.80 + 0.01 * seed, 0) for seed in range(5)},
        "many": {seed: run(0.85 + 0.012 * seed, 1900) for seed in range(5)},
    }
    table = TABLES["shadow"].make(study, cells)
    (test,) = table.tests
    assert (test.n, test.remark) == (5, "")
    assert test.mean == pytest.approx(0.054)
    many = table.rows[1]
    shown = [many[key] for key in ("accuracy_50", "accuracy_100", "fidelity", "queries_labels")]
    assert [value.mean for value in shown if isinstance(value, MeanSd)] == pytest.approx([0.774, 0.874, 0.9, 1900])
