"""The tables of labels, effort, seconds and transfer against numbers worked out by hand."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aal.studies.results import MeanSd, Table, print_table, write_table
from aal.studies.study import Study, read_study
from aal.studies.tables import TABLES, study_table
from tests.studies.made_runs import in_setting, make_learning_run, make_study_file

RANDOM, DFAL = (("labels", f"MNIST/LeNet5/{name}") for name in ("RANDOM", "DFAL"))
ARMS = {"random": [{"query": "Random"}], "dfal": [{"query": "DFAL"}], "all": [{"query": "all"}]}


def make_study(tmp_path: Path, **changes: object) -> Study:
    return read_study(make_study_file(tmp_path / "file", arms=ARMS, **changes), TABLES)


def make_arm(
    out: Path, arm: str, runs: list[Mapping[int, float]], paper: tuple[str, str] | None = None, **settings: Any
) -> None:
    """Make an arm's runs; ``paper`` names the table and the figure whose setting they have."""
    config, summary = in_setting(*paper) if paper else (None, {})
    for seed, accuracies in enumerate(runs):
        own = {key: value for key, value in summary.items() if key not in ("labels", "target")} | settings
        make_learning_run(out / arm / f"seed={seed}", accuracies, seed=seed, config=config, **own)


def rows_of(study: Study, out: Path) -> tuple[Table, list[dict[str, Any]]]:
    table, _ = study_table(study, out)
    return table, list(table.rows)


def printed(table: Table) -> str:
    text = io.StringIO()
    print_table(table, Console(file=text, width=120), "A title", "")
    assert max(map(len, text.getvalue().splitlines())) <= 120
    return text.getvalue()


def in_csv(table: Table, path: Path) -> list[dict[str, str]]:
    write_table(table, path)
    return list(csv.DictReader(io.StringIO(path.read_text())))


def curve(*accuracies: float) -> dict[int, float]:
    return dict(zip((50, 100, 500, 1000), accuracies, strict=True))


@pytest.fixture
def labels(tmp_path: Path) -> tuple[Table, list[dict[str, Any]]]:
    rows = [
        {"arm": "random", "paper": "MNIST/LeNet5/RANDOM"},
        {"arm": "dfal", "against": "random", "paper": "MNIST/LeNet5/DFAL"},
        {"arm": "all", "paper": "MNIST/LeNet5/All"},
    ]
    study = make_study(tmp_path, table="labels", rows=rows, settings={"columns": [100, 500, 800, 1000]}, seeds=5)
    make_arm(tmp_path / "out", "random", [curve(0.1, 0.7, 0.8, 0.90 + shift / 100) for shift in range(5)], RANDOM)
    better = [curve(0.1, 0.6 + shift / 10, 0.9, 0.92 + shift / 50) for shift in range(3)]
    make_arm(tmp_path / "out", "dfal", [*better, better[0], better[1]], DFAL, crafted=1, pseudo=7)
    make_arm(tmp_path / "out", "all", [{100: 0.7, 54000: 0.99}], ("labels", "MNIST/LeNet5/All"))
    return rows_of(study, tmp_path / "out")


def test_accuracy_at_given_labels_is_that_of_the_rounds_with_just_as_many(
    labels: tuple[Table, list[dict[str, Any]]],
) -> None:
    random, dfal, everything = labels[1]
    spread = math.sqrt((2 * 0.08**2 + 2 * 0.02**2 + 0.12**2) / 4)
    assert random["accuracy_100"] == MeanSd(pytest.approx(0.7), pytest.approx(0), 0.7756)
    assert dfal["accuracy_100"] == MeanSd(pytest.approx(0.68), pytest.approx(spread), 0.8277)
    assert dfal["accuracy_500"].mean == pytest.approx(0.9)
    assert dfal["accuracy_800"] == MeanSd(None, None, 0.9771), "no round has 800 labels: nothing is made up"
    assert dfal["accuracy_1000"].mean == dfal["accuracy"].mean == pytest.approx(0.936)
    assert everything["accuracy_1000"] == MeanSd(None)
    assert everything["accuracy"] == MeanSd(0.99, None, 0.9904)
    assert [row["labels"] for row in labels[1]] == ["1000", "1000", "54000"]
    assert [row["data"].mean for row in labels[1]] == [1000, 1000 + 950 + 7, 54000]
    assert [row["n"] for row in labels[1]] == [5, 5, 1]


def test_only_rows_with_an_arm_to_compare_with_are_tested(
    labels: tuple[Table, list[dict[str, Any]]], tmp_path: Path
) -> None:
    table, rows = labels
    (test,) = table.tests
    assert (test.arm, test.against, test.n) == ("dfal", "random", 5)
    assert test.mean == pytest.approx((0.02 + 0.03 + 0.04 - 0.01 + 0.0) / 5)
    assert rows[0]["difference_mean"] is None
    assert rows[1]["difference_p"] == test.p
    random, dfal, _ = in_csv(table, tmp_path / "table.csv")
    assert (random["against"], dfal["against"]) == ("", "random")
    assert (dfal["accuracy_800_mean"], dfal["accuracy_800_paper"]) == ("", "0.9771")
    assert float(dfal["difference_mean"]) == test.mean


def test_the_printed_table_has_the_papers_figures_and_its_accuracy_with_everything(
    labels: tuple[Table, list[dict[str, Any]]],
) -> None:
    text = printed(labels[0])
    for part in ("[0.8277]", "[0.9904]", "0.6800", "±0.0837", "1,957", "whole training set: MNIST/LeNet5 0.9904"):
        assert part in text
    assert "dfal minus random: n = 5, difference +0.016 ± 0.021, paired t-test" in text


def test_rows_of_the_other_paper_have_its_figures(tmp_path: Path) -> None:
    rows = [{"arm": "random", "paper": "1.5k/DFAL_e^-3"}]
    study = make_study(tmp_path, table="labels", rows=rows, settings={"columns": [1000]})
    make_arm(tmp_path / "out", "random", [curve(0.1, 0.7, 0.8, 0.9)], ("labels", "1.5k/DFAL_e^-3"))
    table, (row,) = rows_of(study, tmp_path / "out")
    assert row["accuracy_1000"] == MeanSd(0.9, None, 0.9694)
    assert "whole training set" not in printed(table)
    assert "Final accuracy" not in printed(table), "there are no tests to announce"


EFFORT = [
    {"arm": "random", "paper": "MNIST/LeNet5/CEAL"},
    {"arm": "dfal", "against": "random", "paper": "MNIST/LeNet5/DFAL"},
]


def make_effort(tmp_path: Path, target: object, reached: float = 0.97, tolerance: float = 0.005) -> Study:
    settings = {"target": target, "tolerance": tolerance}
    study = make_study(tmp_path, table="effort", rows=EFFORT, settings=settings, seeds=5)
    make_arm(tmp_path / "out", "random", [curve(0.1, 0.5, 0.9, reached)] * 5, ("effort", "MNIST/LeNet5/CEAL"))
    early, late = curve(0.1, 0.975, 0.9, 0.99), curve(0.1, 0.5, 0.965, 0.96)
    runs = [early, late, late, early, late]
    make_arm(tmp_path / "out", "dfal", runs, ("effort", "MNIST/LeNet5/DFAL"), crafted=1)
    make_arm(tmp_path / "out", "all", [{50: 0.1, 54000: 0.96}, {50: 0.1, 54000: 0.98}])
    return study


@pytest.mark.parametrize("target", [0.97, "all", {"random": 0.97}, {"random": "all"}])
def test_effort_is_that_of_the_first_round_at_the_target(tmp_path: Path, target: object) -> None:
    table, (random, dfal) = rows_of(make_effort(tmp_path, target), tmp_path / "out")
    assert (random["target"], random["reached"], dfal["reached"]) == ("0.9650", "5 of 5", "5 of 5")
    assert random["annotations"] == MeanSd(1000, 0)
    spread = math.sqrt((2 * 240**2 + 3 * 160**2) / 4)
    assert dfal["annotations"] == MeanSd(pytest.approx(340), pytest.approx(spread))
    assert dfal["data"].mean == pytest.approx((2 * 150 + 3 * 950) / 5)
    (test,) = table.tests
    assert (test.mean, test.n) == (pytest.approx(-660), 5)
    assert "-660 ± 219" in str(test)
    text = printed(table)
    assert "No figure of the paper beside random, dfal: target: 0.965 (paper: from 0.98 to 0.991)." in text
    assert "Annotations to reach the target, paired t-test" in text


def test_the_papers_effort_stands_beside_ours_at_its_target(tmp_path: Path) -> None:
    table, (random, dfal) = rows_of(make_effort(tmp_path, 0.985, reached=0.99, tolerance=0.0), tmp_path / "out")
    assert (random["annotations"], dfal["annotations"].paper) == (MeanSd(1000, 0, "≥ 6,000"), 1210)
    text = printed(table)
    assert "[≥ 6,000]" in text
    assert "[1,210]" in text


def test_an_arm_that_never_gets_there_has_a_bound_and_no_test(tmp_path: Path) -> None:
    table, (random, dfal) = rows_of(make_effort(tmp_path, 0.97, reached=0.96), tmp_path / "out")
    assert random["annotations"] == MeanSd(None, None, beyond=1000)
    assert random["reached"] == "0 of 5"
    assert dfal["annotations"].beyond is None
    assert table.tests[0].p is None
    assert "seed 0 of random did not reach the target" in str(table.tests[0])
    text = printed(table)
    assert "≥ 1,000" in text
    row, _ = in_csv(table, tmp_path / "table.csv")
    assert (row["annotations_mean"], row["annotations_paper"], row["labels"]) == ("", "", "1000")


def test_runs_that_reach_the_target_count_alone_and_it_is_told_how_many_did(tmp_path: Path) -> None:
    _, (_, dfal) = rows_of(make_effort(tmp_path, 0.975, tolerance=0.0), tmp_path / "out")
    assert dfal["reached"] == "2 of 5"
    assert dfal["annotations"] == MeanSd(100, 0)


def test_a_target_that_no_run_has_told_yet_is_a_dash(tmp_path: Path) -> None:
    study = make_study(tmp_path, table="effort", rows=EFFORT, settings={"target": "all"})
    make_arm(tmp_path / "out", "random", [curve(0.1, 0.5, 0.9, 0.97)])
    table, (random, _) = rows_of(study, tmp_path / "out")
    assert (random["target"], random["reached"], random["annotations"].mean) == (None, None, None)
    assert "no run has said yet" in printed(table)


def test_seconds_are_those_of_the_query_with_that_many_labels(tmp_path: Path) -> None:
    rows = [{"arm": "random"}, {"arm": "dfal", "against": "random", "paper": "DFAL"}]
    study = make_study(tmp_path, table="seconds", rows=rows, settings={"columns": [100, 500]}, seeds=5)
    make_arm(tmp_path / "out", "random", [curve(0, 0, 0, 0)] * 5, seconds={50: 99, 100: 2.0, 500: 3.0})
    for seed in range(5):
        slow = {100: 4.0 + seed, 500: 12.0 + 3 * seed}
        folder = tmp_path / "out" / "dfal" / f"seed={seed}"
        config, _ = in_setting("seconds", "DFAL")
        make_learning_run(folder, curve(0, 0, 0, 0), seed=seed, seconds=slow, config=config)
    table, (random, dfal) = rows_of(study, tmp_path / "out")
    assert (random["seconds_100"].mean, random["seconds_500"].mean, random["growth"].mean) == (2, 3, 1.5)
    assert dfal["seconds_100"] == MeanSd(6, pytest.approx(math.sqrt(2.5)), 126.54)
    assert dfal["seconds_500"] == MeanSd(18, pytest.approx(3 * math.sqrt(2.5)))
    assert dfal["growth"] == MeanSd(pytest.approx(3), pytest.approx(0))
    assert table.tests[0].mean == pytest.approx(4)
    text = printed(table)
    assert "[126.5]" in text
    assert "The paper's seconds are of its own machine." in text
    assert "Seconds to select with 100 labels, paired t-test" in text


def test_a_query_that_was_not_made_is_a_dash(tmp_path: Path) -> None:
    study = make_study(tmp_path, table="seconds", rows=[{"arm": "random"}], settings={"columns": [100, 1000]})
    make_arm(tmp_path / "out", "random", [curve(0, 0, 0, 0)])
    _, (row,) = rows_of(study, tmp_path / "out")
    assert row["seconds_100"].mean == 0.01
    assert (row["seconds_1000"].mean, row["growth"].mean) == (None, None), "1000 labels end the run"


def test_a_replay_is_told_by_whose_queries_it_trains_what_on(tmp_path: Path) -> None:
    arms = {
        "random": [{"query": "Random"}],
        "dfal": [{"query": "DFAL"}],
        "vgg8_random": [{"query": {"run": "cell:random"}}],
        "vgg8_dfal": [{"query": {"run": "cell:dfal"}}],
    }
    rows = [
        {"arm": "vgg8_random"},
        {"arm": "vgg8_dfal", "against": "vgg8_random", "paper": "MNIST/LeNet5->VGG8/DFAL"},
    ]
    study = read_study(make_study_file(tmp_path / "file", arms=arms, table="transfer", rows=rows), TABLES)
    out = tmp_path / "out"
    paper = ("transfer", "MNIST/LeNet5->VGG8/DFAL")
    config, summary = in_setting(*paper, of="source.")
    make_learning_run(out / "dfal" / "seed=0", curve(0, 0, 0, 0.95), strategy="DFAL", config=config, **summary)
    make_arm(out, "vgg8_dfal", [curve(0, 0, 0, 0.97)], paper, crafted=1)
    make_arm(out, "vgg8_random", [curve(0, 0, 0, 0.9)], network="VGG8")
    table, (random, dfal) = rows_of(study, out)
    assert [dfal[key] for key in ("strategy", "source_network", "network", "source", "labels")] == [
        *("DFAL", "LeNet5", "VGG8", "dfal", "1000"),
    ]
    assert (dfal["accuracy"], dfal["accuracy_source"]) == (MeanSd(0.97, None, 0.978), MeanSd(0.95))
    assert dfal["data"].mean == 1950
    assert (random["strategy"], random["source_network"], random["source"]) == (None, None, "random")
    assert table.tests[0].mean == pytest.approx(0.07)
    assert "[0.9780]" in printed(table)


def test_a_transfer_learner_is_told_by_its_backbone_and_head(tmp_path: Path) -> None:
    arms = {"random": [{"query": "Random"}], "replay": [{"query": {"run": "cell:random"}}]}
    rows = [{"arm": "replay"}]
    study = read_study(make_study_file(tmp_path / "file", arms=arms, table="transfer", rows=rows), TABLES)
    out, accuracies = tmp_path / "out", [curve(0, 0, 0, 0.9)]
    make_arm(out, "random", accuracies, backbone={"class_path": "aal.networks.DigitBackbone"}, head="NN1")
    named = {"class_path": "aal.networks.NamedBackbone", "init_args": {"name": "resnet18"}}
    make_arm(out, "replay", accuracies, backbone=named, head="NN2")
    _, (row,) = rows_of(study, out)
    assert (row["source_network"], row["network"]) == ("DigitBackbone + NN1", "resnet18 + NN2")


def test_arms_that_are_in_no_row_are_told(tmp_path: Path) -> None:
    arms = {"a": [{"x": 1}], "b": [{"run": "cell:a"}], "c": [{"run": "cell:a"}], "spare": [{"x": 2}]}
    settings, rows = {"columns": [100]}, [{"arm": "b", "against": "c"}]
    file = make_study_file(tmp_path / "file", arms=arms, table="labels", rows=rows, settings=settings)
    table, _ = rows_of(read_study(file, TABLES), tmp_path / "out")
    assert table.notes[-1] == "Arms without a row of their own: a (read), c (compared with), spare."


@pytest.mark.parametrize("kind", ["labels", "effort", "budget", "seconds", "transfer", "targets"])
def test_a_study_with_nothing_finished_is_all_dashes(tmp_path: Path, kind: str) -> None:
    arms = {"a": [], "b": [{"run": "cell:a"}], "c": [{"run": "cell:a"}]}
    columns, target = {"columns": [1]}, {"target": 0.9}
    settings = {"labels": columns, "seconds": columns, "effort": target, "budget": target}.get(kind)
    rows = [{"arm": "b", "against": "c"}]
    file = make_study_file(tmp_path / "file", arms=arms, table=kind, rows=rows, settings=settings)
    table, _ = rows_of(read_study(file, TABLES), tmp_path / "out")
    text = printed(table)
    assert "—" in text
    assert "b minus c: n = 0, no claim" in text
    assert len(in_csv(table, tmp_path / "table.csv")) == 1
