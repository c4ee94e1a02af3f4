"""The table of model extraction: what a number of queries had bought, and what is compared."""

from pathlib import Path

import pytest

from aal.errors import UserError
from aal.runs.reading import Run
from aal.studies.arms import Arm
from aal.studies.comparison import with_queries
from aal.studies.extraction_panels import drawn_together, extraction_sections
from aal.studies.study import Row, Study
from aal.studies.tables import TABLES


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


@pytest.mark.parametrize(("more", "difference"), [({}, 0.054), ({"compared": 60}, 0.034)])
def test_arms_are_compared_at_the_number_of_queries_asked_for_or_the_last(
    more: dict[str, int], difference: float
) -> None:
    arms = {name: Arm((), "") for name in ("random", "attacking")}
    rows = (Row("random"), Row("attacking", against="random"))
    study = Study("s", "s", "", tuple(range(5)), 1, "extraction", rows, arms, {"columns": [20, 60, 1000], **more})
    cells = {
        "random": {seed: run(0.70 + 0.01 * seed) for seed in range(5)},
        "attacking": {seed: run(0.75 + 0.012 * seed, attack=20) for seed in range(5)},
    }
    table = TABLES["extraction"].make(study, cells)
    (test,) = table.tests
    assert (test.n, test.remark) == (5, "")
    assert test.mean == pytest.approx(difference), "with 60 queries the attacker has two rounds, the other three"
    shown = table.rows[1]
    assert getattr(shown["fidelity_20"], "mean", None) is None
    assert getattr(shown["fidelity_60"], "mean", None) == pytest.approx(0.814)
    assert shown["victim_answers"] == "labels"


@pytest.mark.parametrize("compared", [30, "20", [20]])
def test_arms_are_compared_at_one_of_the_columns(compared: object) -> None:
    study = Study("s", "s", "", (0,), 1, "extraction", (), {}, {"columns": [20, 60], "compared": compared})
    with pytest.raises(UserError, match=r"^s: settings\.compared must be one of columns, \[20, 60\], not "):
        TABLES["extraction"].check(study, "s")


def test_no_two_arms_of_a_panel_have_one_colour(tmp_path: Path) -> None:
    """As in the study that ships: many arms beside one, and one of these with others beside itself."""
    names = [f"arm{number}" for number in range(14)]
    reading = ({"flips": {"folder": "cell:source"}},)
    arms = {name: Arm(reading if name == "arm3" else (), "") for name in (*names, "random", "source")}
    rows = (Row("random"), *(Row(name, against="random") for name in names), Row("arm1", against="arm0"))
    study = Study("s", "s", "", (0, 1), 1, "extraction", rows, arms, {"columns": [20, 60]})
    panels = drawn_together(study)
    assert [len(panel) for panel in panels] == [7, 7, 3, 2, 1]
    assert all(len(set(panel.values())) == len(panel) for panel in panels)
    assert {arm for panel in panels[:3] for arm in panel} == {"random", *names}
    cells = {name: {seed: run(0.8) for seed in range(2)} for name in arms}
    assert all(section.pictures for section in extraction_sections(study, cells, tmp_path))
