"""The contract of every selector of labels to flip: ``select(view, n, *, generator) -> Flips``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aal.errors import RunStopped
from aal.flips.view import FlipView


class TooFew(Exception):
    """There are fewer samples than the budget where a selector looks, such as in a bucket; it says how many."""


@dataclass(frozen=True)
class Flips:
    """What a selector wants mislabelled.

    Attributes:
        indices: Distinct candidates ``(n,)``, first choice first.
        scores: Their scores ``(n,)``, or ``None`` where the selector has none.
        figures: What is worth recording of the selection; columns of the round's record.
    """

    indices: Tensor
    scores: Tensor | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


class FlipSelector:
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

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Flips:
        """Choose ``n`` of the view's candidates.

        Args:
            view: What the attacker knows about the training set.
            n: How many, at most ``len(view.candidates)``.
            generator: The only source of randomness.

        Raises:
            TooFew: Where it looks there are fewer than ``n``.
            RunStopped: A score is NaN.
        """
        raise NotImplementedError


def flips_fault(flips: Flips, view: FlipView, n: int) -> str:
    """Return how a selection breaks the contract, empty where it does not.

    Args:
        flips: What a selector chose.
        view: What it was given.
        n: How many it was asked for.
    """
    chosen, scores = flips.indices, flips.scores
    if len(chosen) != n:
        return f"selected {len(chosen)} samples, asked for {n}"
    if len(chosen.unique()) < n or not torch.isin(chosen, view.candidates).all():
        return "selected a sample twice, or one that is no candidate"
    if scores is not None and (scores.shape != chosen.shape or scores.isnan().any()):
        return "selected a sample whose score is NaN, or not as many scores as samples"
    bad = [name for name, figure in flips.figures.items() if not math.isfinite(figure)]
    return f"has a figure that is not finite: {', '.join(bad)}" if bad else ""


def highest_flips(selector: FlipSelector, view: FlipView, scores: Tensor, n: int, generator: torch.Generator) -> Flips:
    """Select the ``n`` candidates with the highest scores ``(U,)``; among equal ones chance decides.

    Raises:
        RunStopped: A score is NaN; the message names the selector and the first such index.
    """
    scores = scores.cpu()
    if scores.isnan().any():
        index = int(view.candidates[scores.isnan()][0])
        raise RunStopped(f"{type(selector).__name__}: the score of index {index} is NaN; nothing was flipped")
    shuffled = torch.randperm(len(scores), generator=generator)
    order = shuffled[torch.argsort(scores[shuffled], descending=True, stable=True)][:n]
    return Flips(view.candidates[order], scores[order])
