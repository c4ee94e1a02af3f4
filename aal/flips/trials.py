"""Trials: what a run of label flips tries, one a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from aal.flips.base import Flips, FlipSelector


@dataclass(frozen=True)
class Placed:
    """Samples that a datamodule placed in the pool, for labels that are not true of them.

    Attributes:
        distance: How far from the mean of their class, in L2.
        repeat: Which draw of samples at that distance it is.
        indices: Their indices in the pool ``(b,)``; they have no label until a round is trained on them.
    """

    distance: float
    repeat: int
    indices: Tensor


@runtime_checkable
class Places(Protocol):
    """A datamodule that places samples for label flips to mislabel."""

    placed: Sequence[Placed]


@dataclass(frozen=True)
class Trial:
    """One selection of labels to flip.

    Attributes:
        name: The selector's name in the configuration, or ``placed``.
        selector: The selector; ``None`` where the datamodule placed the samples.
        position: Where it stands in a sweep: the number of a bucket, a distance; ``None`` where there is no sweep.
        repeat: Which repeat of it this is, from 0.
        placed: The indices ``(b,)`` of the samples that the datamodule placed; ``None`` where labels are flipped.
    """

    name: str
    selector: FlipSelector | None
    position: float | None
    repeat: int
    placed: Tensor | None = None

    @property
    def called(self) -> str:
        """What the ledger calls it: the name, and the position where there is one."""
        return self.name if self.position is None else f"{self.name}[{self.position:g}]"

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of its round's record."""
        position = {} if self.position is None else {"position": self.position}
        return {"selector": self.name, **position, "repeat": self.repeat}


def trials_of(selectors: Mapping[str, FlipSelector], repeats: int, placed: Sequence[Placed] = ()) -> list[Trial]:
    """Return all trials in order: all of the first repeat, then all of the second.

    Args:
        selectors: Selectors by name.
        repeats: How often each of their variants is tried.
        placed: What the datamodule placed, which brings its own repeats.
    """
    trials = [
        Trial(name, variant, variant.position, repeat)
        for repeat in range(repeats)
        for name, selector in selectors.items()
        for variant in selector.variants()
    ]
    return trials + [Trial("placed", None, group.distance, group.repeat, group.indices) for group in placed]


def together(parts: Sequence[Flips]) -> Flips:
    """Return the flips of several classes as one; figures are averaged over the classes that have them."""
    scores = [part.scores for part in parts if part.scores is not None]
    names = dict.fromkeys(name for part in parts for name in part.figures)
    figures = {}
    for name in names:
        values = [part.figures[name] for part in parts if name in part.figures]
        figures[name] = sum(value / len(values) for value in values)  # of large numbers the sum may overflow
    return Flips(
        torch.cat([part.indices for part in parts]),
        torch.cat([score.double() for score in scores]) if len(scores) == len(parts) else None,
        figures,
    )
