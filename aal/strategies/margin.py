"""Margin sampling: the candidates whose two most probable classes are nearly as probable as each other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.base import Selection, Strategy, View, lowest
from aal.strategies.entropy import others_of


@dataclass(frozen=True)
class Margin(Strategy):
    """Query the smallest difference m between the two highest class probabilities. Scores are ``ln m - ln(1 - m)``.

    Source: Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", section 4; in
    Settles, "Active Learning Literature Survey", section 3.1.
    """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of smallest margin."""
        return lowest(self, view, view.score(margin_of), n, generator)


def margin_of(logits: Tensor) -> Tensor:
    """Return ``ln m - ln(1 - m)``, m the difference between the two highest of the probabilities of logits ``(B, C)``.

    It is ``(B,)``, from minus infinity where the two are equal.
    """
    first, others = logits.amax(-1), others_of(logits)
    second = others.amax(-1)  # 1 - m is twice its probability and those of the classes after it
    return first + (-(second - first).expm1()).log() - torch.logaddexp(others.logsumexp(-1), second)
