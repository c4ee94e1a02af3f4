"""Trials: what a run of label flips tries, one a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from aal.flips.base import FlipSelector
from aal.strategies.base import Selection


@dataclass(frozen=True)
class Trial:
    """One selection of labels to flip.

    Attributes:
        name: The selector's name in the configuration, or ``placed``.
        position: Where it stands in a sweep: the number of a bucket, or how far from the mean of their class samples
            were placed, in L2; ``None`` where there is no sweep.
        repeat: Which repeat of it this is, from 0.
        selector: The selector; ``None`` where the datamodule placed the samples.
        placed: The indices ``(b,)`` of the samples that the datamodule placed in the pool, for labels that are not true
            of them; they have no label until a round is trained on them. ``None`` where labels are flipped.
    """

    name: str
    position: float | None
    repeat: int
    selector: FlipSelector | None = None
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


@runtime_checkable
class Places(Protocol):
    """A datamodule that places samples for label flips to mislabel: trials that it brings, with their repeats."""

    placed: Sequence[Trial]


def trials_of(selectors: Mapping[str, FlipSelector], repeats: int) -> list[Trial]:
    """Return all trials of selectors in order: all of the first repeat, then all of the second.

    Args:
        selectors: Selectors by name.
        repeats: How often each of their variants is tried.
    """
    return [
        Trial(name, variant.position, repeat, variant)
        for repeat in range(repeats)
        for name, selector in selectors.items()
        for variant in selector.variants()
    ]


def together(parts: Sequence[Selection]) -> Selection:
    """Return the flips of several classes as one; figures are averaged over the classes that have them."""
    scores = [part.scores.double() for part in parts if part.scores is not None]
    figures: dict[str, list[float]] = {}
    for name, figure in (item for part in parts for item in part.figures.items()):
        figures.setdefault(name, []).append(figure)
    return Selection(
        torch.cat([part.indices for part in parts]),
        torch.cat(scores) if len(scores) == len(parts) else None,
        # of large numbers the sum may overflow
        figures={name: sum(figure / len(own) for figure in own) for name, own in figures.items()},
    )
