"""The one loop of FGSM, BIM and PGD: steepest ascent of the loss within a ball around each sample."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import Adversarial, PerSample, column, gradient_of
from aal.attacks.norms import Norm
from aal.attacks.task import Task


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the log-odds of every other class together against the label, ``log((1 - p) / p)``, ``(B,)``.

    It grows with the cross entropy ``-log p``, but neither it nor its gradient vanishes where p rounds to 1.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, labels[:, None]).squeeze(1)


def log_odds_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of :func:`log_odds` by the logits ``(B, C)``; that of the cross entropy is a multiple of it.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    return log_odds_and_gradient(logits, labels)[1]


def log_odds_and_gradient(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return what :func:`log_odds` and :func:`log_odds_gradient` do, in fewer operations."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    total = others.logsumexp(1, keepdim=True)
    odds = total - logits.gather(1, labels[:, None])
    return odds.squeeze(1), others.sub_(total).exp_().scatter_(1, labels[:, None], -1.0)


@dataclass(frozen=True)
class Ascent:
    """How far to go, and in what steps.

    Attributes:
        norm: The norm of radius and steps.
        radius: Largest perturbation, in the units of the samples.
        step_size: Length of a step.
        steps: Most steps.
        random_start: Whether to start from a random point of the ball instead of the sample.
        restarts: How often to try; from the second time on only samples that were not fooled yet are tried.
        early_stop: Whether a sample is finished once it is fooled, instead of going on to a higher loss.
    """

    norm: Norm
    radius: float
    step_size: float
    steps: int
    random_start: bool = False
    restarts: int = 1
    early_stop: bool = False

    def __call__(self, task: Task) -> Adversarial:
        """Attack all samples of ``task``, from its ``start`` ``(B, ...)`` the first time where it has one.

        Of the points on a sample's way the one with the highest loss is returned, one that fools the model before any
        that does not. ``loss`` in ``info`` is the log-odds of not being the label, or of being the target.
        """
        best = Points.none(task.x)
        queries = torch.zeros_like(task.rows)
        for restart in range(self.restarts):
            rows = task.rows if restart == 0 else task.rows[~best.success]
            if len(rows) == 0:
                break
            self._climb(task, best, queries, rows, self._start(task, rows, restart))
        return Adversarial(best.x, best.success, self.norm.size(best.x - task.x), queries, {"loss": best.loss})

    def _start(self, task: Task, rows: Tensor, restart: int) -> Tensor:
        if task.start is not None and restart == 0:
            return task.start.clone()
        x = task.x[rows]
        return x.add_(self.norm.random(x, self.radius, task.seeds[rows], restart)) if self.random_start else x

    def _climb(self, task: Task, best: "Points", queries: Tensor, rows: Tensor, x: Tensor) -> None:
        """Walk from ``x``, the points to begin with of ``rows``, and keep what is better in ``best``."""
        origin, labels, found = task.x[rows], task.labels[rows], best.take(rows)
        sign = -1 if task.targeted else 1
        x = self._into_ball(task, x, origin)
        for step in range(self.steps + 1):
            last = step == self.steps
            leaf = x.detach().requires_grad_(not last)
            with torch.set_grad_enabled(not last):
                logits = task.logits(leaf, rows)
            values = logits.detach()
            fooled = task.reached(values, labels)
            odds, weights = log_odds_and_gradient(values, labels)
            if step > 0 or self.early_stop:  # the point to begin with is none of the attack's
                found.improve(x, fooled, odds * sign)
            if last:
                break
            gradient = gradient_of(logits, leaf, weights * sign)
            if self.early_stop:
                left = (~fooled).nonzero().squeeze(1)  # the one thing in a step that waits for the device
                if len(left) < len(rows):
                    best.put(rows, found)
                    queries[rows[fooled]] += step + 1
                    rows, labels, origin, x, gradient = (t[left] for t in (rows, labels, origin, x, gradient))
                    found = found.take(left)
                if len(rows) == 0:
                    return
            x = self.norm.steepest(gradient, self.step_size, x, task.low, task.high).add_(x)
            x = self._into_ball(task, x, origin)
        best.put(rows, found)
        queries[rows] += self.steps + 1

    def _into_ball(self, task: Task, x: Tensor, origin: Tensor) -> Tensor:
        """Project onto the ball, then onto the data's range, which moves no element away from ``origin``."""
        return self.norm.project(x.sub_(origin), self.radius).add_(origin).clamp_(task.low, task.high)


@dataclass
class Points(PerSample):
    """The best point of each sample.

    Attributes:
        x: The point.
        success: Whether it reaches the goal.
        loss: What the ascent climbs.
    """

    x: Tensor
    success: Tensor
    loss: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "Points":
        """Return the samples ``x`` ``(B, ...)`` themselves, as points that any other is better than."""
        return cls(x.clone(), x.new_zeros(len(x), dtype=torch.bool), x.new_full((len(x),), -torch.inf))

    def improve(self, x: Tensor, success: Tensor, loss: Tensor) -> None:
        """Take the points that are better: those that reach the goal before the others, then by their loss."""
        better = (success & ~self.success) | ((success == self.success) & (loss > self.loss))
        self.x = torch.where(column(better, x), x, self.x)
        self.success = self.success | success
        self.loss = torch.where(better, loss, self.loss)
