"""Poisons on disk: each beside its base, and a manifest that lists those that are whole."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.checks import refuse
from aal.data.samples import Samples
from aal.errors import UserError
from aal.runs.files import PARTIAL, digest_of, read_bytes, read_sealed, refuse_changed, sync, write_bytes, write_sealed

KINDS = ("base", "poison")
MANIFEST, KIND = "manifest.json", "the manifest of poisons"


class PoisonFolder:
    """The poisons of a run, saved batch by batch, so that a run that died goes on crafting where it was.

    Args:
        path: The folder ``poisons/``.
        samples: Knows the form in which single samples are saved.
        recipe: Everything the poisons depend on, in words and as a hash under ``hash``.

    Attributes:
        rows: What is known of each poison that is whole, in order, with the names of its files and their digests.

    Raises:
        UserError: The folder holds poisons of another recipe, or its manifest is none or was altered.
    """

    def __init__(self, path: Path, samples: Samples, recipe: dict[str, Any]) -> None:
        self.path, self.samples, self.recipe = path, samples, recipe
        self.rows = self._rows(path / MANIFEST) if (path / MANIFEST).exists() else []

    def write(self, first: int, bases: Tensor, poisons: Tensor) -> None:
        """Save bases and poisons ``(B, ...)``, which are the poisons ``first``, ``first + 1``, ..."""
        for k, (base, poison) in enumerate(zip(bases, poisons, strict=True)):
            self.samples.write(self.path / self.name(first + k, "base"), base)
            self.samples.write(self.path / self.name(first + k, "poison"), poison)

    def read(self, first: int, end: int, kind: str = "poison") -> Tensor:
        """Load the poisons ``first`` to ``end - 1`` as a learner gets them, or their bases, ``(end - first, ...)``.

        Raises:
            UserError: A file of a poison that is whole is missing or was altered.
        """
        self._check(self.path, self.rows[first:end], (kind,))
        paths, wanted = (self.path / self.name(k, kind) for k in range(first, end)), self.samples.stored.shape[1:]
        x = {path: self.samples.read(path) for path in paths}
        for path, sample in x.items():
            refuse(sample.shape != wanted, f"{path}: has the shape {tuple(sample.shape)}, samples have {tuple(wanted)}")
        return torch.stack([*x.values()])

    def check(self) -> None:
        """See that poisons and bases are as they were written.

        Raises:
            UserError: A file is missing or was altered.
        """
        self._check(self.path, self.rows, KINDS)

    def torn(self) -> tuple[int, UserError] | None:
        """Return the first poison that is missing or no sample any more, or whose base is, and what is wrong with it.

        A file that was altered, but is a sample, is not torn; it is refused where it is read.
        """
        for k, row in enumerate(self.rows):
            for file in (row[f"{kind}_file"] for kind in KINDS):
                try:
                    self.samples.read(self.path / file)
                except UserError as error:
                    return k, error
        return None

    def drop_torn(self, together: int) -> None:
        """Forget poisons that are torn, and all after them, so that they are crafted again.

        Args:
            together: Number of poisons crafted at once, which are so again.
        """
        if torn := self.torn():
            k, error = torn
            rank_zero_warn(f"torn, crafted again: {error}")
            del self.rows[k - k % together :]

    def name(self, k: int, kind: str) -> str:
        """Return the name of the file of a poison, or of its base."""
        return f"{k:05d}_{kind}{self.samples.suffix}"

    def record(self, columns: dict[str, Tensor], classes: tuple[str, ...] | None, *, write: bool) -> None:
        """Add what is known of the next poisons to the manifest; only then are they whole.

        Args:
            columns: Figures of the poisons in order, ``(B,)`` each; one that is not a number becomes none, as JSON has
                no such number.
            classes: Names of the classes, where they have any.
            write: Whether this process writes the manifest.
        """
        lists = {name: [None if math.isnan(x) else x for x in column.tolist()] for name, column in columns.items()}
        if classes is not None:
            lists["class"] = [classes[label] for label in columns["label"].tolist()]
        for row in zip(*lists.values(), strict=True):
            files = {kind: self.name(len(self.rows), kind) for kind in KINDS}
            for name in files.values() if write else ():
                sync(self.path / name)  # else the machine's death may leave a manifest of files that are torn
            digests = {f"{kind}_sha256": digest_of(self.path / name) for kind, name in files.items()}
            names = {f"{kind}_file": name for kind, name in files.items()}
            self.rows.append({**dict(zip(lists, row, strict=True)), **names, **digests})
        if write:
            write_sealed(self.path / MANIFEST, KIND, {"recipe": self.recipe, "poisons": self.rows})

    def adopt(self, other: Path) -> bool:
        """Take the poisons that another run with the same recipe left, if it did; this folder has none yet.

        What was damaged since is removed, with a warning, and nothing of it is taken.

        Args:
            other: Where :meth:`leave` may have put them.

        Returns:
            Whether there were any.
        """
        if not other.exists():
            return False
        try:
            rows = self._rows(other / MANIFEST)
            self._check(other, rows, KINDS)
        except UserError as error:
            rank_zero_warn(f"{other}: poisons left by another run are damaged ({error}); they are crafted anew")
            shutil.rmtree(other, ignore_errors=True)
            return False
        for name in (*(row[f"{kind}_file"] for row in rows for kind in KINDS), MANIFEST):
            write_bytes(self.path / name, read_bytes(other / name))
        self.rows = rows
        return True

    def leave(self, other: Path) -> None:
        """Put a copy of the poisons to ``other``, whole or not at all; nobody else may be at it.

        Raises:
            OSError: It could not be written.
        """
        if other.exists():
            return
        partial = other.with_name(f".{other.name}{PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        shutil.copytree(self.path, partial)
        partial.rename(other)

    def column(self, name: str) -> Tensor:
        """Return one figure of all poisons, float64 ``(N,)``; NaN for a ratio that a poison does not have.

        Raises:
            UserError: The manifest has something else for a poison.
        """
        for k, row in enumerate(self.rows):
            wrong = type(row.get(name, "nothing")) not in (int, float, type(None))
            refuse(wrong, f"{self.path / MANIFEST}: {name} of poison {k} is no number but {row.get(name)!r}")
        return torch.tensor([math.nan if row[name] is None else row[name] for row in self.rows], dtype=torch.float64)

    def mean(self, name: str) -> float | None:
        """Return the mean of one figure over the poisons that have it; none if no poison has."""
        figures = self.column(name)
        known = figures[~figures.isnan()]
        return float(known.mean()) if len(known) else None

    def _rows(self, manifest: Path) -> list[dict[str, Any]]:
        """Read the rows of a manifest that another process left."""
        found = read_sealed(manifest, KIND)
        words = {name: value for name, value in self.recipe.items() if name != "hash"}
        other = [name for name, value in words.items() if found["recipe"].get(name, value) != value]
        refuse(other, f"{self.path}: holds poisons of another {', '.join(other)}; choose another --out")
        return cast(list[dict[str, Any]], found["poisons"])

    def _check(self, folder: Path, rows: Sequence[dict[str, Any]], kinds: Sequence[str]) -> None:
        """Refuse files that are not as they were written."""
        for name, digest in ((row[f"{kind}_file"], row[f"{kind}_sha256"]) for row in rows for kind in kinds):
            refuse_changed(folder / name, digest, "put it back as it was, or choose another --out")
