"""Run a study's cells, several at a time: finished ones are skipped, broken ones named and tried once more."""

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
from aal.files import NO_SPACE
from aal.studies.cells import Cell, CellProcess, Command, cells_of, config_files, fit_command
from aal.studies.progress import Progress
from aal.studies.study import Study, claim_folder, fingerprint, save_study

ATTEMPTS = 2  # a second one resumes a run that something outside it ended
USER_ERROR = 2  # the exit code of wrong input, which no second attempt makes right


@dataclass(frozen=True)
class Broken:
    """A cell that did not finish: its exit code and the last line that it printed."""

    cell: Cell
    code: int
    line: str

    def __str__(self) -> str:
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
    waiting = [(cell, 1) for cell in cells if not cell.finished]
    running: list[tuple[CellProcess, int]] = []
    broken: list[Broken] = []
    with Progress(cells=len(cells), skipped=len(cells) - len(waiting)) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell, attempt = waiting.pop(0)
                    _check_unchanged(study, cell.arm)
                    process = CellProcess(cell, command(cell, configs[cell.arm]), study.threads)
                    running.append((process, attempt))
                    progress.start(cell)
                for process, attempt in list(running):
                    if (code := process.poll()) is None:
                        continue
                    running.remove((process, attempt))
                    if code == 0 and process.cell.finished:
                        progress.done(process.cell, process.seconds)
                        continue
                    line = process.cell.last_line() if code else "it ended without a summary and a report"
                    failure = Broken(process.cell, code, line)
                    if code == USER_ERROR:  # no other seed would fare better
                        raise UserError(f"{process.cell.name}: {line.removeprefix('error: ')}")
                    again = attempt < ATTEMPTS
                    progress.broken(process.cell, str(failure), again=again)
                    if again:
                        waiting.append((process.cell, attempt + 1))
                    else:
                        broken.append(failure)
                progress.update()
                time.sleep(0.05)
        finally:
            for process, _ in running:
                process.kill()
    return broken


def _check_unchanged(study: Study, arm: str) -> None:
    """See that an arm's config files still say what they said when the study began: its cells must be alike."""
    if fingerprint(study.arms[arm].configs, study.threads, f"configs of {arm}") != study.arms[arm].fingerprint:
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
