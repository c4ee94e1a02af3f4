"""Running a study's cells as real processes: skipping, retrying, naming broken ones, being killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aal.cli import study as study_command
from aal.cli.fit import fit
from aal.errors import UserError
from aal.studies.arms import Arm
from aal.studies.cells import Cell, config_files, fit_command
from aal.studies.execution import run_study
from aal.studies.study import Study, read_study, save_study
from aal.studies.tables import TABLES
from tests.studies.made_runs import make_run, make_study_file

ROOT = Path(__file__).parents[2]
# A cell that takes some milliseconds. It counts its starts in "starts"; what it does at a start says a file "acts".
CELL = """
import os, sys, time
from pathlib import Path
folder, configs = Path(sys.argv[1]), sys.argv[2:]
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "starts", "a") as starts:
    starts.write(f"{os.getpid()} {time.time()} {os.environ['OMP_NUM_THREADS']} {os.environ['OMP_WAIT_POLICY']}\\n")
acts = (folder / "acts").read_text().split() if (folder / "acts").exists() else []
act = acts[len((folder / "starts").read_text().splitlines()) - 1 :][:1] or ["done"]
print("some noise"); print(f"this is the {act[0]} line", flush=True)
if act[0] == "hang":
    time.sleep(600)
if act[0].startswith("exit"):
    sys.exit(int(act[0][4:]))
if act[0] == "killed":
    os.kill(os.getpid(), 9)
time.sleep(0.1)
(folder / "configs").write_text("\\n".join(Path(config).read_text() for config in configs))
if act[0] != "nothing":
    (folder / "summary.json").write_text("{}")
    (folder / "report.html").write_text("")
(folder / "ended").write_text(str(time.time()))
"""


def test_the_command_starts_without_what_takes_seconds_to_import() -> None:
    slow = {"torch", "matplotlib", "pytorch_lightning", "PIL"}
    code = f"import sys, aal.cli.study; print(sorted({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"


def fast_cell(cell: Cell, configs: list[str]) -> list[str]:
    return [sys.executable, "-c", CELL, str(cell.folder), *configs]


def starts(out: Path, arm: str, seed: int) -> list[list[str]]:
    return [line.split() for line in (out / arm / f"seed={seed}" / "starts").read_text().splitlines()]


def act(out: Path, arm: str, seed: int, *acts: str) -> None:
    folder = out / arm / f"seed={seed}"
    folder.mkdir(parents=True)
    (folder / "acts").write_text(" ".join(acts))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(make_study_file(tmp_path / "file", threads=2), TABLES)


@pytest.fixture
def out(tmp_path: Path, study: Study) -> Path:
    save_study(study, tmp_path / "out")  # so that tests may prepare cells in it
    return tmp_path / "out"


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists() and path.read_text().endswith("\n"):
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


@pytest.mark.quick
def test_every_cell_runs_once_under_its_configs_and_threads(study: Study, out: Path) -> None:
    assert run_study(study, out, 2, fast_cell) == {}
    for arm in ("clean", "poisoned"):
        for seed in range(3):
            ((_, _, threads, policy),) = starts(out, arm, seed)
            assert (threads, policy) == ("2", "PASSIVE")
            configs = (out / arm / f"seed={seed}" / "configs").read_text()
            assert ("poison: null" in configs) == (arm == "clean")
    assert run_study(study, out, 2, fast_cell) == {}
    assert len(starts(out, "clean", 0)) == 1


def test_a_cell_has_no_rank_among_others(study: Study, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
    told += (
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NTASKS",
        "SLURM_NTASKS_PER_NODE",
        "OMPI_COMM_WORLD_RANK",
        "PMI_RANK",
    )
    for name in (*told, "SLURM_JOB_ID"):
        monkeypatch.setenv(name, "3")

    def command(cell: Cell, configs: list[str]) -> list[str]:
        kept = f"import os; open({str(out / f'{cell.arm}.{cell.seed}')!r}, 'w').write(' '.join(os.environ))"
        return [sys.executable, "-c", f"{kept}\n{CELL}", str(cell.folder), *configs]

    assert run_study(study, out, 2, command) == {}
    left = set((out / "clean.0").read_text().split())
    assert left & {*told, "SLURM_JOB_ID"} == {"SLURM_JOB_ID"}


def test_any_folder_of_a_cell_claims_its_arm(study: Study, out: Path, tmp_path: Path) -> None:
    act(out, "clean", 0, "done")  # and nothing else, such as a configuration, is in it
    changed = read_study(make_study_file(tmp_path / "changed", threads=1), TABLES)
    with pytest.raises(UserError, match="the arm 'clean' has cells there, but its configs or threads have changed"):
        run_study(changed, out, 1, fast_cell)


def test_no_more_cells_than_jobs_run_at_once(study: Study, out: Path) -> None:
    run_study(study, out, 2, fast_cell)
    events = []
    for arm in ("clean", "poisoned"):
        for seed in range(3):
            events.append((float(starts(out, arm, seed)[0][1]), 1))
            events.append((float((out / arm / f"seed={seed}" / "ended").read_text()), -1))
    running, most = 0, 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    assert most == 2


@pytest.mark.parametrize("first", ["exit3", "exit1", "killed", "nothing"])
def test_a_cell_that_broke_once_is_tried_again(study: Study, out: Path, first: str) -> None:
    act(out, "poisoned", 1, first, "done")
    assert run_study(study, out, 2, fast_cell) == {}
    assert len(starts(out, "poisoned", 1)) == 2


def test_broken_cells_are_named_and_tried_again_by_the_next_invocation(
    study: Study, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    act(out, "poisoned", 1, "exit3", "killed", "done")
    broken = run_study(study, out, 2, fast_cell)
    log = out / "poisoned" / "seed=1.log"
    assert {(cell.arm, cell.seed, why) for cell, why in broken.items()} == {
        ("poisoned", 1, f"exit code 137: this is the killed line (log: {log})")
    }
    assert "poisoned seed=1: exit code 3: this is the exit3 line" in capfd.readouterr().err
    assert run_study(study, out, 2, fast_cell) == {}


def test_a_configuration_that_a_cell_refuses_ends_the_study(study: Study, out: Path) -> None:
    act(out, "clean", 0, "exit2", "done")
    with pytest.raises(UserError, match="clean seed=0: this is the exit2 line"):
        run_study(study, out, 1, fast_cell)
    assert len(starts(out, "clean", 0)) == 1, "wrong input was tried again"
    assert not (out / "clean" / "seed=1.log").exists(), "the study went on"
    assert run_study(study, out, 2, fast_cell) == {}


def test_output_goes_to_a_log_beside_the_cell(study: Study, out: Path) -> None:
    run_study(study, out, 2, fast_cell)
    assert (out / "clean" / "seed=0.log").read_text() == "some noise\nthis is the done line\n"


def test_a_config_that_changes_while_the_study_runs_ends_it(study: Study, out: Path, tmp_path: Path) -> None:
    def command(cell: Cell, configs: list[str]) -> list[str]:
        if cell.seed == 1:
            (tmp_path / "file" / "base.yaml").write_text("data: Other\n")
        return fast_cell(cell, configs)

    with pytest.raises(UserError, match="changed while the study ran"):
        run_study(study, out, 1, command)
    assert not (out / "clean" / "seed=2").exists()


def test_several_studies_run_one_after_the_other_each_in_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(study: Study, folder: Path, jobs: int) -> dict[Cell, str]:
        if study.name == "two":
            raise UserError("no weights")
        for arm in study.arms:
            for seed in study.seeds:
                make_run(folder / arm / f"seed={seed}", seed=seed, poisoned=arm == "poisoned")
        save_study(study, folder)
        return {}

    monkeypatch.setattr(study_command, "run_study", run)
    files = [str(make_study_file(tmp_path / name, name=name)) for name in ("one", "two", "three")]
    assert study_command.study(["run", *files, "--out", str(tmp_path / "out")]) == 2
    assert "error: two: no weights" in capsys.readouterr().err
    assert [(tmp_path / "out" / name / "table.csv").is_file() for name in ("one", "two", "three")] == [
        True,
        False,
        True,
    ]
    assert study_command.study(["run", files[0], "--out", str(tmp_path / "alone")]) == 0
    assert (tmp_path / "alone" / "report.html").is_file(), "a study alone has the folder to itself"
    with pytest.raises(UserError, match="two of the studies are called one"):
        study_command.study(["run", files[0], files[0], "--out", str(tmp_path / "twice")])
    assert not (tmp_path / "twice").exists()


def test_the_command_of_a_cell(tmp_path: Path) -> None:
    cell = Cell("arm", 3, tmp_path / "arm" / "seed=3")
    assert fit_command(cell, ["a.yaml", "b.yaml"]) == [
        *(sys.executable, "-m", "aal", "fit", "--config", "a.yaml", "--config", "b.yaml"),
        *("--out", str(cell.folder), "--seed_everything", "3", "--ckpt_path", "last"),
    ]


def resolved(configs: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return what the command line makes of configs."""
    with pytest.raises(SystemExit, match="0"):
        fit([*(word for config in configs for word in ("--config", config)), "--print_config"])
    return dict(yaml.safe_load(capsys.readouterr().out))


@pytest.mark.parametrize("data", ["HalfMoons", "BreastCancer", "ToyMixture", "Digits"])
def test_a_bank_under_a_cells_configs_changes_no_default_of_its_data(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"data: {data}\n")
    alone = resolved([str(file)], capsys)["data"]
    study = Study("s", "s", "", (0,), 1, "shadow", (), {"arm": Arm((str(file),), "")})
    under = resolved(config_files(study, Cell("arm", 0, tmp_path / "arm"), tmp_path), capsys)["data"]
    if "bank" in alone["init_args"]:
        assert under["init_args"].pop("bank") == str(tmp_path / "features")
        alone["init_args"].pop("bank")
    assert under == alone


def test_an_arm_that_names_no_data_has_no_bank_under_it(tmp_path: Path) -> None:
    study = Study("s", "s", "", (0,), 1, "shadow", (), {"arm": Arm(({"data": {"init_args": {"val": 1}}},), "")})
    assert config_files(study, Cell("arm", 0, tmp_path / "arm"), tmp_path) == [str(tmp_path / "arm" / "0.yaml")]


STUDY_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.studies.test_study_run import fast_cell
from aal.studies.execution import run_study
from aal.studies.study import read_study
from aal.studies.tables import TABLES
run_study(read_study(Path({file!r}), TABLES), Path({out!r}), 2, fast_cell)
"""


def start_study(tmp_path: Path, out: Path, name: str = "file") -> subprocess.Popen[bytes]:
    code = textwrap.dedent(STUDY_PROCESS).format(root=str(ROOT), file=str(tmp_path / name / "study.yaml"), out=str(out))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Hear SIGINT here and in child processes, even where the tests run in a script's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Dying:
    """Is interrupted while it is destroyed, where an exception is lost."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("interrupts")
def test_no_moment_loses_an_interrupt(study: Study, out: Path) -> None:
    def command(cell: Cell, configs: list[str]) -> list[str]:
        Dying()
        return fast_cell(cell, configs)

    with pytest.raises(KeyboardInterrupt):
        run_study(study, out, 1, command)
    assert not (out / "poisoned").exists(), "the study went on"
    assert run_study(study, out, 2, fast_cell) == {}


def test_a_study_in_a_scripts_background_is_as_deaf_to_interrupts_as_it(study: Study, out: Path) -> None:
    def command(cell: Cell, configs: list[str]) -> list[str]:
        Dying()
        return fast_cell(cell, configs)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_study(study, out, 2, command) == {}
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_cell_outlives_a_killed_study_and_the_next_one_continues(
    study: Study, out: Path, tmp_path: Path, number: signal.Signals
) -> None:
    act(out, "clean", 0, "hang", "done")
    act(out, "poisoned", 0, "hang", "done")
    process = start_study(tmp_path, out)
    for arm in ("clean", "poisoned"):
        wait_for(out / arm / "seed=0" / "starts")
    os.kill(process.pid, number)
    assert process.wait(20) != 0
    for arm in ("clean", "poisoned"):
        assert gone(int(starts(out, arm, 0)[0][0]))
    assert run_study(study, out, 2, fast_cell) == {}
    assert [len(starts(out, arm, seed)) for arm in ("clean", "poisoned") for seed in range(3)] == [2, 1, 1, 2, 1, 1]


def test_two_studies_into_one_folder_are_refused(study: Study, out: Path, tmp_path: Path) -> None:
    act(out, "clean", 0, "hang")
    process = start_study(tmp_path, out)
    wait_for(out / "clean" / "seed=0" / "starts")
    with pytest.raises(UserError, match="another process"):
        run_study(study, out, 1, fast_cell)
    process.terminate()
    process.wait(20)


READING = {  # an arm that reads one that reads two, before those in the file
    "last": [{"run": "cell:middle"}],
    "middle": [{"query": {"run": "cell:clean", "others": ["cell:poisoned"], "at": [10]}}],
    "clean": [{"poison": None}],
    "poisoned": [],
}


@pytest.fixture
def reading(tmp_path: Path) -> Study:
    return read_study(make_study_file(tmp_path / "reading", arms=READING, seeds=2), TABLES)


def ended(out: Path, arm: str, seed: int) -> float:
    return float((out / arm / f"seed={seed}" / "ended").read_text())


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_cell_starts_when_those_that_it_reads_have_finished_and_is_told_where(
    reading: Study, tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "out"
    assert run_study(reading, out, jobs, fast_cell) == {}
    for seed in range(2):
        began = {arm: float(starts(out, arm, seed)[0][1]) for arm in ("middle", "last")}
        assert began["middle"] >= max(ended(out, arm, seed) for arm in ("clean", "poisoned"))
        assert began["last"] >= ended(out, "middle", seed)
        told = (out / "middle" / f"seed={seed}" / "configs").read_text()
        for arm in ("clean", "poisoned"):
            assert str(out / arm / f"seed={seed}") in told
        assert "cell:" not in told
        assert f"run: {out / 'middle' / f'seed={seed}'}\n" in (out / "last" / f"seed={seed}" / "configs").read_text()
    assert run_study(reading, out, jobs, fast_cell) == {}
    assert len(starts(out, "last", 1)) == 1


def test_a_source_that_broke_once_is_waited_for(reading: Study, tmp_path: Path) -> None:
    save_study(reading, tmp_path / "out")
    act(tmp_path / "out", "clean", 0, "exit3", "done")
    assert run_study(reading, tmp_path / "out", 2, fast_cell) == {}
    assert float(starts(tmp_path / "out", "middle", 0)[0][1]) >= ended(tmp_path / "out", "clean", 0)


def test_cells_that_read_a_broken_one_are_named_and_run_when_it_has_been_mended(reading: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_study(reading, out)
    act(out, "poisoned", 1, "exit3", "exit3", "done")
    broken = run_study(reading, out, 2, fast_cell)
    assert [(cell.name, why) for cell, why in broken.items()] == [
        ("poisoned seed=1", f"exit code 3: this is the exit3 line (log: {out / 'poisoned' / 'seed=1.log'})"),
        ("middle seed=1", "not started: it reads poisoned seed=1, which is broken"),
        ("last seed=1", "not started: it reads middle seed=1, which is broken"),
    ]
    assert (out / "last" / "seed=0" / "summary.json").exists(), "the other seed had to wait"
    assert not (out / "middle" / "seed=1").exists()
    assert run_study(reading, out, 2, fast_cell) == {}
    assert float(starts(out, "last", 1)[0][1]) >= ended(out, "middle", 1) >= ended(out, "poisoned", 1)


def test_a_study_stopped_while_a_source_ran_goes_on(reading: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_study(reading, out)
    act(out, "clean", 0, "exit2", "done")
    with pytest.raises(UserError, match="clean seed=0"):
        run_study(reading, out, 2, fast_cell)
    assert not (out / "middle" / "seed=0").exists()
    assert run_study(reading, out, 2, fast_cell) == {}
    assert float(starts(out, "middle", 0)[0][1]) >= ended(out, "clean", 0)
