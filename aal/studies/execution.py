"""Run a study's cells, several at a time: finished ones are skipped, broken ones named and tried once more.

A cell that reads another's run starts when that one has finished.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from aal.errors import UserError
from aal.runs.files import NO_SPACE
from aal.studies.arms import fingerprint
from aal.studies.cells import Cell, CellProcess, Command, cells_of, config_files, files_of_cell, fit_command
from aal.studies.display import Progress
from aal.studies.study import Study, claim_folder, save_study
from aal.studies.waiting import Queue

ATTEMPTS = 2  # a second one resumes a run that something outside it ended
USER_ERROR = 2  # the exit code of wrong input, which no second attempt makes right


@dataclass(frozen=True)
class Broken:
    """A cell that did not finish: its exit code, None if it was not started, and the last line that it printed."""

    cell: Cell
    code: int | None
    line: str

    def __str__(self) -> str:
        if self.code is None:
            return f"{self.cell.name}: not started: {self.line}"
        return f"{self.cell.name}: exit code {self.code}: {self.line} (log: {self.cell.log})"


def run_study(study: Study, directory: Path, jobs: int, command: Command = fit_command) -> list[Broken]:
    """Run the cells of a study that have not finished yet.

    Args:
        study: The study.
        directory: Its folder; cells go to ``<arm>/seed=<n>`` below.
        jobs: Cells at a time, 1 or more.
        command: Makes a cell's command line. The command goes on where an earlier one of the same cell was killed.

    Returns:
        The cells that are still broken.

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
        with FileLock(directory / ".study.lock", timeout=0), _terminable():
            claim_folder(study, directory)
            save_study(study, directory)
            return _run_cells(study, directory, jobs, command)
    except Timeout:
        raise UserError(f"--out {directory}: another process is running a study into this folder") from None


def _run_cells(study: Study, directory: Path, jobs: int, command: Command) -> list[Broken]:
    configs = {arm: config_files(study, arm, directory) for arm in study.arms}
    cells = cells_of(study, directory)
    unfinished = [cell for cell in cells if not cell.finished]
    queue = Queue(study, unfinished)
    running: list[tuple[CellProcess, int]] = []
    broken: list[Broken] = []
    with Progress(cells=len(cells), skipped=len(cells) - len(unfinished)) as progress:
        try:
            while queue or running:
                while len(running) < jobs and (taken := queue.take()):
                    cell, attempt = taken
                    _check_unchanged(study, cell.arm)
                    own = files_of_cell(study, cell, directory, configs[cell.arm])
                    running.append((CellProcess(cell, command(cell, own), study.threads), attempt))
                    progress.start(cell)
                for process, attempt in list(running):
                    if process.poll() is None:
                        continue
                    running.remove((process, attempt))
                    failure = _failure(process)
                    if failure is None:
                        queue.finished(process.cell)
                        progress.done(process.cell, process.seconds)
                        continue
                    again = attempt < ATTEMPTS
                    progress.broken(process.cell, str(failure), again=again)
                    if again:
                        queue.again(process.cell, attempt + 1)
                    else:
                        broken += [failure, *_lost(queue, process.cell)]
                progress.update()
                time.sleep(0.05)
        finally:
            for process, _ in running:
                process.kill()
    return broken


def _failure(process: CellProcess) -> Broken | None:
    """Return why a cell whose process has ended did not finish, None if it did.

    Raises:
        UserError: It refused its configuration: no other seed would fare better.
    """
    code, cell = process.poll(), process.cell
    if code == 0 and cell.finished:
        return None
    line = cell.last_line() if code else "it ended without a summary and a report"
    if code == USER_ERROR:
        raise UserError(f"{cell.name}: {line.removeprefix('error: ')}")
    return Broken(cell, code, line)


def _lost(queue: Queue, cell: Cell) -> list[Broken]:
    """Give up the cells that cannot start since one that they read, over others or not, is broken."""
    return [Broken(other, None, f"it reads {source.name}, which is broken") for other, source in queue.give_up(cell)]


def _check_unchanged(study: Study, arm: str) -> None:
    """See that an arm's config files still say what they said when the study began: its cells must be alike."""
    own = study.arms[arm]
    sources = [study.arms[source] for source in own.reads]
    if fingerprint(own.configs, study.threads, sources, f"configs of {arm}") != own.fingerprint:
        raise UserError(f"configs of {arm}: a file was changed while the study ran")


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an ordinary end of the process, so that its cells are ended first."""
    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
