"""Entropy sampling: the candidates whose predicted class is least certain.

Probabilities round to 0 and 1 where logits are some 37 apart: this and its kin are taken of the logits themselves.
"""

from dataclasses import dataclass, replace

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
        selection = highest(self, view, view.score(log_entropy_of), n, generator)
        assert selection.scores is not None
        return replace(selection, scores=selection.scores.exp())


def entropy_of(logits: Tensor) -> Tensor:
    """Return the entropy, in nats, of the class probabilities that logits ``(B, C)`` stand for, ``(B,)``."""
    return log_entropy_of(logits).exp()


def log_entropy_of(logits: Tensor) -> Tensor:
    """Return the logarithm of :func:`entropy_of`, ``(B,)``: it tells apart entropies that round to 0."""
    # ln(1 + s) - sum of s_c z_c / (1 + s), where z_c <= 0 are the logits less the highest, s_c = e^z_c and s is their
    # sum over the other classes. No term cancels; the highest s_c is taken out of all of them before they vanish.
    least = torch.finfo(logits.dtype).min / 2**20  # for 0 times -inf
    z = (logits - logits.amax(-1, keepdim=True)).clamp_min(least)
    others = others_of(z)
    second = others.amax(-1)
    shares = (others - second[..., None]).exp()
    total = shares.sum(-1)
    s = total * second.exp()
    first = torch.where(s > 0, s.log1p() / s, 1) * total
    log_entropy: Tensor = second + (first - torch.linalg.vecdot(shares, z) / (1 + s)).log()
    return log_entropy


def others_of(logits: Tensor) -> Tensor:
    """Return logits ``(B, C)`` with minus infinity for the predicted class."""
    return logits.scatter(-1, logits.argmax(-1, keepdim=True), -torch.inf)
