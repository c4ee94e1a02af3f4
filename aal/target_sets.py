"""Sets of targeted poisons on disk, ``sets/NNNN/``: each is written whole, and read back by whoever poisons with it."""

import hashlib
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.errors import UserError
from aal.files import read_json, write_json
from aal.samples import Samples
from aal.studies.runs import number

FOLDER, MANIFEST = "sets", "manifest.json"
WHOLE = ("target", "true_class", "base_class")
LISTS = ("bases", "distance_before", "distance_after")


@dataclass(frozen=True)
class TargetSet:
    """What was crafted for one target.

    Attributes:
        target: The target's index in the split ``test``.
        true_class: Its true class.
        base_class: The class of the bases, which it is to be taken for.
        opacity: Share of the target in the watermarked bases.
        bases: The bases' indices in the pool for which the set was made, N of them.
        distance_before: ``||f(b) - f(t)||`` of each base.
        distance_after: ``||f(p) - f(t)||`` of each poison as saved.
    """

    target: int
    true_class: int
    base_class: int
    opacity: float
    bases: list[int]
    distance_before: list[float]
    distance_after: list[float]

    def take(self, kept: Tensor) -> "TargetSet":
        """Return the set without the bases, and the poisons of them, where ``kept`` ``(N,)`` is false."""
        bases, before, after = (
            [value for value, stays in zip(getattr(self, name), kept.tolist(), strict=True) if stays] for name in LISTS
        )
        return replace(self, bases=bases, distance_before=before, distance_after=after)


def fingerprint_of(samples: Samples, labels: Tensor) -> str:
    """Return the SHA-256 of a split: its samples as they are kept, and their labels ``(N,)``."""
    digest = hashlib.sha256(f"{samples.bounds} {tuple(samples.stored.shape)}".encode())
    digest.update(labels.contiguous().numpy().data)
    digest.update(samples.stored.contiguous().numpy().data)
    return digest.hexdigest()


def write_set(
    run: Path, k: int, found: TargetSet, samples: Samples, x: dict[str, Tensor], facts: dict[str, Any]
) -> None:
    """Write the set number ``k`` of a run, unless it is there: a run that was killed in between wrote the same.

    Args:
        run: The run's folder.
        k: The set's number, from 0.
        found: The set.
        samples: Knows the form in which single samples are saved.
        x: The samples by what they are: ``base`` and ``poison`` ``(N, ...)``, ``target`` ``(1, ...)``.
        facts: What else the manifest says, among it ``test``, the :func:`fingerprint_of` the split ``test``.
    """
    path = run / FOLDER / f"{k:04d}"
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    for kind, group in x.items():
        for row, sample in enumerate(group):
            samples.write(unfinished / _name(row, kind, samples), sample)
    write_json(unfinished / MANIFEST, {**asdict(found), **facts})
    unfinished.rename(path)


def sets_of(run: Path) -> list[Path]:
    """Return the folders of a run's sets in order.

    Raises:
        UserError: There is no such folder, or it has no sets.
    """
    if not run.is_dir():
        raise UserError(f"{run}: no such folder")
    folders = sorted(path for path in (run / FOLDER).glob("*") if path.name.isdecimal())
    if not folders:
        raise UserError(f"{run}: has no sets of targeted poisons; a run of callbacks.TargetedSets makes them")
    return folders


def read_set(path: Path, samples: Samples, test: str) -> tuple[TargetSet, dict[str, Tensor]]:
    """Read a set's manifest, its bases ``(N, ...)`` as ``base`` and its poisons as ``poison``.

    Args:
        path: The set's folder.
        samples: Those of the split ``test``; they tell the form of a sample.
        test: :func:`fingerprint_of` the split ``test``.

    Raises:
        UserError: A file is missing or not what :func:`write_set` wrote, or the set is for other test samples.
    """
    content = read_json(path / MANIFEST)
    if not isinstance(content, dict) or any(number(content, key) is None for key in (*WHOLE, "opacity")):
        raise UserError(f"{path / MANIFEST}: not the manifest of a set of targeted poisons")
    lists = [content.get(key) for key in LISTS]
    if not all(isinstance(values, list) and len(values) == len(lists[0] or ()) > 0 for values in lists):
        raise UserError(f"{path / MANIFEST}: {', '.join(LISTS)} must be lists of the same length")
    if content.get("test") != test:
        raise UserError(f"{path}: made for other test samples: another data set, or another seed that drew its splits")
    found = TargetSet(**{key: content[key] for key in (*WHOLE, "opacity", *LISTS)})
    shape = samples[torch.arange(1)].shape[1:]
    x = {}
    for kind in ("base", "poison"):
        each = [samples.read(path / _name(row, kind, samples)) for row in range(len(found.bases))]
        if any(sample.shape != shape for sample in each):
            raise UserError(f"{path}: a {kind} is no sample of shape {tuple(shape)}")
        x[kind] = torch.stack(each)
    return found, x


def _name(row: int, kind: str, samples: Samples) -> str:
    return f"target{samples.suffix}" if kind == "target" else f"{row:05d}_{kind}{samples.suffix}"
