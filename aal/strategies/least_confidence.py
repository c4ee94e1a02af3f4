"""Least confidence: the candidates whose predicted class is least probable."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.ascent import log_odds
from aal.strategies.base import Selection, Strategy, View, highest


@dataclass(frozen=True)
class LeastConfidence(Strategy):
    """Query the highest probability that the predicted class is wrong. Scores are its log-odds, at most ln(C - 1).

    Source: Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers"; in Settles, "Active Learning
    Literature Survey", section 3.1.
    """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates whose prediction is least confident."""
        return highest(self, view, view.score(doubt_of), n, generator)


def doubt_of(logits: Tensor) -> Tensor:
    """Return the log-odds, ``ln(1 - p) - ln p``, that the class that logits ``(B, C)`` predict is wrong, ``(B,)``."""
    return log_odds(logits, logits.argmax(-1))
