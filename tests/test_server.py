"""A forked run is like one that was started: the same arguments, surroundings, output and exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import EXPERIMENT, FORKS, ROOT, aal, server

WITNESS = """
import json, os, signal, sys
from aal.strategies import Strategy

class Witness(Strategy):
    def __init__(self):
        heard = getattr(signal.getsignal(signal.SIGINT), "__module__", "")
        asked = heard == "aal.cli.exits", len(os.listdir("/proc/self/task"))
        print(json.dumps([sys.argv, os.getcwd(), os.environ["WORD"], os.getpid(), hash('x'), asked]))
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        sys.stdout.flush()
        os._exit(7)  # what a class raises would be refused

    def select(self, view, n, *, generator):
        ...
"""


@pytest.fixture(autouse=True)
def _forked() -> None:
    if not FORKS or not server(0).forks:
        pytest.skip("runs are started here, not forked")


@pytest.mark.parametrize("arguments", [("--version",), ("nope",)])
def test_exit_code_and_output_are_those_of_a_process_that_is_started(arguments: tuple[str, ...]) -> None:
    forked, command = aal(*arguments), [sys.executable, "-m", "aal", *arguments]
    started = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert forked.returncode == started.returncode
    assert forked.stdout == started.stdout
    assert forked.stderr == started.stderr


def test_surroundings_reach_it_and_each_run_is_another_process(tmp_path: Path) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    own = ("fit", "--config", str(EXPERIMENT), f"--out={tmp_path}/run", "--query.init_args.strategy=witness.Witness")
    runs = [aal(*own, PYTHONPATH=str(tmp_path), WORD=str(k), SIGNAL="0") for k in range(4)]
    assert [run.returncode for run in runs] == [7] * 4, runs[0].stderr
    seen = [json.loads(run.stdout) for run in runs]
    assert all(argv == ["aal", *own] for argv, *_ in seen)
    assert [(cwd, word) for _, cwd, word, *_ in seen] == [(str(ROOT), str(k)) for k in range(4)]
    assert len({digest for *_, digest, _ in seen}) == 2, "else runs that are compared could not depend on hashes"
    assert len({os.getpid(), *(pid for *_, pid, _, _ in seen)}) == 5
    assert all(asked == [True, 2] for *_, asked in seen), "signals are heard, by two threads"
    killed = aal(*own, PYTHONPATH=str(tmp_path), WORD="", SIGNAL="9")
    assert killed.returncode == -9
    assert aal("--version").returncode == 0, "the server outlives its runs"


def test_a_script_finds_its_arguments_and_a_fault_in_it_is_told() -> None:
    said = aal("a", Path("b"), code="import sys\nprint(sys.argv, __name__)", before=("first",))
    assert said.stdout == "['-c', 'first', 'a', 'b'] __main__\n"
    fault = aal(code="1 / 0")
    assert fault.returncode == 1
    assert fault.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    much = aal(code="import sys; sys.stdout.write('x' * 10 ** 6); sys.stderr.write('y' * 10 ** 6)")
    assert (len(much.stdout), len(much.stderr)) == (10**6, 10**6)


def test_threads_are_waited_for_and_exit_handlers_called() -> None:
    slow = "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()"
    ended = aal(code=f"import atexit, sys, threading, time\natexit.register(print, 'handler')\n{slow}\nsys.exit(3)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "thread\nhandler\n", "")
