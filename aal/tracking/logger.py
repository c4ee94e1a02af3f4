"""Weights & Biases beside a run: a logger that starts a process of its own, which can fail without the run noticing."""

import json
import logging
import os
import signal
import subprocess
import sys
import uuid
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger

from aal.checks import refuse
from aal.runs.files import write_text
from aal.tracking.process import KEPT, PARTLY, SENT

log = logging.getLogger(__name__)

PROCESS = Path(__file__).with_name("process.py")  # started by its path: the package would load torch
OFFLINE = "offline-"  # what the name of a record's folder begins with
GRACE_SECONDS = 2.0  # between asking a process that hangs to stop and killing it


class WandbTracker(Logger):
    """Shows a run in Weights & Biases: metrics, ledger, figures, report, and the folder as an artifact.

    Metrics are shown against ``axis``, the column of a round's record that the run's clock goes along.

    ``wandb`` is never imported here. A process beside the run (:mod:`aal.tracking.process`) reads the files that the
    run writes anyway, so a missing, raising, hanging or dying W&B can neither stop the run nor change it: no thread, no
    signal handler, no exit hook, no random number and no blocking write in the training process. Its output is
    ``<save_dir>/wandb/tracking.log``; when it fails, one warning says so. A resumed run continues its W&B run.

    It starts at Lightning's first ``save()``, right after ``on_fit_start``: a run that is refused because its folder is
    in use must not touch the W&B run of the folder's owner. It ends with ``finalize("success")``, which Lightning calls
    after every callback's ``on_fit_end`` and ``teardown``: then the folder is complete.

    Args:
        save_dir: The run's folder. The command line fills it in when it is empty.
        project: W&B project; None is ``WANDB_PROJECT``, else "aal".
        entity: W&B user or team; None is ``WANDB_ENTITY``, else the account's default.
        group: Group of the run. None: a study's cell ``<arm>/seed=<n>`` is grouped under its arm, others have none.
        name: Name shown. None: the folder's name, for a study's cell ``<arm>/seed=<n>``.
        tags: Tags of the run.
        notes: A description, as in a commit message.
        mode: "online", "offline" or "disabled"; None is ``WANDB_MODE``, else online. When the server cannot be reached
            the run is recorded offline, for ``wandb sync``.
        wait: Seconds, at least 0, that a finished run waits at most for W&B to take everything.

    Raises:
        UserError: ``save_dir`` is empty, or ``wait`` no number of seconds.
    """

    name = version = ""  # parts of Lightning's default paths: none, everything is in the run's folder

    def __init__(
        self,
        save_dir: str = "",
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        wait: float = 60.0,
    ) -> None:
        super().__init__()
        refuse(not save_dir, "save_dir: must name the run's folder, got an empty text")
        refuse(not 0 <= wait < float("inf"), f"wait: must be a number of seconds from 0 on, got {wait}")
        self._folder = Path(os.path.abspath(save_dir))
        arm, cell = self._folder.parent.name, self._folder.name
        in_study = cell.startswith("seed=")
        self._options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "group": group or (arm if in_study else None),
            "name": name or (f"{arm}/{cell}" if in_study else cell),
            "tags": tags,
            "notes": notes,
            "mode": mode,
            "wait": wait,
        }
        self.axis = "labels"
        self._started = (mode or os.environ.get("WANDB_MODE")) == "disabled"  # then there is nothing to start
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Do nothing: the process reads ``rounds.jsonl``, which is the truth and survives a resume."""

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Do nothing: the process reads ``config.yaml``, which has more than the hyper-parameters."""

    @rank_zero_only
    def save(self) -> None:
        """Start the process at the first call; later (Lightning calls this often) warn once if it is gone."""
        if not self._started:
            self._started = True
            self._start()
        elif self._process is not None and self._process.poll() is not None:
            self._process = None
            self._warn("stopped; the run goes on without it")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Tell the process how the run ended, and after a success wait for it, ``wait`` and a few seconds at most.

        After a failure nothing is waited for: the process marks the W&B run as failed and ends on its own.
        """
        self._started = True
        if self._process is None or self._process.stdin is None:
            return
        finished = status == "success"
        with suppress(OSError):  # it died, or reads nothing: its exit code says so below
            self._process.stdin.write(b"finish\n" if finished else b"failed\n")
            self._process.stdin.close()
        if finished:
            self._await(self._process)
            self._process = None

    def _start(self) -> None:
        home = self._folder / "wandb"
        try:
            options = json.dumps({**self._options, "axis": self.axis, "id": run_id(home / "run_id")})
            with (home / "tracking.log").open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-u", "-P", str(PROCESS), str(self._folder), options],
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl+C is for the run, which then tells the process; and one group to end
                )
        except (OSError, ValueError) as error:  # no space, no right to write, no process left, an unreadable id
            self._warn(f"did not start ({error})")

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(self._options["wait"])
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # The run is complete, so Ctrl+C here means "wait no longer".
            end(process)
            self._warn("did not finish in time", kept=True)
            return
        offline = any(folder.name.startswith(OFFLINE) for folder in self._records()[-1:])
        if code == KEPT or (code == SENT and offline):
            self._warn("was not reached" if code == KEPT else "is offline", kept=True)
        elif code != SENT:
            self._warn("did not take every part of the run" if code == PARTLY else "failed; the run itself is complete")

    def _records(self) -> list[Path]:
        """Return the folders of records that W&B left in the run's folder, in order of the time that they name."""
        found = {path.parent for path in (self._folder / "wandb").glob("*run-*/*.wandb")}
        return sorted(found, key=lambda folder: folder.name.removeprefix(OFFLINE))

    def _warn(self, what: str, kept: bool = False) -> None:
        hint = f"see {self._folder}/wandb/tracking.log"
        records = self._records()
        if kept and records:  # each process of a resumed run leaves one
            offline = [str(folder) for folder in records if folder.name.startswith(OFFLINE)]
            began_online = not records[-1].name.startswith(OFFLINE)  # W&B passes over those unless told not to
            those = f"--no-skip-online {records[-1]}" if began_online else " ".join(offline)
            hint = f"what it took is kept, `wandb sync {those}` uploads it"
        log.warning("Weights & Biases %s: %s", what, hint)  # no warnings.warn: a filter could turn it into an error


def run_id(path: Path) -> str:
    """Return the W&B id kept in ``path``, drawn at the first call, so that a resumed run continues its W&B run.

    It is no hash of the folder's path: a folder deleted and used again is another run, a folder moved is the same.

    Raises:
        OSError: It can neither be read nor written.
    """
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:12] + "\n")  # from the system's entropy, no generator of the run
    return path.read_text().strip()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and the group with it: ask first, then kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
