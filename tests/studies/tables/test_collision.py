"""Table I against numbers worked out by hand, and paired tests against the closed form."""

import copy
import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aal.errors import UserError
from aal.report.numbers import show
from aal.runs.reading import Run, read_cells, read_run
from aal.studies.paired import paired_test
from aal.studies.results import MeanSd, Table, lines, print_table, write_table
from aal.studies.study import Row, Study
from aal.studies.tables.collision import COLUMNS, PAPER, collision_table
from tests.studies.made_runs import in_setting, make_run

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
    clean, poisoned, initial = (row[key] for key in ("accuracy_against", "accuracy", "loss_initial"))
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


def beside(tmp_path: Path, name: str, *, clean: bool = True, **changed: Any) -> tuple[dict[str, Any], str]:
    """Return the row of a poisoned arm beside another, whose runs have the setting of a paper's figure, and the page.

    What is ``changed`` of the poisoned run's facts, by the keys that they have, is laid over its configuration.
    """
    config, summary = in_setting("collision", name)
    cells: dict[str, dict[int, Run]] = {}
    for arm in ("clean", "poisoned"):
        poisoned = arm == "poisoned" or not clean
        own = config if poisoned else {**config, "poison": None}
        own = copy.deepcopy(own)
        for key, value in (changed if arm == "poisoned" else {}).items():
            if "__" in key:
                place = own
                *path, last = key.split("__")
                for part in path:
                    place = place.setdefault(part, {}).setdefault("init_args", {})
                place[last] = value
        told = {**summary, **({k: v for k, v in changed.items() if "__" not in k} if arm == "poisoned" else {})}
        told = told if poisoned else {k: v for k, v in told.items() if k != "poisons"}
        folder = make_run(tmp_path / arm, pairs=False, query_size=50, poisoned=poisoned, config=own, **told)
        cells[arm] = {0: read_run(folder)}
    table = collision_table(study_of(Row("poisoned", "clean", name.split("/")[0])), cells)
    return table.rows[0], printed(table)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_figures_stand_beside_runs_of_its_setting(tmp_path: Path, name: str) -> None:
    row, text = beside(tmp_path, name)
    shown = {key: row[key].paper for key in PAPER[name]}
    assert shown == PAPER[name]
    assert "the setting that the paper states" in text
    assert "No figure of the paper" not in text


OTHER = {
    "backbone": ({"model__backbone__name": "mobilenet_v2"}, "model.backbone.name: mobilenet_v2 (paper: resnet50)"),
    "its weights": ({"model__backbone__weights": "x.pt"}, "model.backbone.weights: x.pt (paper: published)"),
    "size": ({"model__backbone__size": 96}, "model.backbone.size: 96 (paper: not set)"),
    "unfrozen": ({"model__freeze": False}, "model.freeze: false (paper: "),
    "late": ({"model__unfreeze_at": 0}, "model.unfreeze_at: 0 (paper: "),
    "pool": ({"pool": 800}, "pool: 800 (paper: 39980)"),
    "initial": ({"query__initial": 100}, "query.initial: 100 (paper: 20)"),
    "split": ({"data__test": "published"}, "data.test: published (paper: held_out)"),
    "limit": ({"data__limit": 100}, "data.limit: 100 (paper: "),
    "classes": ({"data__classes": ["airplane", "frog"]}, "data.classes: airplane or frog (paper: "),
    "fifty": ({"query__query_size": 50}, "query.query_size: 50 (paper: 1)"),
    "budget": ({"budget": 100}, "budget: 100 (paper: 500)"),
    "fewer": ({"poisons": 400}, "poisons: 400 (paper: 500)"),
    "mu": ({"poison__mu": "one"}, "poison.mu: one (paper: zero)"),
    "screen": ({"poison__screen": False}, "poison.screen: false (paper: true)"),
    "balance": ({"poison__balance": False}, "poison.balance: false (paper: true)"),
    "strategy": (
        {"query__strategy": {"class_path": "aal.strategies.Random"}},
        "query.strategy: Random (paper: Entropy)",
    ),
    "liar": ({"query__oracle": {"class_path": "aal.oracles.Malicious"}}, "query.oracle: Malicious (paper: "),
    "head": ({"head": "NN3"}, "The paper has no figures for Digits, NN3."),
}


@pytest.mark.parametrize("other", OTHER)
def test_under_another_setting_the_cells_are_empty_with_the_reason(tmp_path: Path, other: str) -> None:
    changed, reason = OTHER[other]
    row, text = beside(tmp_path, "CIFAR10/NN2", **changed)
    assert not [key for key, value in row.items() if isinstance(value, MeanSd) and value.paper is not None]
    assert reason in " ".join(text.split())
    assert "[" not in text.split("Final accuracy")[0]


def test_other_data_than_the_row_names_have_no_figure_beside_them(tmp_path: Path) -> None:
    data = {"class_path": "aal.datamodules.ImageFolder", "init_args": {"test": "held_out"}}
    run = read_run(make_run(tmp_path / "run", pairs=False, query_size=50, config={"data": data}))
    text = printed(collision_table(study_of(Row("poisoned", "clean", "STL10")), {"clean": {}, "poisoned": {0: run}}))
    assert "[0.347]" not in text
    assert "No figure of the paper beside poisoned: " in text
    assert "data: ImageFolder (paper: STL10)" in " ".join(text.split())
    text = printed(collision_table(study_of(Row("poisoned", "clean")), {"clean": {}, "poisoned": {0: run}}))
    assert "The paper has no figures for Digits, NN1." in text


def test_the_papers_clean_accuracy_stands_beside_a_clean_arm_alone(tmp_path: Path) -> None:
    row, text = beside(tmp_path, "STL10/NN1", clean=False)
    assert (row["accuracy"].paper, row["accuracy_against"].paper) == (0.347, None)
    assert "No figure of the paper beside clean: poison: PoisonInjection (paper: not set)." in " ".join(text.split())
    assert row["against"] == "clean"
    assert "compared" in text
    assert "acc. clean" not in text


def test_the_csv_file_has_every_number_in_full_precision(tmp_path: Path) -> None:
    table = make_table(tmp_path, norm_saved=0.1 + 0.2)
    write_table(table, tmp_path / "table.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text()))
    assert float(row["success_random_mean"]) == 100 / 1417
    assert float(row["norm_saved_mean"]) == 0.1 + 0.2
    assert float(row["accuracy_sd"]) == pytest.approx(0.16733, abs=1e-5)
    assert (row["accuracy_against_paper"], row["against"], row["n_arm"]) == ("", "clean", "5")
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
    assert "The paper has no figures for Digits, NN1" in text


@pytest.mark.parametrize("width", [120, 100, 80, 60, 40])
def test_numbers_are_never_split_and_what_does_not_fit_is_a_block_a_row(tmp_path: Path, width: int) -> None:
    table, text = make_table(tmp_path), io.StringIO()
    print_table(table, Console(file=text, width=width), "A title", "A note.")
    printed = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, printed)) <= width
    words = " ".join(printed).split()
    for column in table.printed:
        for part in filter(None, lines(table.rows[0][column.key], column.digits)):
            assert set(part.split()) <= set(words), column.title
    blocks = [line for line in printed if line.startswith("accuracy ")]
    assert blocks == ([] if width > 100 else ["accuracy           0.560 ±0.167"])


def test_rows_without_any_finished_run_are_dashes(tmp_path: Path) -> None:
    table = collision_table(study_of(Row("a", "b")), {"a": {}, "b": {}})
    assert "—" in printed(table)
    write_table(table, tmp_path / "table.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text()))
    assert row["accuracy_against_mean"] == ""
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
