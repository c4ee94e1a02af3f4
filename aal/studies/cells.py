"""The cells of a study: one run an arm and seed, each a process of its own writing a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aal.runs import files
from aal.runs.documents import read_mapping, to_yaml
from aal.runs.ranks import forget_ranks
from aal.studies.arms import named, resolved
from aal.studies.study import BANK, Study

GUARD = Path(__file__).with_name("guard.py")
BANK_CONFIG = Path(__file__).with_name("bank.yaml")


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        arm: Name of its arm.
        seed: Its seed.
        folder: The run's folder, ``DIR/<arm>/seed=<n>``.
    """

    arm: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """How progress and errors name the cell."""
        return f"{self.arm} seed={self.seed}"

    @property
    def log(self) -> Path:
        """What the cell's process printed, beside its folder."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: summary and report are the last files it writes."""
        return all((self.folder / name).exists() for name in ("summary.json", "report.html"))

    def labels(self) -> int | None:
        """Labels at the last finished round, for the progress display only; None before the first."""
        path = self.folder / "rounds.jsonl"
        # No round yet, or a run from elsewhere: the run's own reader will say so.
        with suppress(OSError, LookupError, RecursionError, TypeError, ValueError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            return int(json.loads(file.read().split(b"\n")[-2])["labels"])
        return None

    def last_line(self) -> str:
        """Last line that the cell's process printed."""
        text = self.log.read_bytes()[-8192:].decode(errors="replace") if self.log.exists() else ""
        return (text.strip() or "it printed nothing").splitlines()[-1].strip()


# Makes the command of a process that runs a cell under config files, or goes on where it was.
Command = Callable[[Cell, list[str]], list[str]]


def fit_command(cell: Cell, configs: list[str]) -> list[str]:
    """Return the command that starts a cell's run, or resumes it from its last checkpoint."""
    return [
        *(sys.executable, "-m", "aal", "fit"),
        *chain.from_iterable(("--config", config) for config in configs),
        *("--out", str(cell.folder), "--seed_everything", str(cell.seed), "--ckpt_path", "last"),
    ]


def folder_of(directory: Path, arm: str, seed: int) -> Path:
    """Return where the cell of an arm and seed is in a study's folder."""
    return directory / arm / f"seed={seed}"


def cells_of(study: Study, directory: Path) -> list[Cell]:
    """List a study's cells, seed by seed, so that an interrupted study has whole comparisons early."""
    return [Cell(arm, seed, folder_of(directory, arm, seed)) for seed in study.seeds for arm in study.arms]


def config_files(study: Study, cell: Cell, directory: Path) -> list[str]:
    """List a cell's config files; inline ones are written to ``DIR/<arm>/``, with the folders of the cells they read.

    Before them comes one that names the study's feature bank. The arm's own are laid over it: they may name another, or
    none, and their datamodule drops the argument if it does not take it. It changes nothing that a cell computes.

    Raises:
        UserError: A config file cannot be read.
    """
    configs = study.arms[cell.arm].configs
    contents = [config if isinstance(config, dict) else read_mapping(Path(config)) for config in configs]
    paths = []
    if any(_names_data(content) for content in contents):  # else the cell itself says that there are none
        path = directory / BANK / "bank.yaml"
        files.write_text(path, to_yaml(resolved(read_mapping(BANK_CONFIG), lambda folder: directory / folder)))
        paths.append(str(path))
    for index, config in enumerate(configs):
        if isinstance(config, dict):
            name = f"{index}.seed={cell.seed}.yaml" if named([config]) else f"{index}.yaml"
            path = directory / cell.arm / name
            files.write_text(path, to_yaml(resolved(config, lambda arm: folder_of(directory, arm, cell.seed))))
            config = str(path)
        paths.append(config)
    return paths


def _names_data(content: dict[str, Any]) -> bool:
    """Whether a config says which class the data are of."""
    data = content.get("data")
    return isinstance(data, str) or (isinstance(data, dict) and "class_path" in data)


class CellProcess:
    """A cell's running process. It dies when told to, and with the study's own process however that dies."""

    def __init__(self, cell: Cell, command: list[str], threads: int) -> None:
        """Start ``command`` for ``cell`` with ``threads`` CPU threads, its output appended to the cell's log.

        Raises:
            OSError: The process or its log could not be started.
        """
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        forget_ranks(environment)
        self.cell = cell
        self.started = time.monotonic()
        cell.log.parent.mkdir(exist_ok=True)  # the study's own folder may have vanished
        with cell.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(GUARD), *command],
                stdin=subprocess.PIPE,  # never written to; its end tells the guard that the study is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the study alone, which then ends its cells
            )

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        code = self._process.poll()
        if code is not None:
            self.kill()  # which only closes its standard input then
        return code

    def kill(self) -> None:
        """End the process and all it started, and wait until it is gone."""
        self._process.communicate()  # closes its standard input, by which the guard ends it
