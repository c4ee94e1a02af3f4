"""What a study tells: a line a cell with the time left, at its end tables as wide as there is room for."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from aal.cli.study import study as main
from aal.studies.cells import Cell
from aal.studies.display import StudyProgress
from aal.studies.study import read_study, save_study
from aal.studies.tables import TABLES
from tests.studies.made_runs import make_run, make_study_file


def test_time_left_is_told_from_the_first_finished_cell_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first, second, third, fourth, fifth = (Cell("arm", seed, tmp_path) for seed in range(5))
    with StudyProgress(cells=6, skipped=1) as progress:
        progress.begun(first)
        progress.begun(second)
        now += 60
        progress.done(first, 60)  # four to go, two at once; the second has had its minute
        progress.begun(third)
        now += 20
        progress.done(second, 80)  # the mean is 70 s; the third has had 20 of them
        progress.begun(fourth)
        progress.broken(fourth, "exit code 1", again=True)
        progress.broken(third, "exit code 1", again=False)
        progress.begun(fourth)
        now += 70
        progress.done(fourth, 70)
        progress.begun(fifth)
        progress.done(fifth, 70)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "1 of 6 cells are finished already",
        "arm seed=0: done in 60 s (2 of 6 cells, 0:01:30 left)",
        "arm seed=1: done in 80 s (3 of 6 cells, 0:01:35 left)",
        "arm seed=3: exit code 1; trying again",
        "arm seed=2: exit code 1",
        "arm seed=3: done in 70 s (4 of 6 cells, 0:01:10 left)",
        "arm seed=4: done in 70 s (5 of 6 cells)",
    ]


@pytest.mark.parametrize("width", [70, 80])
def test_many_running_cells_leave_room_for_bar_count_and_time_left(
    tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = StudyProgress(cells=40, skipped=0)
    cells = [Cell("nearest_neighbours_zero", seed, tmp_path) for seed in range(14)]
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    for cell in cells:
        progress.begun(cell)
    for cell in cells[:10]:
        progress.done(cell, 3600)
    progress.disable = False
    progress.look()
    console = Console(width=width, file=io.StringIO())
    console.print(progress.get_renderable())
    said = console.file.getvalue().splitlines()
    assert len(said) == 1
    assert said[0].startswith("study ━━━━━━                   10/40 cells · 0:00:00 , 2:08:34 left ")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Make a study's folder with two finished cells."""
    out = tmp_path / "out"
    save_study(read_study(make_study_file(tmp_path / "file", seeds=1), TABLES), out)
    for arm in ("clean", "poisoned"):
        make_run(out / arm / "seed=0", poisoned=arm == "poisoned", query_size=50, pairs=False)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("200", 200), (None, 120), ("0", 120), ("wide", 120)])
def test_piped_output_keeps_to_columns(
    study: Path,
    columns: str | None,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert main(["report", str(study)]) == 0
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines() if not line.startswith("Report: ")]
    assert max(map(len, said)) <= width
    assert any(line.startswith("accuracy  ") for line in said) == (width == 80), "a block a row where it does not fit"


def test_the_end_of_a_study_tells_how_its_offline_records_are_sent(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", str(study)])
    assert "wandb sync" not in capsys.readouterr().out
    (study / "clean" / "seed=0" / "wandb" / "offline-run-1").mkdir(parents=True)
    main(["report", str(study)])
    assert f"`wandb sync {study}/*/seed=*/wandb/offline-run-*` uploads what it took" in capsys.readouterr().out
