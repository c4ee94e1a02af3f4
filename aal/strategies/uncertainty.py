"""Uncertainty sampling, by three measures of how unsure the classifier is: entropy, least confidence and margin."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.base import Selection, Strategy, View, highest, lowest


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
