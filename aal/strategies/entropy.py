"""Entropy sampling: the candidates whose predicted class is least certain."""

from dataclasses import dataclass

import torch

from aal.strategies.base import Selection, Strategy, highest
from aal.strategies.view import View


@dataclass(frozen=True)
class Entropy(Strategy):
    """Query the highest entropy of the class probabilities, in nats (paper *collision*, Equations 4-5)."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of highest entropy."""
        return highest(self, view, torch.special.entr(view.probabilities.double()).sum(-1), n)
