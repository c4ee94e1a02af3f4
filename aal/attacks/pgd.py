"""Projected gradient descent: steepest ascent of the loss within a ball, from a random point of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.ascent import Points, log_odds_and_gradient, own_units
from aal.attacks.base import FROM_1, Adversarial, Task, WarmStart, gradient_of, or_none
from aal.attacks.norms import any_norm
from aal.checks import positive, refuse


@dataclass(frozen=True, kw_only=True)
class PGD(WarmStart):
    """Take steps of steepest ascent of the loss from a random point of the ball, and stay in the ball.

    Of all points on the way the one with the highest loss is returned, those that fool the model before the others.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks"; paper *shadow*, Equation 14;
    paper *noise*, Algorithm 1 (which starts from the sample itself: ``random_start: false``).

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: The norm of radius and steps: ``linf``, ``l2`` or ``l1``.
        steps: Number of steps of a try.
        step_size: Length of a step, above 0; ``null`` for ``2.5 * radius / steps``.
        random_start: Whether to start from a random point of the ball instead of the sample.
        restarts: Number of tries; from the second on only samples that are not fooled yet are tried.
        early_stop: Whether a sample is finished once it is fooled, instead of going on to a higher loss.

    Raises:
        UserError: A value outside its range; more than one try, but none of them random.
    """

    ranges = WarmStart.ranges | {
        "norm": any_norm,
        "steps": FROM_1,
        "restarts": FROM_1,
        "step_size": or_none(positive),
    }
    steps: int = 20
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    early_stop: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(
            self.restarts > 1 and not self.random_start, "restarts: tries without random_start would all be the same"
        )

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds
            in the logits' own units, times that unit: see :mod:`aal.attacks.ascent`).
        """
        best = Points.none(task.x)
        queries = torch.zeros_like(task.rows)
        for restart in range(self.restarts):
            rows = task.rows if restart == 0 else task.rows[~best.success]
            if len(rows) == 0:
                break
            self._climb(task, best, queries, rows, self._start(task, rows, restart))
        return Adversarial(best.x, best.success, self.ball.size(best.x - task.x), queries, {"loss": best.loss})

    def _start(self, task: Task, rows: Tensor, restart: int) -> Tensor:
        if task.start is not None and restart == 0:
            return task.start.clone()
        x = task.x[rows]
        return x.add_(self.ball.random(x, self.radius, task.seeds[rows], restart)) if self.random_start else x

    def _climb(self, task: Task, best: Points, queries: Tensor, rows: Tensor, x: Tensor) -> None:
        """Walk from ``x``, the points to begin with of ``rows``, and keep what is better in ``best``."""
        origin, labels, found = task.x[rows], task.labels[rows], best.take(rows)
        sign = -1 if task.targeted else 1
        length = 2.5 * self.radius / self.steps if self.step_size is None else self.step_size
        x = self.into_ball(task, x, origin)
        for step in range(self.steps + 1):
            last = step == self.steps
            leaf, logits = task.look(x, rows, slope=not last)
            values = logits.detach()
            fooled = task.reached(values, labels)
            unit = own_units(values)
            odds, weights = log_odds_and_gradient(values / unit, labels)
            if step > 0 or self.early_stop:  # the point to begin with is none of the attack's
                found.improve(x, fooled, odds * unit.squeeze(1) * sign)
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
            x = self.ball.steepest(gradient, length, x, task.low, task.high).add_(x)
            x = self.into_ball(task, x, origin)
        best.put(rows, found)
        queries[rows] += self.steps + 1
