"""Poisons on disk: each beside its base, and a manifest that lists those that are whole."""

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.checks import refuse
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
        self.rows = self._rows(path / MANIFEST) if (path / MANIFEST).exists() else []

    def write(self, first: int, bases: Tensor, poisons: Tensor) -> None:
        """Save bases and poisons ``(B, ...)``, which are the poisons ``first``, ``first + 1``, ..."""
        for k, (base, poison) in enumerate(zip(bases, poisons, strict=True)):
            self.samples.write(self.path / self.name(first + k, "base"), base)
            self.samples.write(self.path / self.name(first + k, "poison"), poison)

    def read(self, first: int, end: int, kind: str = "poison") -> Tensor:
        """Load the poisons ``first`` to ``end - 1`` as a learner gets them, or their bases, ``(end - first, ...)``."""
        return torch.stack([self.samples.read(self.path / self.name(k, kind)) for k in range(first, end)])

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
            files = {f"{kind}_file": self.name(len(self.rows), kind) for kind in ("base", "poison")}
            self.rows.append({**dict(zip(lists, row, strict=True)), **files})
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
            altered = any(hashlib.sha256(data).hexdigest() != digests[name] for name, data in content.items())
            refuse(altered, f"{other}: a file was altered")
            rows = self._rows(other / MANIFEST)
            names = [self.name(k, kind) for k in range(len(rows)) for kind in ("base", "poison")]
            files = {name: content[name] for name in (*names, MANIFEST)}
        except (AttributeError, KeyError, OSError, TypeError, UserError) as error:
            rank_zero_warn(f"{other}: poisons left by another run are damaged ({error}); they are crafted anew")
            shutil.rmtree(other, ignore_errors=True)
            return False
        for name, data in files.items():
            write_bytes(self.path / name, data, durable=name == MANIFEST)
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
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(partial.iterdir())}
        write_json(partial / DIGESTS, digests)
        partial.rename(other)

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
        found, elsewhere = read_json(manifest), "choose another --out"
        refuse(
            not isinstance(found, dict)
            or not isinstance(found.get("recipe"), dict)
            or not isinstance(found.get("poisons"), list),
            f"{manifest}: not a manifest of poisons; {elsewhere}",
        )
        other = found["recipe"].get("hash") != self.recipe["hash"]
        refuse(other, f"{self.path}: holds poisons of another configuration, data or weights; {elsewhere}")
        rows: list[dict[str, Any]] = found["poisons"]
        for k, row in enumerate(rows):
            entry = f"{manifest}: poisons[{k}]"
            refuse(not isinstance(row, dict), f"{entry} is not an entry of a poison; {elsewhere}")
            for key in (*FIGURES, *figures_of(self.samples)):
                none = key in RATIOS and row.get(key, "") is None
                refuse(not none and number(row, key) is None, f"{entry} has no number {key}; {elsewhere}")
        return rows
