"""Margin sampling: the candidates whose two most probable classes are nearly as probable as each other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.base import Selection, Strategy, View, lowest


@dataclass(frozen=True)
class Margin(Strategy):
    """Query the smallest difference between the two highest class probabilities.

    Source: Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", section 4; in
    Settles, "Active Learning Literature Survey", section 3.1.
    """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of smallest margin."""
        return lowest(self, view, view.score(margin_of), n)


def margin_of(logits: Tensor) -> Tensor:
    """Return the difference between the two highest of the probabilities that logits ``(B, C)`` stand for, ``(B,)``."""
    first, second = logits.softmax(-1).topk(2).values.unbind(-1)
    return first - second
