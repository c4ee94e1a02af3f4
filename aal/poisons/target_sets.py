"""Sets of targeted poisons on disk, ``sets/NNNN/``: each is written whole, and read back by whoever poisons with it."""

import hashlib
import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.checks import refuse
from aal.data.samples import Samples
from aal.runs.files import read_json, sync, write_json

FOLDER, MANIFEST, UNFINISHED = "sets", "manifest.json", ".unfinished"
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
    """Write the set number ``k`` of a run, whole or not at all, also if the machine dies.

    One of this number that is there gives way.

    Args:
        run: The run's folder.
        k: The set's number, from 0.
        found: The set.
        samples: Knows the form in which single samples are saved.
        x: The samples by what they are: ``base`` and ``poison`` ``(N, ...)``, ``target`` ``(1, ...)``.
        facts: What else the manifest says, among it ``test``, the :func:`fingerprint_of` the split ``test``.
    """
    path = run / FOLDER / f"{k:04d}"
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    files = {}
    for kind, group in x.items():
        for row, sample in enumerate(group):
            name = _name(row, kind, samples)
            samples.write(unfinished / name, sample)
            sync(unfinished / name)
            files[name] = _digest(unfinished / name)
    write_json(unfinished / MANIFEST, {**asdict(found), **facts, "files": files})
    shutil.rmtree(path, ignore_errors=True)
    unfinished.rename(path)


def drop_sets(run: Path, first: int) -> None:
    """Remove a run's sets from the number ``first`` on, and those half written.

    A run that was killed left them, and goes on from before them. It makes them anew; on another device it may make
    others, or fewer.
    """
    for path in (run / FOLDER).glob("*"):
        if path.name.endswith(UNFINISHED) or (path.name.isdecimal() and int(path.name) >= first):
            shutil.rmtree(path)


def sets_of(run: Path) -> list[Path]:
    """Return the folders of a run's sets in order.

    Raises:
        UserError: There is no such folder, or it has no sets.
    """
    refuse(not run.is_dir(), f"{run}: no such folder")
    folders = sorted(path for path in (run / FOLDER).glob("*") if path.name.isdecimal())
    refuse(not folders, f"{run}: has no sets of targeted poisons; a run of aal.callbacks.TargetedSets makes them")
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
    refuse(
        not isinstance(content, dict) or not _sound(content),
        f"{path / MANIFEST}: not the manifest of a set of targeted poisons",
    )
    refuse(
        content.get("test") != test,
        f"{path}: made for other test samples: another data set, or another seed that drew its splits",
    )
    refuse(
        content["target"] >= len(samples),
        f"{path / MANIFEST}: its target is test sample {content['target']} of {len(samples)}",
    )
    found = TargetSet(**{key: content[key] for key in (*WHOLE, "opacity", *LISTS)})
    shape = samples[torch.arange(1)].shape[1:]
    x = {}
    for kind in ("base", "poison"):
        files = [path / _name(row, kind, samples) for row in range(len(found.bases))]
        each = [samples.read(file) for file in files]
        for file in files:
            refuse(_digest(file) != content["files"].get(file.name), f"{file}: altered since the set was written")
        refuse(any(sample.shape != shape for sample in each), f"{path}: a {kind} is no sample of shape {tuple(shape)}")
        x[kind] = torch.stack(each)
    return found, x


def _sound(content: dict[str, Any]) -> bool:
    """Whether what a manifest says is of the types and in the ranges of a set."""
    bases, *distances = lists = [content.get(key) for key in LISTS]
    if not all(isinstance(values, list) and len(values) == len(bases or ()) > 0 for values in lists):
        return False
    numbers = [content.get("opacity"), *(value for values in distances for value in values or ())]
    return (
        all(type(value) is int and 0 <= value < 2**63 for value in (*map(content.get, WHOLE), *(bases or ())))
        and all(type(value) in (int, float) and 0 <= value < math.inf for value in numbers)
        and content["opacity"] < 1
        and isinstance(content.get("files"), dict)
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _name(row: int, kind: str, samples: Samples) -> str:
    return f"target{samples.suffix}" if kind == "target" else f"{row:05d}_{kind}{samples.suffix}"
