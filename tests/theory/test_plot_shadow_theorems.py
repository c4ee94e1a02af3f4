"""The script of Theorems 3.1 to 3.3: its tables, and what it refuses."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import ROOT

FEW = ("--etas", "linear", "--points", "5", "--cells", "24", "--sizes", "1000", "1e5")


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import plot_shadow_theorems

    return plot_shadow_theorems.main


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_it_says_from_which_n_on_each_theorem_names_a_point(main: Callable[[list[str]], None], tmp_path: Path) -> None:
    main([*FEW, "--betas", "0", "--out", str(tmp_path)])
    least = {row["theorem"]: row["least_n"] for row in rows(tmp_path / "least.csv")}
    assert int(least["3.1"]) == pytest.approx(2449, rel=0.1)
    assert 1000 < int(least["3.2"]) < 100_000
    assert least["3.3 proof"] == "", "at no n"
    area = {(row["theorem"], row["n"]): float(row["area"]) for row in rows(tmp_path / "sets.csv")}
    assert area["3.1", "1000"] == area["3.2", "1000"] == 0
    assert area["3.1", "100000"] > 0.3
    assert (tmp_path / "theorems.png").read_bytes()[:4] == b"\x89PNG"


def test_it_refuses_what_makes_no_sense(
    main: Callable[[list[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--etas", "plane", "--out", str(tmp_path)])
    assert "--etas: must be one of linear, sine, moons, got 'plane'" in capsys.readouterr().err
