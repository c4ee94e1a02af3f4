"""The table of densities that lean to the boundary, of planted runs: areas, tests, which density does best."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aal.runs.reading import read_run
from aal.studies.beta_outcomes import compared_at_each, holm, setting_of, setting_of_arm
from aal.studies.beta_panels import best_of
from aal.studies.results import MeanSd, Table, write_table
from aal.studies.study import Cells, Study, read_study, save_study
from aal.studies.study_page import write_study_report
from aal.studies.tables import TABLES, study_table
from tests.studies.made_runs import make_learning_run, make_study_file

SIZES = (100, 1000)
LEVELS = {  # of each arm: beta, floor, noisy, and its area at each number of points
    "uniform": (0.0, 0.01, True, (0.80, 0.90)),
    "half": (0.5, 0.01, True, (0.79, 0.95)),
    "one": (1.0, 0.1, True, (0.70, 0.85)),
    "alone": (0.0, 0.01, False, (0.60, 0.70)),
}
NOISE = (0.0, 0.002, -0.001, 0.001, -0.002)  # of each seed


def config(beta: float, floor: float, noisy: bool) -> dict[str, Any]:
    arguments = {"eta": "sine", "beta": beta, "floor": floor, "noisy": noisy, "dimensions": 2}
    network = {"class_path": "aal.networks.NearestNeighbours", "init_args": {"k": 1}}
    return {
        "data": {"class_path": "aal.datamodules.BetaSampling", "init_args": arguments},
        "model": {"class_path": "aal.models.ChoosingClassifier", "init_args": {"network": network}},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study of four arms over five seeds; of the last there is one run, with the smaller number of points alone."""
    folder = tmp_path_factory.mktemp("beta")
    arms = {arm: [] if arm == "uniform" else [{"note": arm}] for arm in LEVELS}
    against = {"half": "uniform", "one": "uniform"}
    file = make_study_file(
        folder / "files",
        name="beta",
        seeds=5,
        arms=arms,
        table="beta",
        settings={"columns": list(SIZES)},
        rows=[{"arm": arm, **({"against": against[arm]} if arm in against else {})} for arm in arms],
    )
    study, out = read_study(file, TABLES), folder / "out"
    out.mkdir()
    save_study(study, out)
    for arm, (beta, floor, noisy, levels) in LEVELS.items():
        for seed, noise in enumerate(NOISE[:1] if arm == "alone" else NOISE):
            sign = -1 if arm == "uniform" else 1  # so that differences vary
            areas = {n: level + sign * noise for n, level in zip(SIZES, levels, strict=True)}
            run = make_learning_run(
                out / arm / f"seed={seed}",
                areas if arm != "alone" else {100: areas[100]},
                seed=seed,
                config=config(beta, floor, noisy),
            )
            chosen_last(run, {"chosen_k": 9, "accuracy_drawn": 0.7, "accuracy_bayes": 0.72})
    return study, out


def chosen_last(run: Path, columns: Mapping[str, float]) -> None:
    """Put columns into the last round of a run."""
    *before, last = (run / "rounds.jsonl").read_text().splitlines()
    more = ", ".join(f'"{key}": {value}' for key, value in columns.items())
    (run / "rounds.jsonl").write_text("\n".join([*before, f"{last[:-1]}, {more}}}"]) + "\n")


@pytest.fixture(scope="module")
def table(made: tuple[Study, Path]) -> tuple[Table, Cells]:
    return study_table(*made)


def test_rows_say_the_setting_and_the_areas(table: tuple[Table, Cells]) -> None:
    rows = {str(row["arm"]): row for row in table[0].rows}
    assert list(rows) == list(LEVELS)
    half = rows["half"]
    assert (half["eta"], half["noise"], half["classifier"]) == ("sine", "noisy", "k-NN")
    assert (half["beta"], half["floor"], half["n"], half["chosen"]) == ("0.5", "0.01", 5, "k 9")
    assert (half["data"], half["density"]) == ("sine, noisy", "0.5, 0.01")
    assert rows["uniform"]["floor"] is None
    assert rows["uniform"]["density"] == "0"
    assert rows["alone"]["noise"] == "clean"
    for arm, (*_, levels) in LEVELS.items():
        for n, level in zip(SIZES, levels, strict=True):
            value = rows[arm][f"area_{n}"]
            assert isinstance(value, MeanSd)
            assert value.mean == (None if arm == "alone" and n == 1000 else pytest.approx(level))
    assert rows["one"]["accuracy_drawn"] == MeanSd(pytest.approx(0.7), pytest.approx(0), None, None)


def test_each_number_of_points_is_tested_and_the_verdict_is_told(table: tuple[Table, Cells]) -> None:
    tests = {(test.arm, test.against): test for test in table[0].tests}
    assert set(tests) == {(f"{arm}, n = {n}", f"uniform, n = {n}") for arm in ("half", "one") for n in ("100", "1,000")}
    assert tests["half, n = 1,000", "uniform, n = 1,000"].mean == pytest.approx(0.05)
    (verdict,) = [note for note in table[0].notes if note.startswith("k-NN, noisy labels")]
    assert verdict.endswith(
        "of 4 comparisons with the uniform density, the area is larger in 1, smaller in 3, undecided in 0."
    )


def test_the_best_density_is_marked_by_what_a_test_says(made: tuple[Study, Path], table: tuple[Table, Cells]) -> None:
    (study, _), (_, cells) = made, table
    found = compared_at_each(study, cells)
    arms = ["uniform", "half", "one"]
    few, many = (best_of(cells, arms, n, found) for n in SIZES)
    assert few is not None
    assert (few.beta, few.mark) == (0.0, "<")
    assert few.gain == pytest.approx(-0.01)
    assert many is not None
    assert (many.beta, many.density, many.mark) == (0.5, "β = 0.5, floor 0.01", "+")
    assert many.gain == pytest.approx(0.05)
    assert best_of(cells, ["alone"], 1000, found) is None
    setting = setting_of_arm(cells, "alone")
    assert setting is not None
    assert setting.title == "sine, labels without noise, k-NN"


def test_holms_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == [0.04, 0.09, 0.09, 0.5]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_report_has_both_figures(made: tuple[Study, Path], table: tuple[Table, Cells], tmp_path: Path) -> None:
    _, out = made
    write_study_report(out)
    page = (out / "report.html").read_text()
    assert "Which density does best" in page
    assert "β = 0.5, floor 0.01 (+0.0500) +" in page
    assert all((out / "figures" / f"beta_{name}.png").stat().st_size > 10_000 for name in ("area", "best"))
    write_table(table[0], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert float(rows["half"]["area_1000_mean"]) == pytest.approx(0.95)
    assert float(rows["half"]["difference_mean"]) == pytest.approx(0.05), "of the largest number"


@pytest.mark.parametrize(
    ("kernel", "named"),
    [
        ({}, "Nadaraya-Watson"),
        ({"kernel": "gaussian"}, "Nadaraya-Watson"),
        ({"kernel": "uniform"}, "Nadaraya-Watson (uniform)"),
    ],
)
def test_another_kernel_is_another_classifier(kernel: dict[str, str], named: str, tmp_path: Path) -> None:
    """So that no verdict is over both."""
    said = config(1.0, 0.1, True)
    said["model"]["init_args"]["network"] = {"class_path": "aal.networks.NadarayaWatson", "init_args": kernel}
    run = read_run(make_learning_run(tmp_path / "run", {100: 0.9}, config=said))
    setting = setting_of(run)
    assert setting is not None
    assert setting.classifier == named
