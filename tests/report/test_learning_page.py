"""The report of a study without an attack: its tests on top, curves, what ended each run, and nothing of poison."""

from pathlib import Path

from aal.report.curves import expected_share
from aal.runs.reading import Run
from aal.studies.study import read_study, save_study
from aal.studies.study_page import levels_of, write_study_report
from aal.studies.tables import TABLES
from tests.report.test_pages import Page, assert_self_contained
from tests.studies.made_runs import in_setting, make_learning_run, make_run, make_study_file


def test_a_study_without_an_attack_is_reported_by_its_tests_and_curves(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arms = {"random": [], "dfal": []}
    rows = [{"arm": "random"}, {"arm": "dfal", "against": "random", "paper": "MNIST/LeNet5/DFAL"}]
    settings = {"columns": [100]}
    file = make_study_file(tmp_path / "file", arms=arms, rows=rows, table="labels", settings=settings)
    save_study(read_study(file, TABLES), out)
    for seed in range(2):
        make_learning_run(out / "random" / f"seed={seed}", {100: 0.5, 200: 0.7}, seed=seed)
        config, summary = in_setting("labels", "MNIST/LeNet5/DFAL")
        make_learning_run(out / "dfal" / f"seed={seed}", {100: 0.6, 200: 0.75}, seed=seed, config=config, **summary)
    write_study_report(out)
    page = Page(out / "report.html")
    assert_self_contained(page)
    for part in ("dfal minus random +0.050", "Final accuracy: 2 seeds, no claim", "[0.8277]", "ended by", "budget"):
        assert part in page.text
    assert (out / "figures" / "accuracy.png").read_bytes() in page.images
    assert len(page.images) == 1
    shown = page.text.split("Configuration of")[0]
    assert "oison" not in shown
    assert "not finished" in shown, "the third seed has not run"


def poisoned_study(tmp_path: Path, *rows: dict[str, str]) -> Page:
    """Report a study of accuracy over labels with a poisoned arm, in whose table the clean one stands alone."""
    out = tmp_path / "out"
    settings = {"columns": [40]}
    file = make_study_file(tmp_path / "file", rows=[{"arm": "clean"}, *rows], table="labels", settings=settings)
    save_study(read_study(file, TABLES), out)
    for arm, final in (("clean", 0.75), ("poisoned", 0.5)):
        make_run(out / arm / "seed=0", final=final, poisoned=arm == "poisoned", success=0.875, query_size=20)
    write_study_report(out)
    return Page(out / "report.html")


def test_key_numbers_of_a_poisoned_study_are_those_of_its_first_comparison(tmp_path: Path) -> None:
    page = poisoned_study(tmp_path, {"arm": "poisoned", "against": "clean"})
    told = "poison among the queries, poisoned 0.880 88 of 100 queries, 88 of 100 poisons; random queries: 0.066"
    for part in ("0.750 → 0.500 clean → poisoned", told, "difference in accuracy -0.250 poisoned minus clean"):
        assert part in page.text


def test_random_queries_have_a_level_for_each_arm_where_they_differ() -> None:
    runs = [Run(Path(), {"poisons": n, "pool": 900}, (), "") for n in (100, 100, 300)]
    one, same, other = ([run] for run in runs)
    assert levels_of({"a": one, "b": same, "clean": []}, expected_share) == {"random": 0.1}
    assert levels_of({"a": one, "c": other}, expected_share) == {"random, a": 0.1, "random, c": 0.25}
    assert levels_of({"clean": []}, expected_share) == {}


def test_a_poisoned_study_that_compares_nothing_is_reported_without_key_numbers(tmp_path: Path) -> None:
    page = poisoned_study(tmp_path, {"arm": "poisoned"})
    assert "Poison among the queries" in page.text
    assert "difference in accuracy" not in page.text
