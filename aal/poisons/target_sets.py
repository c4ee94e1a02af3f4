"""Sets of targeted poisons on disk, ``sets/NNNN/``: each is written whole, and read back by whoever poisons with it."""

import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.checks import refuse
from aal.data.samples import Samples
from aal.runs.files import digest_of, read_sealed, refuse_changed, sync, write_sealed

FOLDER, MANIFEST, UNFINISHED = "sets", "manifest.json", ".unfinished"
TARGET = "target"  # the name of its file, without the suffix
KIND = "the manifest of a set of targeted poisons"
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
        facts: What else the manifest says, among it ``test``, :func:`aal.data.samples.fingerprint_of` the test split.
    """
    path = run / FOLDER / f"{k:04d}"
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
    path.parent.mkdir(exist_ok=True)
    files = {}
    for kind, group in x.items():
        for row, sample in enumerate(group):
            name = _name(row, kind, samples)
            samples.write(unfinished / name, sample)
            sync(unfinished / name)
            files[name] = digest_of(unfinished / name)
    write_sealed(unfinished / MANIFEST, KIND, {**asdict(found), **facts, "files": files})
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
        test: :func:`aal.data.samples.fingerprint_of` the split ``test``.

    Raises:
        UserError: A file is missing or not what :func:`write_set` wrote, or the set is for other test samples.
    """
    content = read_sealed(path / MANIFEST, KIND)
    refuse(
        content["test"] != test,
        f"{path}: made for other test samples: another data set, or another seed that drew its splits",
    )
    lacks = [field.name for field in fields(TargetSet) if field.name not in content]
    refuse(lacks, f"{path / MANIFEST}: lacks {', '.join(lacks)}")
    found = TargetSet(**{field.name: content[field.name] for field in fields(TargetSet)})
    for name in LISTS:
        own, n = getattr(found, name), len(found.bases) if isinstance(found.bases, list) else -1
        right = isinstance(own, list) and len(own) == n and all(type(value) in (int, float) for value in own)
        refuse(not right, f"{path / MANIFEST}: {name} must hold a number of each poison")
    x = {}
    for kind in ("base", "poison"):
        files = [path / _name(row, kind, samples) for row in range(len(found.bases))]
        for file in files:
            refuse_changed(file, content["files"][file.name], "take the set as it was, or another")
        x[kind] = torch.stack([samples.read(file) for file in files])
    return found, x


def _name(row: int, kind: str, samples: Samples) -> str:
    return f"{TARGET}{samples.suffix}" if kind == TARGET else f"{row:05d}_{kind}{samples.suffix}"
