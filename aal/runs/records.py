"""The files of a run: rounds.jsonl, ledger.csv, crafted.safetensors and summary.json."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal import __version__
from aal.checks import refuse
from aal.errors import RunStopped
from aal.extras import Extras
from aal.pool import ORIGINS, Pool
from aal.runs.files import AT_IT, append_line, digest_of, truncate, write_csv, write_json, write_tensors

LEDGER_COLUMNS = (
    "index",
    "round",
    "rank",
    "score",
    "strategy",
    "labeler",
    "label",
    "true_label",
    "origin",
    "base",
    "status",
    "class",
    "true_class",
)


class RoundLines:
    """``rounds.jsonl``, of which size and digest are known without reading it again.

    Attributes:
        size: What the run wrote to it, in bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of what the run wrote to it."""
        return self._sha256.hexdigest()

    def go_back(self, folder: Path, size: int, digest: str) -> None:
        """Cut it back to ``size`` bytes of this digest, those at a checkpoint.

        Raises:
            UserError: They are not there.
        """
        self.size, self._sha256 = size, hashlib.sha256(truncate(folder / "rounds.jsonl", size, digest))

    def append(self, folder: Path, record: dict[str, Any]) -> None:
        """Append a round's record.

        Raises:
            RunStopped: Something else has removed it, or changed its size.
        """
        added = append_line(folder / "rounds.jsonl", json.dumps(record, allow_nan=False), self.size)
        self._sha256.update(added)
        self.size += len(added)

    def check(self, folder: Path) -> None:
        """See that it holds what was written to it.

        Raises:
            RunStopped: It does not.
        """
        path = folder / "rounds.jsonl"
        refuse(not path.exists() or digest_of(path) != self.digest, f"{path}: {AT_IT}", RunStopped)


def write_ledger(folder: Path, pool: Pool, truth: Tensor, bases: Tensor, names: Sequence[str] | None = None) -> None:
    """Write ``ledger.csv``, one row per label given, the names of labels too where classes have any.

    Args:
        folder: The run's folder.
        pool: Whose ledger.
        truth: The true label of each index ``(P,)``.
        bases: The index in ``craft`` that each sample was made from ``(P,)``, -1 for natural samples.
        names: Names of the classes; a label beyond them, of a class that no sample has, is ``new``.
    """
    called = dict(enumerate(names or ()))
    beyond = "new" if called else None
    indices = torch.tensor([row.index for row in pool.ledger], dtype=torch.int64)
    known = zip(pool.ledger, *(column[indices].tolist() for column in (truth, pool.origins, bases)), strict=True)
    rows = (
        (
            *(row.index, row.round, row.rank, row.score, row.strategy, row.labeler, row.label),
            *(true_label, ORIGINS[origin], base if base >= 0 else None, row.status),
            *(called.get(row.label, beyond), called.get(true_label)),
        )
        for row, true_label, origin, base in known
    )
    write_csv(folder / "ledger.csv", LEDGER_COLUMNS, rows, durable=False)


def write_crafted(folder: Path, extras: Extras, pool: Pool) -> None:
    """Write ``crafted.safetensors``, what the classifier trains on besides the labels, where there is or was any."""
    path, tensors = folder / "crafted.safetensors", extras.tensors(pool)
    if any(map(len, tensors.values())) or path.exists():
        write_tensors(path, tensors, durable=False)


def write_summary(folder: Path, summary: dict[str, Any], fingerprint: str, device: torch.device) -> None:
    """Write ``summary.json``: the run's final figures, and what they may depend on besides the configuration."""
    packages = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "scikit-learn", "numpy")
    environment = {
        "versions": {
            "aal": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
        "data_fingerprint": fingerprint,
    }
    left = (folder / name for name in ("ledger.csv", "crafted.safetensors"))  # what another run may read
    digests = {path.name: digest_of(path) for path in left if path.exists()}
    write_json(folder / "summary.json", {**summary, "files": digests, "environment": environment})


def _git_commit() -> str | None:
    """Return the commit of the code that runs, with ``-dirty`` if it was changed since; ``None`` outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # else it is another project's checkout around this one
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
