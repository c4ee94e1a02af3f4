"""The contract of every selector of labels to flip, ``select(view, n, *, generator) -> Selection``; the baseline."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.checks import Checked
from aal.flips.flip_view import FlipView
from aal.strategies.base import Selection, ascending, refuse_nan


class TooFew(Exception):
    """There are fewer samples than the budget where a selector looks, such as in a bucket; it says how many."""


class FlipSelector(Checked, ABC):
    """A way to choose which labels to flip. Subclasses are frozen dataclasses of hyper-parameters."""

    @property
    def position(self) -> float | None:
        """Where in a sweep it stands, such as the number of its bucket; ``None`` where there is no sweep."""
        return None

    def variants(self) -> "tuple[FlipSelector, ...]":
        """Return the selectors that stand for this one, in order: one for each bucket, say. Mostly itself alone."""
        return (self,)

    def room(self, size: int) -> int:
        """Return among how many of ``size`` candidates it chooses, at most; what has less than a budget is refused."""
        return size

    def check(self, samples: tuple[int, ...], inputs: tuple[int, ...], classes: int) -> None:
        """Refuse what the selector could not do, before anything is trained.

        Args:
            samples: Shape of a sample.
            inputs: Shape of what the classifier takes: a sample, or a frozen backbone's features.
            classes: Number of the classifier's logits.

        Raises:
            UserError: It could not; the message names the argument.
        """

    @abstractmethod
    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` of the view's candidates.

        Args:
            view: What the attacker knows about the training set.
            n: How many, at most ``len(view.candidates)``.
            generator: The only source of randomness.

        Raises:
            TooFew: Where it looks there are fewer than ``n``.
            RunStopped: A score is NaN.
        """


@dataclass(frozen=True)
class RandomFlips(FlipSelector):
    """Flip labels at random: the baseline of every selector."""

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates at random."""
        return Selection(view.candidates[torch.randperm(len(view.candidates), generator=generator)[:n]])


def highest_flips(
    selector: FlipSelector, view: FlipView, scores: Tensor, n: int, generator: torch.Generator
) -> Selection:
    """Select the ``n`` candidates with the highest scores ``(U,)``; among equal ones chance decides.

    Raises:
        RunStopped: A score is NaN; the message names the selector and the first such index.
    """
    scores = refuse_nan(selector, view.candidates, scores.cpu(), "flipped")
    order = ascending(-scores, generator)[:n]
    return Selection(view.candidates[order], scores[order])
