"""Entropy sampling: the candidates whose predicted class is least certain."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.base import Selection, Strategy, View, highest


@dataclass(frozen=True)
class Entropy(Strategy):
    """Query the highest entropy of the class probabilities, in nats.

    Source: paper *collision*, Equations 4-5; *uncertainty* in paper *dfal*, section 4.2.
    """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of highest entropy."""
        return highest(self, view, view.score(entropy_of), n)


def entropy_of(logits: Tensor) -> Tensor:
    """Return the entropy, in nats, of the class probabilities that logits ``(B, C)`` stand for, ``(B,)``."""
    # ln of the sum of e^z less the mean of z; for z <= 0 neither cancels. With few classes softmax takes twice as long.
    z = (logits - logits.amax(-1, keepdim=True)).clamp_min(torch.finfo(logits.dtype).min)  # for 0 times -inf
    weights = z.exp()
    total = weights.sum(-1)
    entropy: Tensor = total.log() - torch.linalg.vecdot(weights, z) / total
    return entropy
