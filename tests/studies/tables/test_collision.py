"""Table I against numbers worked out by hand, and paired tests against the closed form."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from aal.errors import UserError
from aal.report.numbers import show
from aal.runs.reading import Run, read_cells, read_run
from aal.studies.paired import paired_test
from aal.studies.results import MeanSd, Table, lines, print_table, write_table
from aal.studies.study import Row, Study
from aal.studies.tables.collision import COLUMNS, PAPER, collision_table, paper_figures
from tests.studies.made_runs import SETTING, make_run

CLEAN, POISONED = (0.9, 0.8, 0.9, 0.8, 0.9), (0.8, 0.6, 0.6, 0.4, 0.4)  # differences -0.1, -0.2, ... -0.5


def make_cells(out: Path, arm: str, finals: tuple[float, ...], **settings: object) -> dict[int, Run]:
    for seed, final in enumerate(finals):
        make_run(out / arm / f"seed={seed}", seed=seed, final=final, query_size=50, pairs=False, **settings)  # type: ignore[arg-type]
    return read_cells(out, arm, range(100))


def study_of(*rows: Row) -> Study:
    return Study("", "", "", (0,), 1, "collision", rows, {})


def make_table(out: Path, **settings: object) -> Table:
    cells = {
        "clean": make_cells(out, "clean", CLEAN, poisoned=False),
        "poisoned": make_cells(out, "poisoned", POISONED, success=0.97, **settings),
    }
    return collision_table(study_of(Row("poisoned", "clean")), cells)


def test_means_and_spreads_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    (row,) = make_table(tmp_path).rows
    clean, poisoned, initial = (row[key] for key in ("accuracy_clean", "accuracy_poisoned", "loss_initial"))
    assert isinstance(clean, MeanSd)
    assert isinstance(poisoned, MeanSd)
    assert isinstance(initial, MeanSd)
    assert clean.mean == pytest.approx(0.86)
    assert clean.sd == pytest.approx(math.sqrt((3 * 0.04**2 + 2 * 0.06**2) / 4))
    assert poisoned.mean == pytest.approx(0.56)
    assert poisoned.sd == pytest.approx(math.sqrt((0.24**2 + 2 * 0.04**2 + 2 * 0.16**2) / 4))
    assert initial.mean == pytest.approx(84)  # 82 to 86: the square, not the norm
    assert initial.sd == pytest.approx(math.sqrt(10 / 4))
    adversarial, success, random, expected, seconds = (
        row[key]
        for key in (
            "loss_adversarial",
            "success_poison",
            "success_random",
            "success_random_expected",
            "seconds_per_poison",
        )
    )
    assert adversarial == MeanSd(pytest.approx(0.66), pytest.approx(0))
    assert success == MeanSd(pytest.approx(0.97), pytest.approx(0))
    assert random == MeanSd(pytest.approx(100 / 1417), pytest.approx(0))
    assert expected == MeanSd(pytest.approx(100 / 1517), pytest.approx(0))
    assert seconds == MeanSd(pytest.approx(0.05), pytest.approx(0))
    assert [row[key] for key in ("data", "head", "arm", "n", "poisons")] == ["Digits", "NN1", "poisoned", "5", "100"]


def test_the_paired_test_is_the_closed_form(tmp_path: Path) -> None:
    (test,) = make_table(tmp_path).tests
    t = -0.3 / (math.sqrt(0.1 / 4) / math.sqrt(5))
    # Student's t of 4 degrees of freedom has an elementary distribution function.
    p = 1 - 2 * (3 / 8) * abs(t) / math.sqrt(1 + t**2 / 4) * (1 - t**2 / (1 + t**2 / 4) / 12)
    assert test.n == 5
    assert test.mean == pytest.approx(-0.3)
    assert test.sd == pytest.approx(math.sqrt(0.1 / 4))
    assert test.t == pytest.approx(t)
    assert test.p == pytest.approx(p)
    text = "poisoned minus clean: n = 5, difference -0.300 ± 0.158, paired t-test, two-sided: t(4) = -4.24, p = 0.013"
    assert str(test) == text


def test_only_seeds_of_both_arms_enter_and_under_five_there_is_no_claim(tmp_path: Path) -> None:
    clean = make_cells(tmp_path, "clean", CLEAN, poisoned=False)
    poisoned = make_cells(tmp_path, "poisoned", POISONED)
    del clean[1], poisoned[3]
    test = paired_test("poisoned", "clean", poisoned, clean)
    assert (test.n, test.t, test.p) == (3, None, None)
    assert test.mean == pytest.approx((-0.1 - 0.3 - 0.5) / 3)
    assert "no claim" in str(test)
    assert "p =" not in str(test)


@pytest.mark.parametrize("n", [0, 1])
def test_no_seed_and_one_seed_are_no_test(tmp_path: Path, n: int) -> None:
    clean, poisoned = (make_cells(tmp_path, arm, values[:n]) for arm, values in (("c", CLEAN), ("p", POISONED)))
    test = paired_test("p", "c", poisoned, clean)
    assert (test.n, test.sd, test.p) == (n, None, None)
    assert (test.mean is None) == (n == 0)
    assert "no claim" in str(test)


@pytest.mark.parametrize("shift", [0.0, -0.25])
def test_differences_that_do_not_vary_have_no_t_test(tmp_path: Path, shift: float) -> None:
    clean = make_cells(tmp_path, "clean", CLEAN, poisoned=False)
    poisoned = make_cells(tmp_path, "poisoned", tuple(value + shift + 1e-8 * value for value in CLEAN))
    test = paired_test("poisoned", "clean", poisoned, clean)
    assert (test.t, test.p) == (None, None)
    assert test.mean == pytest.approx(shift, abs=1e-6)
    assert "do not vary" in str(test)


def test_accuracies_at_unequal_budgets_are_not_compared(tmp_path: Path) -> None:
    clean = make_cells(tmp_path, "clean", CLEAN, poisoned=False, budget=50)
    poisoned = make_cells(tmp_path, "poisoned", POISONED)
    test = paired_test("poisoned", "clean", poisoned, clean)
    assert (test.mean, test.p) == (None, None)
    assert "not compared: seed 0 has 120 labels in poisoned and 70 in clean" in str(test)


WORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]


def configured(data: str = "CIFAR10", **changed: dict[str, object]) -> dict[str, object]:
    """Return a configuration of the paper's setting with the arguments of a part changed."""
    parts = {"data": {"limit": None}, "query": {"query_size": 1}, "model": {"freeze": True, "unfreeze_at": None}}
    parts["data"] |= {"words": WORDS} if data == "SpeechCommands" else {"classes": None}  # type: ignore[dict-item]
    classes = {
        "data": f"datamodules.{data}",
        "query": "aal.callbacks.QueryRounds",
        "model": "aal.models.TransferClassifier",
    }
    return {
        key: {"class_path": classes[key], "init_args": {**arguments, **changed.get(key, {})}}
        for key, arguments in parts.items()
    }


def paper_run(
    folder: Path, config: dict[str, object], poison: dict[str, object] = SETTING, **summary: object
) -> Mapping[str, float | str]:
    """Return the paper's figures beside a run of 500 poisons with a configuration."""
    run = read_run(make_run(folder, pairs=False, query_size=50, poison=poison, config=config))
    same = {"data": "any name", "head": "NN2", "poisons": 500, "budget": 500}
    return paper_figures(Run(folder, {**run.summary, **same, **summary}, run.rounds, run.config))


def test_the_papers_figures_stand_beside_ours_only_under_its_setting(tmp_path: Path) -> None:
    ours = configured()
    assert paper_run(tmp_path / "same", ours) == PAPER["CIFAR10/NN2"]
    assert paper_run(tmp_path / "same2", ours)["accuracy_poisoned"] == 0.341
    assert paper_run(tmp_path / "audio", configured("SpeechCommands"), head="NN1")["accuracy_clean"] == 0.252
    assert paper_run(tmp_path / "stl", configured("STL10"))["accuracy_clean"] == 0.844
    other = {"fewer": {"poisons": 400}, "budget": {"budget": 100}}
    other |= {"random": {"strategy": "Random"}, "head": {"head": "NN3"}}
    for name, summary in other.items():
        assert paper_run(tmp_path / name, ours, **summary) == {}  # type: ignore[arg-type]
    for name, value in (("mu", "one"), ("screen", False), ("balance", False)):
        poison = {**SETTING, "init_args": {**SETTING["init_args"], name: value}}  # type: ignore[dict-item]
        assert paper_run(tmp_path / f"other {name}", ours, poison) == {}


@pytest.mark.parametrize(
    "config",
    [
        configured(model={"freeze": False}),
        configured(model={"unfreeze_at": 0}),
        configured(query={"query_size": 50}),
        configured(data="ImageFolder"),
        configured(data="Digits"),
        configured("CIFAR10") | {"data": {"class_path": "CIFAR10", "init_args": {"classes": ["airplane", "frog"]}}},
        configured("STL10") | {"data": {"class_path": "aal.datamodules.STL10", "init_args": {"limit": 100}}},
        configured("SpeechCommands")
        | {"data": {"class_path": "aal.datamodules.SpeechCommands", "init_args": {"words": WORDS[:3]}}},
        {},
    ],
    ids=["unfrozen", "late", "fifty", "folder", "digits", "two classes", "limit", "three words", "unknown"],
)
def test_a_part_that_is_not_the_papers_has_no_figures_beside_it(tmp_path: Path, config: dict[str, object]) -> None:
    for data in ("CIFAR10", "STL10", "SpeechCommands"):
        assert paper_run(tmp_path / data, config, data=data) == {}, "the name is free, the setting is not"


def test_the_name_of_the_data_is_free_and_arguments_may_be_absent(tmp_path: Path) -> None:
    bare = {"query": {"init_args": {"query_size": 1}}, "model": {"class_path": "aal.models.TransferClassifier"}}
    assert paper_run(tmp_path / "bare", {**bare, "data": {"class_path": "STL10"}})["accuracy_poisoned"] == 0.7
    cells = {"clean": {}, "poisoned": {}}
    for seed, data in enumerate(("CIFAR10", "ImageFolder")):
        folder = make_run(tmp_path / data, pairs=False, query_size=50, config=configured(data), data=f"my {data}")
        cells["poisoned"][seed] = read_run(folder)
    assert "The paper has no figures for my ImageFolder." in printed(
        collision_table(study_of(Row("poisoned", "clean")), cells)
    )


def test_a_row_may_name_the_papers_data_set(tmp_path: Path) -> None:
    cells = {"clean": {}, "poisoned": {0: read_run(make_run(tmp_path / "run", pairs=False, query_size=50))}}
    table = collision_table(study_of(Row("poisoned", "clean", "STL10")), cells)
    text = printed(table)
    assert "[0.347]" in text
    assert "[0.862]" in text
    assert "where our setting differs the study's note says how" in text
    assert "has no figures for" not in text


def test_the_csv_file_has_every_number_in_full_precision(tmp_path: Path) -> None:
    table = make_table(tmp_path, norm_saved=0.1 + 0.2)
    write_table(table, tmp_path / "table.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text()))
    assert float(row["success_random_mean"]) == 100 / 1417
    assert float(row["norm_saved_mean"]) == 0.1 + 0.2
    assert float(row["accuracy_poisoned_sd"]) == pytest.approx(0.16733, abs=1e-5)
    assert (row["accuracy_clean_paper"], row["clean_arm"], row["n_poisoned"]) == ("", "clean", "5")
    assert float(row["difference_p"]) == table.tests[0].p
    assert row["labels"] == "120"
    assert [float(row[f"{key}_mean"]) for key in ("perturbation_l2", "perturbation_linf", "psnr")] == [1.2, 0.1, 16.5]
    assert row["snr_mean"] == "", "images have no SNR"


def printed(table: Table) -> str:
    text = io.StringIO()
    print_table(table, Console(file=text, width=120), "A title", "A note.")
    return text.getvalue()


def test_the_printed_table_fits_and_says_what_it_means(tmp_path: Path) -> None:
    text = printed(make_table(tmp_path))
    assert max(len(line) for line in text.splitlines()) <= 120
    for part in ("A title", "A note.", "0.860", "±0.055", "0.560", "0.071", "0.066", "p = 0.013"):
        assert part in text
    assert "The paper has no figures for Digits" in text


def test_the_printed_table_shows_the_papers_figures(tmp_path: Path) -> None:
    text = printed(make_table(tmp_path, data="STL10", poisons=500, budget=100))
    assert "[" not in text.split("Final accuracy")[0]
    cells = {"clean": {}, "poisoned": {}}
    figures = {"data": "STL10", "poisons": 500}
    folder = make_run(tmp_path / "stl", pairs=False, budget=500, config=configured("STL10"), **figures)  # type: ignore[arg-type]
    cells["poisoned"] = {0: read_run(folder)}
    text = printed(collision_table(study_of(Row("poisoned", "clean")), cells))
    for part in ("[0.347]", "[66,451]", "[107.7]", "[0.126]", "[113.1]"):
        assert part in text


def test_rows_without_any_finished_run_are_dashes(tmp_path: Path) -> None:
    table = collision_table(study_of(Row("a", "b")), {"a": {}, "b": {}})
    assert "—" in printed(table)
    write_table(table, tmp_path / "table.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text()))
    assert row["accuracy_clean_mean"] == ""
    assert len(row) == sum(3 if column.estimated else 1 for column in COLUMNS)


def test_cells_that_are_broken_or_of_another_seed_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "arm" / "seed=1", seed=2, pairs=False)
    with pytest.raises(UserError, match=r"seed=1.*seed 2"):
        read_cells(tmp_path, "arm", range(100))
    (tmp_path / "arm" / "seed=1" / "summary.json").write_text('{"accuracy": "high"}')
    with pytest.raises(UserError, match=r"summary\.json"):
        read_cells(tmp_path, "arm", range(100))


def test_unfinished_cells_do_not_enter(tmp_path: Path) -> None:
    make_run(tmp_path / "arm" / "seed=0", pairs=False)
    (make_run(tmp_path / "arm" / "seed=1", seed=1, pairs=False) / "summary.json").unlink()
    (tmp_path / "arm" / "seed=2.log").write_text("")
    assert list(read_cells(tmp_path, "arm", range(100))) == [0]


def test_a_rounds_file_that_was_cut_off_is_read_and_one_that_was_damaged_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", pairs=False, query_size=50)
    whole = (folder / "rounds.jsonl").read_bytes()
    (folder / "rounds.jsonl").write_bytes(whole[:-5])
    assert len(read_run(folder).rounds) == 2
    (folder / "rounds.jsonl").write_bytes(b"{damaged\n" + whole)
    with pytest.raises(UserError, match=r"rounds\.jsonl"):
        read_run(folder)


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        (None, 3, "—"),
        (0.0, 3, "0.000"),
        (0.86249, 3, "0.862"),
        (-0.5, 3, "-0.500"),
        (0.0012345, 3, "0.0012"),
        (0.00001234, 3, "0.000012"),
        (99.9999, 2, "100.00"),
        (107.729, 3, "107.7"),
        (66450.624, 2, "66,451"),
        (500, 0, "500"),
    ],
)
def test_numbers_are_printed_with_the_digits_that_their_size_needs(
    number: float | None, digits: int, text: str
) -> None:
    assert show(number, digits) == text


def test_a_spread_is_printed_like_its_mean() -> None:
    assert lines(MeanSd(66450.6, 12.34), 2) == ("66,451", "±12", "")
    assert lines(MeanSd(0.862, 0.0004, 0.9), 3) == ("0.862", "±0.000", "0.900")
    assert lines(MeanSd(0.0012, 0.00031), 3) == ("0.0012", "±0.0003", "")
