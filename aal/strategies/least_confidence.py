"""Least confidence: the candidates whose predicted class is least probable."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.base import Selection, Strategy, View, highest


@dataclass(frozen=True)
class LeastConfidence(Strategy):
    """Query the highest probability that the predicted class is wrong, in [0, 1 - 1/C].

    Source: Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers"; in Settles, "Active Learning
    Literature Survey", section 3.1.
    """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates whose prediction is least confident."""
        return highest(self, view, view.score(doubt_of), n)


def doubt_of(logits: Tensor) -> Tensor:
    """Return 1 less the highest of the probabilities that logits ``(B, C)`` stand for, ``(B,)``."""
    return 1 - logits.softmax(-1).amax(-1)
