"""Runs that are interrupted, and runs whose folder goes away: exit code 3, one line, and they go on later."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import EXPERIMENT, ROOT, MadeOnce, aal, finished, fit, results
from tests.studies.made_runs import make_study_file

# Does something at the nth call of a function, given by the end of its file and its name.
AT = """
import os, shutil, signal, subprocess, sys, time
import aal.cli.fit, aal.cli.selftest, aal.cli.study
from aal.__main__ import main
from tests.moments import when
file, name, nth, act, out = sys.argv[1:6]
del sys.argv[1:6]
act = compile(act, "act", "exec")  # of a text, an interrupt would end Python itself
when(file, name, "call", int(nth), lambda: exec(act, globals()))
main()
"""
GO_ON = "stopped: interrupted; the same command with --ckpt_path last goes on\n"
SIGNAL = "os.kill(os.getpid(), signal.{})"
MOMENTS = {  # file, function and the number of its call
    "reading the command line": ("command_line.py", "with_files", 1),
    "setting up": ("datamodules/digits.py", "load", 1),
    "crafting": ("feature_collision.py", "attack", 1),
    "between batches of poisons": ("poisons/poison_folder.py", "record", 2),
    "training": ("rounds.py", "on_train_epoch_start", 9),
    "querying": ("strategies/margin.py", "select", 3),
    "saving": ("round_checkpoint.py", "save_checkpoint", 2),
    "summing up": ("records.py", "write_summary", 1),
    "writing the report": ("run_page.py", "write_run_report", 1),
}
OPTIONS = ("--poison.init_args.batch_size=8", "--query.init_args.strategy=aal.strategies.Margin")


def at(moment: tuple[str, str, int], act: str, out: Path) -> dict[str, object]:
    return {"code": AT, "before": (*map(str, moment), act, str(out))}


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("reading the command line", "SIGTERM"),
        ("setting up", "SIGINT"),
        ("crafting", "SIGTERM"),
        ("querying", "SIGHUP"),
        ("writing the report", "SIGTERM"),
        *(
            pytest.param(moment, number, marks=pytest.mark.slow)
            for moment, number in (("training", "SIGINT"), ("saving", "SIGTERM"), ("summing up", "SIGINT"))
        ),
    ],
)
def test_an_interrupted_run_says_how_it_goes_on_and_does(
    moment: str, number: str, made_once: MadeOnce, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped = fit(out, *OPTIONS, **at(MOMENTS[moment], SIGNAL.format(number), out))
    assert (stopped.returncode, stopped.stderr.splitlines(True)[-1]) == (3, GO_ON)
    assert "Traceback" not in stopped.stderr
    assert not (out / "summary.json").exists() or not (out / "report.html").exists()
    resumed = fit(out, *OPTIONS, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(made_once("interrupts", lambda whole: finished(whole, *OPTIONS)))


def test_a_second_signal_while_it_stops_ends_it_at_once(tmp_path: Path) -> None:
    out = tmp_path / "run"
    act = (
        "import pytorch_lightning.trainer.call as call\n"
        "def again(*arguments):\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n"
        f"call._interrupt = again\n{SIGNAL.format('SIGINT')}"
    )
    began = time.monotonic()
    stopped = fit(out, *OPTIONS, **at(MOMENTS["crafting"], act, out))
    assert (stopped.returncode, stopped.stderr) == (3, GO_ON)
    assert time.monotonic() - began < 50, "it waited for what hangs"


def test_an_interrupt_that_is_lost_ends_it_a_little_later(tmp_path: Path) -> None:
    out = tmp_path / "run"
    act = (
        "import aal.cli.exits as exits\nexits.GRACE_SECONDS = 0.5\n"
        "class Dying:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "Dying()\ntime.sleep(60)"
    )
    stopped = fit(out, *OPTIONS, **at(MOMENTS["crafting"], act, out))
    assert stopped.returncode == 3
    assert stopped.stderr.endswith(GO_ON)


def test_signals_that_were_ignored_stay_ignored(tmp_path: Path) -> None:
    code = f"import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n{AT}"
    out = tmp_path / "run"
    how = {**at(MOMENTS["querying"], SIGNAL.format("SIGHUP"), out), "code": code}
    run = fit(out, *OPTIONS, "--poison=null", **how)
    assert run.returncode == 0, run.stderr


def test_a_selftest_that_is_interrupted_says_so(tmp_path: Path) -> None:
    for moment in (("rounds.py", "on_train_epoch_start", 2), ("attack_checks.py", "radius", 1)):
        how = at(moment, SIGNAL.format("SIGTERM"), tmp_path)
        run = aal("selftest", "--config", EXPERIMENT, "--samples=20", **how)
        assert (run.returncode, run.stderr.splitlines()[-1]) == (3, "stopped: interrupted; give the same command again")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_study_that_is_interrupted_ends_its_cells_and_says_how_it_goes_on(number: str, tmp_path: Path) -> None:
    file = make_study_file(tmp_path / "file")
    hang = f"""
import aal.studies.execution as execution
real = execution.StudyProgress.begun
def begun(self, cell):
    real(self, cell)
    {SIGNAL.format(number)}
execution.StudyProgress.begun = begun
execution.run_study.__defaults__ = (lambda cell, configs: [sys.executable, "-c",
    "import os, time; open({str(tmp_path / "cell")!r}, 'w').write(str(os.getpid())); time.sleep(600)"],)
"""
    run = aal("study", "run", file, "--out", tmp_path / "out", **at(("study.py", "study", 1), hang, tmp_path))
    assert (run.returncode, run.stderr) == (3, "stopped: interrupted; the same command goes on\n")
    if (tmp_path / "cell").exists():
        cell, patience = Path(f"/proc/{(tmp_path / 'cell').read_text()}/stat"), time.monotonic() + 30
        while cell.exists():  # its guard ends it once it sees that the study has gone
            assert time.monotonic() < patience, "a cell outlives its study"
            time.sleep(0.05)


@pytest.mark.slow
def test_an_interrupt_while_libraries_are_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(9)\n")
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "aal", "fit", "--config", str(EXPERIMENT), "--out", str(tmp_path / "run")]
    run = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (3, GO_ON)


@pytest.mark.parametrize(
    ("moment", "gone"),
    [
        *(
            (moment, "shutil.rmtree(out)")
            for moment in ("between batches of poisons", "summing up", "writing the report")
        ),
        ("querying", "os.rename(out, out + '.moved')"),
    ],
)
def test_a_run_whose_folder_vanishes_stops_and_leaves_none_that_looks_whole(
    moment: str, gone: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped = fit(out, *OPTIONS, **at(MOMENTS[moment], gone, out))
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(f"stopped: {out}")) == (3, True), stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (out / "summary.json").exists() or not (out / "report.html").exists()
    assert moment in ("summing up", "writing the report") or not out.exists()
    if gone.startswith("os"):
        moved = out.with_name("run.moved")
        again = fit(moved, *OPTIONS, "--ckpt_path=last")
        assert again.returncode == 0, again.stderr


def test_a_run_whose_folder_is_replaced_stops(tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped = fit(out, *OPTIONS, **at(MOMENTS["querying"], "shutil.rmtree(out); os.mkdir(out)", out))
    assert stopped.returncode == 3
    assert "was removed or replaced while the run wrote into it" in stopped.stderr
    assert not any(out.glob("*.json*"))


@pytest.mark.parametrize("name", ["checkpoints", "rounds.jsonl"])
def test_a_file_or_folder_of_another_kind_in_mid_run_stops_it(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    act = f"path = os.path.join(out, {name!r})\nshutil.rmtree(path) if os.path.isdir(path) else os.remove(path)\n" + (
        "os.mkdir(path)" if "." in name else "open(path, 'w').close()"
    )
    stopped = fit(out, *OPTIONS, "--poison=null", **at(MOMENTS["querying"], act, out))
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(f"stopped: {out / name}")) == (3, True), stopped.stderr


@pytest.mark.parametrize("name", ["poisons", "rounds.jsonl"])
def test_a_file_or_folder_that_goes_away_in_mid_run_stops_it(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    act = f"path = os.path.join(out, {name!r})\nshutil.rmtree(path) if os.path.isdir(path) else os.remove(path)"
    stopped = fit(out, *OPTIONS, **at(MOMENTS["querying"], act, out))
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(f"stopped: {out / name}: was removed")) == (3, True), stopped.stderr
    assert not (out / "summary.json").exists()


READ_ONLY = """
import ctypes
if ctypes.CDLL(None).unshare(0x20000):
    sys.exit(77)
for command in ("mount --make-rprivate /", f"mount --bind {out} {out}", f"mount -o remount,bind,ro {out}"):
    if subprocess.run(command.split()).returncode:
        sys.exit(77)
"""


@pytest.mark.parametrize("moment", ["between batches of poisons", "saving", "writing the report"])
def test_a_run_whose_folder_turns_read_only_stops_and_goes_on_later(
    moment: str, made_once: MadeOnce, tmp_path: Path
) -> None:
    if sys.platform != "linux" or os.geteuid() or shutil.which("mount") is None:
        pytest.skip("a folder is mounted to be read only, which takes Linux and its root")
    out = tmp_path / "run"
    stopped = fit(out, *OPTIONS, **at(MOMENTS[moment], READ_ONLY, out))
    if stopped.returncode == 77:
        pytest.skip("nothing may be mounted here")
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(f"stopped: {out}"), "Read-only" in last) == (3, True, True), last
    assert "Traceback" not in stopped.stderr
    resumed = fit(out, *OPTIONS, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(made_once("interrupts", lambda whole: finished(whole, *OPTIONS)))


@pytest.mark.parametrize("damage", ["zeros", "missing"])
def test_a_torn_poison_is_crafted_again(damage: str, made_once: MadeOnce, tmp_path: Path) -> None:
    whole = made_once("interrupts", lambda whole: finished(whole, *OPTIONS))
    out = tmp_path / "run"
    stopped = fit(out, *OPTIONS, **at(MOMENTS["between batches of poisons"], SIGNAL.format("SIGKILL"), out))
    assert stopped.returncode == -signal.SIGKILL
    torn = out / "poisons" / "00005_poison.png"
    content = torn.read_bytes()
    torn.unlink() if damage == "missing" else torn.write_bytes(bytes(len(content)))
    resumed = fit(out, *OPTIONS, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert f"torn, crafted again: {torn}" in resumed.stderr
    assert results(out) == results(whole)


WORKERS = ("--data.init_args.num_workers=2", "--poison=null")
NUM_WORKERS = "stopped: a process that prepares batches ended or hangs (DataLoader "


def test_a_worker_that_is_killed_stops_the_run_and_it_goes_on_without(made_once: MadeOnce, tmp_path: Path) -> None:
    out = tmp_path / "run"
    act = "import multiprocessing\nos.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)\ntime.sleep(1)"
    stopped = fit(out, *WORKERS, **at(("classifier.py", "training_step", 4), act, out))
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(NUM_WORKERS), "; set num_workers: 0" in last) == (3, True, True), last
    resumed = fit(out, "--poison=null", "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(made_once("small---poison=null", lambda out: finished(out, "--poison=null")))


FULL = """
import ctypes
if ctypes.CDLL(None).unshare(0x20000):
    sys.exit(77)
for command in ("mount --make-rprivate /", "mount -t tmpfs -o size=64k none /dev/shm"):
    if subprocess.run(command.split()).returncode:
        sys.exit(77)
"""


def test_workers_without_shared_memory_stop_the_run(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() or shutil.which("mount") is None:
        pytest.skip("a small /dev/shm is mounted, which takes Linux and its root")
    out = tmp_path / "run"
    stopped = fit(out, *WORKERS, **at(MOMENTS["reading the command line"], FULL, out))
    if stopped.returncode == 77:
        pytest.skip("nothing may be mounted here")
    assert "Traceback" not in stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert (stopped.returncode, last.startswith(NUM_WORKERS), "; set num_workers: 0" in last) == (3, True, True), last
