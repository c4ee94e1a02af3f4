"""What tables have in common: rows of features with a label, split by sizes, scaled by the victim's part."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from aal.checks import at_least, at_least_or_none, refuse
from aal.data.rows import Rows, scaled, split
from aal.data.samples import Samples, TensorSamples
from aal.datamodules.base import ActiveDataModule
from aal.seeds import generator

ARGUMENTS = {"test": "test", "craft": "craft", "victim": "victim", "pool": "adversary"}


class Tabular(ActiveDataModule):
    """Rows of features ``(D,)``, each with a label, drawn into the splits at random, stratified and seeded.

    Every feature is scaled to [0, 1] on the split ``victim``, or the pool where there is none; one that is constant
    there is 0 everywhere, and the other splits may lie beyond [0, 1]: nothing is clipped. So samples have no bounds,
    unless ``box`` sets some for an attack that needs them (Carlini and Wagner's).

    Args:
        victim: Rows of the split ``victim``, the victim's own; 0 for none.
        adversary: Rows of the pool, the adversary's; ``null`` for all that are left.
        test: Rows of the split ``test``.
        craft: Rows of the split ``craft``.
        box: Lowest and highest value that a scaled feature may have, which become the samples' bounds; ``null``: they
            have none.
        options: Arguments of :class:`ActiveDataModule`.

    Raises:
        UserError: A number outside its range; ``box`` is not a lower and a higher number. In ``setup``: more rows than
            there are, a split without a class, a sample outside of ``box``.
    """

    def __init__(
        self,
        victim: int = 0,
        adversary: int | None = None,
        test: int = 200,
        craft: int = 20,
        box: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at_least(0, {"victim": victim, "craft": craft})
        at_least_or_none(1, {"adversary": adversary})
        at_least(1, {"test": test})
        low, high = (-math.inf, math.inf) if box is None else box if len(box) == 2 else (math.nan, math.nan)
        refuse(
            not low < high or (box is not None and not math.isfinite(high - low)),
            f"box: must be a lower and a higher number, got {box}",
        )
        # in this order, so that another size for the adversary changes nothing of the others
        self.sizes = {"test": test, "craft": craft, "victim": victim, "pool": adversary}
        self.box = (float(low), float(high))

    @abstractmethod
    def rows(self) -> Rows:
        """Return all rows there are.

        Raises:
            UserError: A file is missing or damaged; the message names it.
        """

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        draw = generator(self.seed, "split")
        parts = split(self.rows(), self.sizes, ARGUMENTS, self.num_classes, draw)
        features = scaled(parts, "victim" if "victim" in parts else "pool")
        self._refuse_outside(parts, features)
        return {
            part: (TensorSamples(features[part], self.box, rows.sources), rows.labels)
            for part, rows in ((part, parts[part]) for part in ("pool", "craft", "test", "victim") if part in parts)
        }

    def _refuse_outside(self, parts: Mapping[str, Rows], features: Mapping[str, Tensor]) -> None:
        """Refuse samples outside of the box, one of them by its name."""
        low, high = self.box
        least, most = (float(torch.cat([*features.values()]).aminmax()[place]) for place in range(2))
        for part, x in features.items():
            for sample, place in ((x < low) | (x > high)).nonzero()[:1].tolist():
                sources = parts[part].sources
                where = f"sample {sample} of {part}" + ("" if sources is None else f" ({sources.name(sample)})")
                refuse(
                    True,
                    f"box: {where} has {x[sample, place]:g} as its {parts[part].names[place]}, which is not from "
                    f"{low:g} to {high:g}; scaled features are from {least:.9g} to {most:.9g}",
                )
