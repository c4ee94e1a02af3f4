"""The contract of every query strategy: ``select(view, n, *, generator) -> Selection``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.errors import RunStopped
from aal.strategies.view import View


@dataclass(frozen=True)
class Selection:
    """What a strategy asks to have labelled.

    Attributes:
        indices: Distinct unlabelled indices of the pool ``(n,)``, first choice first.
        scores: Their scores ``(n,)``, or ``None`` where the strategy has none.
    """

    indices: Tensor
    scores: Tensor | None = None


class Strategy:
    """A way to choose what to label next. Subclasses are frozen dataclasses of hyper-parameters."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` of the view's candidates.

        Args:
            view: What the learner knows about the pool.
            n: How many, at most ``len(view.candidates)``.
            generator: The only source of randomness.

        Raises:
            RunStopped: A score is NaN.
        """
        raise NotImplementedError


def highest(strategy: Strategy, view: View, scores: Tensor, n: int) -> Selection:
    """Select the ``n`` candidates with the highest scores ``(U,)``; equal scores go to the lower index.

    Raises:
        RunStopped: A score is NaN; the message names the strategy and the first such index.
    """
    scores = scores.cpu()
    if scores.isnan().any():
        index = int(view.candidates[scores.isnan()][0])
        raise RunStopped(f"{type(strategy).__name__}: the score of index {index} is NaN; nothing was queried")
    order = torch.argsort(scores, descending=True, stable=True)[:n]
    return Selection(view.candidates[order], scores[order])
