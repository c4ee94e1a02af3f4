"""Run a study's cells, several at a time: finished ones are skipped, broken ones named and tried once more.

A cell that reads another's run starts when that one has finished.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

from filelock import FileLock, Timeout

from aal.checks import refuse
from aal.errors import UserError
from aal.runs.files import NO_SPACE
from aal.studies.arms import fingerprint
from aal.studies.cells import Cell, CellProcess, Command, cells_of, config_files, fit_command
from aal.studies.display import StudyProgress
from aal.studies.study import Study, claim_folder, save_study

ATTEMPTS = 2  # a second one resumes a run that something outside it ended
USER_ERROR = 2  # the exit code of wrong input, which no second attempt makes right


def run_study(study: Study, directory: Path, jobs: int, command: Command = fit_command) -> dict[Cell, str]:
    """Run the cells of a study that have not finished yet.

    Args:
        study: The study.
        directory: Its folder; cells go to ``<arm>/seed=<n>`` below.
        jobs: Cells at a time, 1 or more.
        command: Makes a cell's command line. The command goes on where an earlier one of the same cell was killed.

    Returns:
        The cells that are still broken, each with why: exit code and last line, or which broken one it reads.

    Raises:
        UserError: ``directory`` holds something else, cells of an arm that has changed, or another process runs a study
            into it; an arm's config changed while the study ran; or a cell refuses its configuration.
    """
    try:
        claim_folder(study, directory)  # before anything is written there, and once more under the lock
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise UserError(f"--out {directory}: cannot be written to ({error.strerror})") from None
    try:
        with FileLock(directory / ".study.lock", timeout=0), _signals() as received:
            claim_folder(study, directory)
            save_study(study, directory)
            return _run_cells(study, directory, jobs, command, received)
    except Timeout:
        raise UserError(f"--out {directory}: another process is running a study into this folder") from None


def _run_cells(study: Study, directory: Path, jobs: int, command: Command, received: list[int]) -> dict[Cell, str]:
    cells = cells_of(study, directory)
    places = {cell: place for place, cell in enumerate(cells) if not cell.finished}
    sources = {
        cell: [source for source in places if source.seed == cell.seed and source.arm in study.arms[cell.arm].reads]
        for cell in places
    }
    order = TopologicalSorter(sources)
    order.prepare()
    ready: list[tuple[int, int]] = []  # attempts and places: seed by seed, those tried again last
    running: list[tuple[CellProcess, int]] = []
    broken: dict[Cell, str] = {}
    with StudyProgress(cells=len(cells), skipped=len(cells) - len(places)) as progress:
        try:
            while True:
                _end_as(received)
                ready = sorted(ready + [(1, places[cell]) for cell in order.get_ready()])
                if not ready and not running:
                    return _with_lost(broken, sources)
                while ready and len(running) < jobs:
                    attempt, place = ready.pop(0)
                    cell = cells[place]
                    _check_unchanged(study, cell.arm)
                    configs = config_files(study, cell, directory)
                    running.append((CellProcess(cell, command(cell, configs), study.threads), attempt))
                    progress.begun(cell)
                for process, attempt in [pair for pair in running if pair[0].poll() is not None]:
                    running.remove((process, attempt))
                    failure = _failure(process)
                    if failure is None:
                        order.done(process.cell)
                        progress.done(process.cell, time.monotonic() - process.started)
                        continue
                    again = attempt < ATTEMPTS
                    progress.broken(process.cell, failure, again=again)
                    if again:
                        ready.append((attempt + 1, places[process.cell]))
                    else:
                        broken[process.cell] = failure
                progress.look()
                time.sleep(0.05)
        finally:
            for process, _ in running:
                process.kill()


def _failure(process: CellProcess) -> str | None:
    """Return why a cell whose process has ended did not finish, None if it did.

    Raises:
        UserError: It refused its configuration: no other seed would fare better.
    """
    code, cell = process.poll(), process.cell
    if code == 0 and cell.finished:
        return None
    line = cell.last_line() if code else "it ended without a summary and a report"
    refuse(code == USER_ERROR, f"{cell.name}: {line.removeprefix('error: ')}")
    return f"exit code {code}: {line} (log: {cell.log})"


def _with_lost(broken: dict[Cell, str], sources: dict[Cell, list[Cell]]) -> dict[Cell, str]:
    """Add the cells that could not start since one that they read, over others or not, is broken."""
    for cell in TopologicalSorter(sources).static_order():
        for source in sources[cell]:
            if source in broken:
                broken.setdefault(cell, f"not started: it reads {source.name}, which is broken")
    return broken


def _check_unchanged(study: Study, arm: str) -> None:
    """See that an arm's config files still say what they said when the study began: its cells must be alike."""
    own = study.arms[arm]
    sources = [study.arms[source] for source in own.reads]
    now = fingerprint(own.configs, study.threads, sources, f"configs of {arm}", {})
    refuse(now != own.fingerprint, f"configs of {arm}: a file was changed while the study ran")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give a list that SIGINT, SIGTERM and SIGHUP are put into as they arrive, for the loop to end by.

    An exception that a handler raises is lost where it happens to arrive in a destructor or a callback. A signal that
    the process was started to ignore, as the background jobs of a script are SIGINT, stays ignored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield received
        return
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in ends if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in heard}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _end_as(received)


def _end_as(received: list[int]) -> None:
    """End the study if there was a signal, so that its cells are ended with it."""
    if received:
        raise KeyboardInterrupt
