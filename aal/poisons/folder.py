"""Poisons on disk: each beside its base, and a manifest that lists those that are whole."""

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.data.samples import Samples
from aal.errors import UserError
from aal.poisons.distortion import RATIOS, figures_of
from aal.runs.files import PARTIAL, read_json, write_bytes, write_json
from aal.runs.reading import number

FIGURES = ("index", "base", "label", "norm_initial", "norm_crafted", "norm_saved", "iterations", "seconds")
"""What is known of every poison, besides its distortion."""
MANIFEST, DIGESTS = "manifest.json", "sha256.json"


class PoisonFolder:
    """The poisons of a run, saved batch by batch, so that a run that died goes on crafting where it was.

    Args:
        path: The folder ``poisons/``.
        samples: Knows the form in which single samples are saved.
        recipe: Everything the poisons depend on, in words and as a hash under ``hash``.

    Attributes:
        rows: What is known of each poison that is whole, in order.

    Raises:
        UserError: The folder holds poisons of another recipe, or its manifest is none, or lacks a figure.
    """

    def __init__(self, path: Path, samples: Samples, recipe: dict[str, Any]) -> None:
        self.path, self.samples, self.recipe = path, samples, recipe
        self.rows: list[dict[str, Any]] = []
        manifest = path / MANIFEST
        if manifest.exists():
            self.rows = self._rows(manifest)

    def write(self, first: int, bases: Tensor, poisons: Tensor) -> None:
        """Save bases and poisons ``(B, ...)``, which are the poisons ``first``, ``first + 1``, ..."""
        for k, (base, poison) in enumerate(zip(bases, poisons, strict=True)):
            self.samples.write(self.path / self._name(first + k, "base"), base)
            self.samples.write(self.path / self._name(first + k, "poison"), poison)

    def read(self, first: int, end: int, kind: str = "poison") -> Tensor:
        """Load the poisons ``first`` to ``end - 1`` as a learner gets them, or their bases, ``(end - first, ...)``."""
        return torch.stack([self.samples.read(self.path / self._name(k, kind)) for k in range(first, end)])

    def record(self, rows: list[dict[str, Any]], *, write: bool) -> None:
        """Add what is known of the next poisons to the manifest; only then are they whole.

        Args:
            rows: One for each poison, in order.
            write: Whether this process writes the manifest.
        """
        for row in rows:
            k = len(self.rows)
            self.rows.append({**row, "base_file": self._name(k, "base"), "poison_file": self._name(k, "poison")})
        if write:
            write_json(self.path / MANIFEST, {"recipe": self.recipe, "poisons": self.rows})

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
            digests = read_json(other / DIGESTS)
            content = {name: (other / name).read_bytes() for name in digests if Path(name).name == name}
            if any(hashlib.sha256(data).hexdigest() != digests[name] for name, data in content.items()):
                raise UserError(f"{other}: a file was altered")
            rows = self._rows(other / MANIFEST)
            names = [self._name(k, kind) for k in range(len(rows)) for kind in ("base", "poison")]
            files = [(self.path / name, content[name]) for name in names]
        except (AttributeError, KeyError, OSError, TypeError, UserError) as error:
            rank_zero_warn(f"{other}: poisons left by another run are damaged ({error}); they are crafted anew")
            shutil.rmtree(other, ignore_errors=True)
            return False
        for path, data in files:
            write_bytes(path, data, durable=False)
        self.record(rows, write=True)
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
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(partial.iterdir())}
        write_json(partial / DIGESTS, digests)
        partial.rename(other)

    def reload(self) -> None:
        """Take what another process has written to the manifest."""
        self.rows = self._rows(self.path / MANIFEST)

    def column(self, name: str) -> Tensor:
        """Return one figure of all poisons, float64 ``(N,)``; NaN for a ratio that a poison does not have."""
        figures = [math.nan if row[name] is None else row[name] for row in self.rows]
        return torch.tensor(figures, dtype=torch.float64)

    def mean(self, name: str) -> float | None:
        """Return the mean of one figure over the poisons that have it; none if no poison has."""
        figures = self.column(name)
        known = figures[~figures.isnan()]
        return float(known.mean()) if len(known) else None

    def _rows(self, manifest: Path) -> list[dict[str, Any]]:
        """Read the rows of a manifest that another process left."""
        found = read_json(manifest)
        recipe, rows = (found.get(key) if isinstance(found, dict) else None for key in ("recipe", "poisons"))
        if not isinstance(recipe, dict) or not isinstance(rows, list):
            raise UserError(f"{manifest}: not a manifest of poisons; choose another --out")
        if recipe.get("hash") != self.recipe["hash"]:
            raise UserError(
                f"{self.path}: holds poisons of another configuration, data or weights; choose another --out"
            )
        for k, row in enumerate(rows):
            if not isinstance(row, dict):
                raise UserError(f"{manifest}: poisons[{k}] is not an entry of a poison; choose another --out")
            for key in (*FIGURES, *figures_of(self.samples)):
                none = key in RATIOS and row.get(key, "") is None
                if not none and number(row, key) is None:
                    raise UserError(f"{manifest}: poisons[{k}] has no number {key}; choose another --out")
        return rows

    def _name(self, k: int, kind: str) -> str:
        return f"{k:05d}_{kind}{self.samples.suffix}"


def manifest_rows(columns: dict[str, Tensor], classes: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """Turn columns ``(B,)`` into a row for each poison, with the name of its class where classes have names.

    A ratio that is not a number becomes none: JSON has no such number.
    """
    lists = {name: column.tolist() for name, column in columns.items()}
    for name in RATIOS:
        if name in lists:
            lists[name] = [None if math.isnan(value) else value for value in lists[name]]
    if classes is not None:
        lists["class"] = [classes[label] for label in columns["label"].tolist()]
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
