"""The table of model extraction: what a number of queries had bought, and what is compared."""

from pathlib import Path

import pytest

from aal.runs.reading import Run
from aal.studies.arms import Arm
from aal.studies.study import Row, Study
from aal.studies.tables import TABLES
from aal.studies.tables.extraction import with_queries


def run(fidelity: float, attack: int = 0) -> Run:
    rounds = tuple(
        {"queries_labels": labels, "queries_attack": attack, "fidelity": fidelity + labels / 1000, "accuracy": 0.5}
        for labels in (20, 40, 60)
    )
    return Run(Path("nowhere"), {"victim_accuracy": 0.9, "victim_answers": "labels"}, rounds, "")


def test_what_queries_bought_is_the_last_round_that_cost_no_more() -> None:
    bought = [with_queries(run(0.8, attack=5), queries, "fidelity") for queries in (24, 25, 44, 45, 64, 65, 1000)]
    assert bought[0] is None
    assert bought[1:] == pytest.approx([0.82, 0.82, 0.84, 0.84, 0.86, 0.86])


def test_a_run_without_counts_has_no_place() -> None:
    assert with_queries(Run(Path("nowhere"), {}, ({"fidelity": 0.9},), ""), 10**9, "fidelity") is None


def test_arms_are_compared_at_the_last_number_of_queries() -> None:
    arms = {name: Arm((), "") for name in ("random", "attacking")}
    rows = (Row("random"), Row("attacking", against="random"))
    study = Study("s", "s", "", tuple(range(5)), 1, "extraction", rows, arms, {"columns": [20, 60]})
    cells = {
        "random": {seed: run(0.70 + 0.01 * seed) for seed in range(5)},
        "attacking": {seed: run(0.75 + 0.012 * seed, attack=20) for seed in range(5)},
    }
    table = TABLES["extraction"].make(study, cells)
    (test,) = table.tests
    assert (test.n, test.remark) == (5, "")
    assert test.mean == pytest.approx(0.034), "with 60 queries the attacker has two rounds, the other three"
    shown = table.rows[1]
    assert getattr(shown["fidelity_20"], "mean", None) is None
    assert getattr(shown["fidelity_60"], "mean", None) == pytest.approx(0.814)
    assert shown["victim_answers"] == "labels"
