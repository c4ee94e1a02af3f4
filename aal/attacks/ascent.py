"""What attacks that ascend a loss share: the log-odds, and the best point of each sample so far.

The direction of the cross entropy depends on the units of the logits: multiplied by little they count all other classes
alike, by much the highest alone. So that an attack finds the same whatever the units, it takes logits in units of their
own, in which their standard deviation over the classes is 4, about that of a trained classifier.
"""

import torch
from torch import Tensor

from aal.attacks.base import PerSample, column, divisor

DEVIATION = 4.0


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
    """Return the unit ``(B, 1)`` in which logits ``(B, C)`` have a standard deviation of 4; a constant to autograd."""
    return divisor(logits.detach().std(1, correction=0, keepdim=True) / DEVIATION)


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
