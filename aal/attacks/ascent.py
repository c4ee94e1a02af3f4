"""What attacks that ascend a loss share: the log-odds, and the best point of each sample so far."""

import torch
from torch import Tensor

from aal.attacks.base import PerSample, column


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
