"""Uncertainty sampling, by three measures of how unsure the classifier is: entropy, least confidence and margin.

Probabilities round to 0 and 1 where logits are some 37 apart, so that all measures are taken of the logits themselves.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aal.attacks.ascent import log_odds
from aal.strategies.base import Selection, Strategy, View, highest, lowest


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
    others = _others(z)
    second = others.amax(-1)
    shares = (others - second[..., None]).exp()
    total = shares.sum(-1)
    s = total * second.exp()
    first = torch.where(s > 0, s.log1p() / s, 1) * total
    log_entropy: Tensor = second + (first - torch.linalg.vecdot(shares, z) / (1 + s)).log()
    return log_entropy


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
    first, others = logits.amax(-1), _others(logits)
    second = others.amax(-1)  # 1 - m is twice its probability and those of the classes after it
    return first + (-(second - first).expm1()).log() - torch.logaddexp(others.logsumexp(-1), second)


def _others(logits: Tensor) -> Tensor:
    """Return logits ``(B, C)`` with minus infinity for the predicted class."""
    return logits.scatter(-1, logits.argmax(-1, keepdim=True), -torch.inf)
