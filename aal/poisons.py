"""Poisons on disk: each beside its base, and a manifest that lists those that are whole."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.errors import UserError
from aal.files import read_json, write_json
from aal.samples import Samples


class PoisonFolder:
    """The poisons of a run, saved batch by batch, so that a run that died goes on crafting where it was.

    Args:
        path: The folder ``poisons/``.
        samples: Knows the form in which single samples are saved.
        recipe: Everything the poisons depend on, in words and as a hash under ``hash``.

    Attributes:
        rows: What is known of each poison that is whole, in order.

    Raises:
        UserError: The folder holds poisons of another recipe.
    """

    def __init__(self, path: Path, samples: Samples, recipe: dict[str, Any]) -> None:
        self.path, self.samples, self.recipe = path, samples, recipe
        self.rows: list[dict[str, Any]] = []
        manifest = path / "manifest.json"
        if manifest.exists():
            found = read_json(manifest)
            if found["recipe"]["hash"] != recipe["hash"]:
                raise UserError(
                    f"{path}: holds poisons of another configuration, data or weights; choose another --out"
                )
            self.rows = found["poisons"]

    def write(self, first: int, bases: Tensor, poisons: Tensor) -> None:
        """Save bases and poisons ``(B, ...)``, which are the poisons ``first``, ``first + 1``, ..."""
        for k, (base, poison) in enumerate(zip(bases, poisons, strict=True)):
            self.samples.write(self.path / self._name(first + k, "base"), base)
            self.samples.write(self.path / self._name(first + k, "poison"), poison)

    def read(self, first: int, end: int) -> Tensor:
        """Load the poisons ``first`` to ``end - 1`` as a learner gets them, ``(end - first, ...)``."""
        return torch.stack([self.samples.read(self.path / self._name(k, "poison")) for k in range(first, end)])

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
            write_json(self.path / "manifest.json", {"recipe": self.recipe, "poisons": self.rows})

    def column(self, name: str) -> Tensor:
        """Return one figure of all poisons, float64 ``(N,)``."""
        return torch.tensor([row[name] for row in self.rows], dtype=torch.float64)

    def _name(self, k: int, kind: str) -> str:
        return f"{k:05d}_{kind}{self.samples.suffix}"
