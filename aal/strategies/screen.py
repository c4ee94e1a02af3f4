"""Screens: candidates that are not to be queried are dropped before a strategy chooses among the others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aal.checks import FROM_1, Checked, below_one, kind_of, refuse
from aal.errors import RunStopped
from aal.strategies.base import Around, Selection, Strategy, View, ascending
from aal.strategies.entropy import Entropy


class Screen(Checked, ABC):
    """Says which candidates may be queried. Subclasses are frozen dataclasses of hyper-parameters."""

    @abstractmethod
    def keep(self, view: View, *, generator: torch.Generator) -> Tensor:
        """Tell which of the view's candidates may be queried, bool ``(U,)`` on the CPU, the same on every rank."""


@dataclass(frozen=True)
class Subset(Screen):
    """Keep a random subset of the pool, to make any strategy cheaper.

    Args:
        size: How many candidates to keep.

    Raises:
        UserError: A size below 1.
    """

    size: int
    ranges = Screen.ranges | {"size": FROM_1}

    def keep(self, view: View, *, generator: torch.Generator) -> Tensor:
        """Keep ``size`` candidates, drawn at random."""
        return torch.isin(view.candidates, view.among(self.size, 1, generator).candidates)


@dataclass(frozen=True)
class FeatureNorm(Screen):
    """Drop the candidates whose features have the smallest norm: where collisions with the zero vector lie.

    Against paper *collision*'s attack with ``mu: zero`` (section III.B); the screen is ours.

    Args:
        share: Share of the candidates to drop, in [0, 1).

    Raises:
        UserError: A share outside its range.
    """

    share: float = 0.1
    ranges = Screen.ranges | {"share": below_one}

    def keep(self, view: View, *, generator: torch.Generator) -> Tensor:
        """Keep all but the share of smallest norm, rounded down; among equal ones chance decides."""
        norms = view.map(lambda batch: view.module.embed(view.inputs(batch)).norm(dim=1), view.candidates).cpu()
        dropped = ascending(norms, generator)[: int(self.share * len(norms))]
        return torch.ones_like(norms, dtype=torch.bool).index_fill_(0, dropped, False)


@dataclass(frozen=True)
class Screened(Around):
    """Let a strategy choose among the candidates that pass one or more screens, each seeing what the last one left.

    Where fewer pass than are to be queried, the first screen that leaves too few is not heeded, nor are those after it.

    Args:
        strategy: Chooses among what is left.
        screens: The screens in order.
    """

    strategy: Strategy = field(default_factory=Entropy)
    screens: Sequence[Screen] = ()

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates among those that pass."""
        for screen in self.screens:
            kept = screen.keep(view, generator=generator)
            wanted = f"torch.bool {(len(view.candidates),)}"
            refuse(
                kind_of(kept) != wanted, f"{type(screen).__name__} must keep {wanted}, not {kind_of(kept)}", RunStopped
            )
            if int(kept.sum()) < n:
                view.report(f"{type(screen).__name__} leaves {int(kept.sum())} of {n} to query: not heeded")
                break
            view = view.only(kept)
        return self.strategy.select(view, n, generator=generator)
