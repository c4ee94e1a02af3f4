"""The tables of labeling budgets and of targeted poisons against numbers worked out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from aal.callbacks import StopRule
from aal.runs.reading import read_run
from aal.studies.comparison import first_reaching
from aal.studies.results import MeanSd
from aal.studies.study import Study
from aal.studies.tables.budget import quantile
from tests.studies.made_runs import in_setting, make_learning_run
from tests.studies.tables.test_learning import in_csv, make_study, printed, rows_of

ROWS = [
    {"arm": "random", "paper": "III/Baseline"},
    {"arm": "dfal", "against": "random", "paper": "III/Proposed"},
]


def make_arm(
    out: Path,
    arm: str,
    reached: list[int | None],
    *,
    end: int = 500,
    config: dict[str, Any] | None = None,
    **summary: Any,
) -> None:
    """Make runs with queries of 100 that are at 0.9 from so many labels on."""
    for seed, labels in enumerate(reached):
        curve = {n: 0.9 if labels and n >= labels else 0.5 for n in range(100, end + 1, 100)}
        folder = make_learning_run(out / arm / f"seed={seed}", curve, seed=seed, config=config)
        change(folder / "summary.json", summary)


def change(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def make_budgets(tmp_path: Path, reached: list[int | None]) -> Study:
    study = make_study(tmp_path, table="budget", rows=ROWS, settings={"target": 0.89}, seeds=5)
    baseline, proposed = (in_setting("budget", f"III/{name}")[0] for name in ("Baseline", "Proposed"))
    make_arm(tmp_path / "out", "random", [300, 400, 400, 400, 500], config=baseline, pool=2900)
    copied = {"copies_of": "input", "copies_by": "deepfool, noise", "secured": 200}
    make_arm(tmp_path / "out", "dfal", reached, config=proposed, pool=2700, **copied)
    return study


def test_budgets_have_the_mean_spread_and_quantiles_of_the_first_round_at_the_target(tmp_path: Path) -> None:
    table, (random, dfal) = rows_of(make_budgets(tmp_path, [100, 100, 200, 300, 300]), tmp_path / "out")
    assert random["budget"] == MeanSd(400, pytest.approx(math.sqrt(5000)), 1186)
    assert [random[f"budget_{name}"].mean for name in ("min", "25", "50", "75", "max")] == [300, 400, 400, 400, 500]
    assert [dfal[f"budget_{name}"].mean for name in ("min", "25", "50", "75", "max")] == [100, 100, 200, 300, 300]
    assert [dfal[f"budget_{name}"].paper for name in ("min", "25", "50", "75", "max")] == [462, 533, 563, 610, 672]
    assert (dfal["reached"], dfal["copies"], dfal["secured"]) == ("5 of 5", "input", "200")
    assert (random["copies"], random["secured"], random["fooled"].mean) == (None, None, None)
    (test,) = table.tests
    assert (test.mean, test.n) == (pytest.approx(-200), 5)
    text = printed(table)
    assert "[1,186]" in text
    assert "deviations: III/Baseline 182.6, III/Proposed 51.7." in text
    assert "targets fooled" not in text, "there was no target"
    assert "Crafted copies: dfal of samples, by deepfool, noise." in text
    assert "Labels to reach the target, paired t-test" in text
    _, row = in_csv(table, tmp_path / "table.csv")
    assert (row["budget_mean"], row["budget_75_mean"], row["budget_75_paper"]) == ("200.0", "300.0", "610")


def test_runs_that_do_not_reach_the_target_need_more_than_they_had(tmp_path: Path) -> None:
    table, (_, dfal) = rows_of(make_budgets(tmp_path, [100, None, 200, None, 300]), tmp_path / "out")
    assert dfal["reached"] == "3 of 5"
    assert dfal["budget"] == MeanSd(200, 100, 572.3)
    assert [dfal[f"budget_{name}"].mean for name in ("min", "25", "50", "75", "max")] == [100, 200, 300, None, None]
    assert [dfal[f"budget_{name}"].beyond for name in ("50", "75", "max")] == [None, 500, 500]
    assert table.tests[0].p is None
    assert "≥ 500" in printed(table)


def test_an_arm_that_never_reaches_the_target_has_bounds_alone(tmp_path: Path) -> None:
    _, (_, dfal) = rows_of(make_budgets(tmp_path, [None] * 5), tmp_path / "out")
    assert (dfal["budget"].mean, dfal["budget"].beyond, dfal["budget_min"].beyond) == (None, 500, 500)


def test_labels_that_examine_others_stand_beside_the_budget(tmp_path: Path) -> None:
    study = make_budgets(tmp_path, [300])
    rounds = tmp_path / "out" / "dfal" / "seed=0" / "rounds.jsonl"
    records = [json.loads(line) for line in rounds.read_text().splitlines()]
    records = [record | {"extra_labels": 30 * k} for k, record in enumerate(records)]
    rounds.write_text("".join(json.dumps(record) + "\n" for record in records))
    change(rounds.with_name("summary.json"), {"target_fooled": 1})
    _, (_, dfal) = rows_of(study, tmp_path / "out")
    assert (dfal["budget"].mean, dfal["extra"].mean, dfal["fooled"].mean) == (300, 60, 1)


def test_an_accuracy_kept_in_float32_is_the_target_that_it_equals(tmp_path: Path) -> None:
    kept = float(torch.tensor(0.89))
    assert kept < 0.89
    run = read_run(make_learning_run(tmp_path / "run", {100: 0.88999, 200: kept, 300: 0.95}))
    assert first_reaching(run, 0.89)["labels"] == 200
    assert StopRule("accuracy", at_least=0.89).met(run.rounds[1])
    assert not StopRule("accuracy", at_least=0.89).met(run.rounds[0])
    assert StopRule("loss", at_most=0.7).met({"loss": float(torch.tensor(0.7, dtype=torch.float32))})


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.25, 2), (0.5, 4), (0.6, 4.4), (0.75, 5), (0.8, math.inf)])
def test_quantiles_lie_between_neighbours(share: float, value: float) -> None:
    assert quantile([5.0, math.inf, 1.0, 2.0, 4.0], share) == pytest.approx(value)
    assert quantile([4.0], share) == 4
    assert quantile([math.inf, math.inf], share) == math.inf


def test_targets_have_the_share_that_was_fooled(tmp_path: Path) -> None:
    rows = [{"arm": "random", "paper": "transfer"}, {"arm": "dfal", "against": "random", "paper": "end-to-end"}]
    study = make_study(tmp_path, table="targets", rows=rows, seeds=5)
    for arm, successes in (("random", (1.0, 0.8, 0.9, 0.7, 0.6)), ("dfal", (0.2, 0.1, 0.0, 0.2, 0.0))):
        for seed, success in enumerate(successes):
            folder = make_learning_run(tmp_path / "out" / arm / f"seed={seed}", {200: 0.9}, seed=seed)
            change(folder / "summary.json", {"attack_success": success, "targets": 10, "misclassified": 1})
    table, (transfer, whole) = rows_of(study, tmp_path / "out")
    assert (transfer["attack_success"].mean, transfer["attack_success"].paper) == (pytest.approx(0.8), None)
    assert (whole["attack_success"].mean, whole["attack_success"].paper) == (pytest.approx(0.1), None)
    assert (transfer["targets"].mean, transfer["misclassified"].mean, transfer["labels"]) == (10, 1, "200")
    assert table.tests[0].mean == pytest.approx(-0.7)
    assert table.tests[0].p is not None
    assert "Attack success, paired t-test" in printed(table)
    reason = "No figure of the paper beside random: model.backbone.name: not set (paper: inception_v3)."
    assert reason in " ".join(printed(table).split()), "what the paper quotes is of another data set and network"


@pytest.mark.parametrize(("table", "settings"), [("labels", {"columns": [200]}), ("budget", {"target": 0.9})])
def test_copies_of_features_are_called_so_under_every_table(
    table: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    rows = [{"arm": "random"}, {"arm": "dfal"}]
    study = make_study(tmp_path, table=table, rows=rows, settings=settings, seeds=2)
    make_arm(tmp_path / "out", "random", [300, 300])
    made, _ = rows_of(study, tmp_path / "out")
    assert not any("copies" in note for note in made.notes if note.startswith("Crafted"))
    make_arm(tmp_path / "out", "dfal", [200, 300], copies_of="features", copies_by="deepfool")
    made, _ = rows_of(study, tmp_path / "out")
    assert made.notes[-2] == "Crafted copies: dfal of features, not of samples, by deepfool."
