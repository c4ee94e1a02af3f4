"""What attacks that ascend a loss share: the log-odds, and the best point of each sample so far.

The direction of the cross entropy depends on the units of the logits: multiplied by little they count all other classes
alike, by much the highest alone. So that an attack finds the same whatever the units, it takes logits in units of their
own, in which all classes but the highest have a certain weight together. Classes far below the others have no part in
that: a network has such logits of classes that it never saw, and they change no decision.
"""

import math

import torch
from torch import Tensor

from aal.attacks.base import PerSample, column, divisor

WEIGHT = math.exp(-2)  # of all classes but the highest against that, once logits are in their own units
TURNS = 2  # of Newton's method; any number of them gives units that what is added to or multiplies logits leaves alone


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the log-odds of every other class together against the label, ``log((1 - p) / p)``, ``(B,)``.

    It grows with the cross entropy ``-log p``, but neither it nor its gradient vanishes where p rounds to 1.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, labels[:, None]).squeeze(1)


def log_odds_and_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return :func:`log_odds` and its gradient by the logits ``(B, C)``; that of the cross entropy is a multiple of it.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    total = others.logsumexp(1, keepdim=True)
    odds = total - logits.gather(1, labels[:, None])
    return odds.squeeze(1), others.sub_(total).exp_().scatter_(1, labels[:, None], -1.0)


def own_units(logits: Tensor) -> Tensor:
    """Return the unit u ``(B, 1)`` of logits z ``(B, C)``, a constant to autograd.

    It is where ``exp((z_k - max z) / u)``, summed over all classes but the highest, is ``WEIGHT``: half the gap between
    two classes, less with more of them. Where two are highest alike it is small, and they alone count.
    """
    z = logits.detach()
    top = z.amax(1, keepdim=True)
    gaps = (top - z).sort(1).values[:, 1:]
    least = divisor(gaps[:, :1].maximum(torch.finfo(z.dtype).eps * top.abs()))
    ratios, rate = (gaps / least).clamp_min_(1), torch.full_like(least, -math.log(WEIGHT))
    for _ in range(TURNS):
        terms = (-rate * ratios).exp_()
        total = terms.sum(1, keepdim=True)
        rate = rate + (total.log() - math.log(WEIGHT)) * total / terms.mul_(ratios).sum(1, keepdim=True)
    return least / rate


def climbed(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what attacks climb, the log-odds of logits ``(B, C)`` in their own units, times that unit, ``(B,)``."""
    unit = own_units(logits)
    return log_odds(logits / unit, labels) * unit.squeeze(1)


class Points(PerSample):
    """The best point of each sample.

    Attributes:
        x: The point.
        success: Whether it reaches the goal.
        loss: What the ascent climbs.
    """

    @classmethod
    def none(cls, x: Tensor) -> "Points":
        """Return the samples ``x`` ``(B, ...)`` themselves, as points that any other is better than."""
        loss = x.new_full((len(x),), -torch.inf)
        return cls(x=x.clone(), success=torch.zeros_like(loss, dtype=torch.bool), loss=loss)

    def improve(self, x: Tensor, success: Tensor, loss: Tensor) -> None:
        """Take the points that are better: those that reach the goal before the others, then by their loss."""
        better = (success & ~self.success) | ((success == self.success) & (loss > self.loss))
        self.update(
            x=torch.where(column(better, x), x, self.x),
            success=self.success | success,
            loss=torch.where(better, loss, self.loss),
        )
