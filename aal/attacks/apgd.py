"""APGD: projected ascent with momentum, whose step is halved where it stalls; on one loss, and towards classes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aal.attacks.ascent import Points, climbed
from aal.attacks.base import FROM_1, Adversarial, PerSample, Task, WithinRadius, column
from aal.attacks.margins import aims, dlr, rivals, slope, targeted_dlr
from aal.checks import one_of

MOMENTUM = 0.75  # share of a step that is the gradient's; the rest goes on as the last step went
RISES = 0.75  # the step is halved where a smaller share of the steps since the last checkpoint made the loss rise


@dataclass(frozen=True, kw_only=True)
class APGD(WithinRadius):
    """Climb the loss from a random point of the ball, in steps of ``2 * radius`` that are halved where they stall.

    A sample is finished once it is fooled. The cross entropy is climbed as the log-odds in the logits' own
    units (:mod:`aal.attacks.ascent`), which have its order and
    direction, but do not vanish where probabilities round to 1.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", Algorithm 1: APGD-CE, and with the other loss APGD-DLR. Towards a target DLR is the targeted one (Equation
    7), with the target's strongest rival as the class to leave.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        steps: Most steps, at least 1.
        loss: What to climb: ``ce``, the cross entropy, or ``dlr``, the difference of logits ratio.

    Raises:
        UserError: A value outside its range.
    """

    steps: int = 100
    loss: str = "ce"

    ranges = WithinRadius.ranges | {"steps": FROM_1, "loss": partial(one_of, ("ce", "dlr"))}

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (the point that fools the model, or else the one with the highest loss), ``success``, ``distance``
            in the attack's norm, and in ``info`` the ``loss``: the log-odds or DLR of reaching the goal.
        """
        found, queries = Points.none(task.x), torch.zeros_like(task.rows)

        def loss(logits: Tensor, rows: Tensor) -> Tensor:
            labels = task.labels[rows]
            if self.loss == "ce":
                return climbed(logits, labels) * (-1 if task.targeted else 1)
            return targeted_dlr(logits, rivals(task, logits, rows), labels) if task.targeted else dlr(logits, labels)

        climb(task, task.rows, loss, self, self.steps, draw=0, found=found, queries=queries)
        return Adversarial(found.x, found.success, self.ball.size(found.x - task.x), queries, {"loss": found.loss})


@dataclass(frozen=True, kw_only=True)
class APGDT(WithinRadius):
    """Climb the targeted DLR as APGD does, towards the classes with the highest logits in turn, until one try succeeds.

    Any class but the label is a success, not the one aimed at alone; with ``target``, that class alone.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", Algorithm 1 and Equation 7.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        steps: Most steps towards a class, at least 1.
        targets: Most classes to try, at least 1; there are none but those of the model less the label's.

    Raises:
        UserError: A value outside its range.
    """

    steps: int = 100
    targets: int = 9

    ranges = WithinRadius.ranges | {"steps": FROM_1, "targets": FROM_1}

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (the point that fools the model, or else the one with the highest loss; where the goal is reached
            to begin with, the sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss``.
        """
        found, queries, logits = Points.none(task.x), torch.ones_like(task.rows), task.predict(task.x)
        found.update(success=task.reached(logits, task.labels))
        classes = aims(task, logits, task.rows, self.targets)

        def loss(logits: Tensor, rows: Tensor, turn: int) -> Tensor:
            return targeted_dlr(logits, rivals(task, logits, rows), classes[rows, turn])

        for turn in range(classes.shape[1]):
            left = task.rows[~found.success]
            if len(left) == 0:
                break
            task.refuse_nan()
            climb(task, left, partial(loss, turn=turn), self, self.steps, draw=turn + 1, found=found, queries=queries)
        return Adversarial(found.x, found.success, self.ball.size(found.x - task.x), queries, {"loss": found.loss})


def climb(
    task: Task,
    rows: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    within: WithinRadius,
    steps: int,
    *,
    draw: int,
    found: Points,
    queries: Tensor,
) -> None:
    """Climb a loss from a random point of the ball around each sample until it is fooled.

    Args:
        task: The task.
        rows: Which of its B samples, ``(N,)``.
        loss: ``loss(logits, rows)`` of points ``(N, C)`` and the rows they belong to, ``(N,)``.
        within: The attack, which has the ball's radius and norm.
        steps: Most steps.
        draw: Number of the random draw.
        found: The best points so far ``(B, ...)``, improved here.
        queries: Forward passes so far ``(B,)``, counted on here.
    """
    best, judged, checked = found.take(rows), checkpoints(steps), 0
    origin = task.x[rows]
    start = origin + within.ball.random(origin, within.radius, task.seeds[rows], draw)
    walk = _Walk.begin(rows, origin, within.into_ball(task, start, origin), 2 * within.radius)
    for step in range(steps + 1):
        last = step == steps
        leaf, logits = task.look(walk.x, walk.rows, slope=not last)
        values = loss(logits, walk.rows)
        queries[walk.rows] += 1
        fooled = task.reached(logits.detach(), task.labels[walk.rows])
        best.improve(leaf.detach(), fooled, values.detach())
        if last:
            break
        walk.arrive(values.detach(), slope(values, leaf))
        if step in judged:
            walk.check(step - checked)
            checked = step
        left = (~fooled).nonzero().squeeze(1)  # the one thing in a step that waits for the device
        if len(left) < len(fooled):
            found.put(walk.rows, best)
            walk, best = walk.take(left), best.take(left)
        if len(left) == 0:
            return
        ahead = within.ball.steepest(walk.gradient, 1.0, walk.x, task.low, task.high).mul_(column(walk.length, walk.x))
        ahead = within.into_ball(task, ahead.add_(walk.x), walk.origin)
        if step > 0:
            ahead = walk.x + MOMENTUM * (ahead - walk.x) + (1 - MOMENTUM) * (walk.x - walk.before)
            ahead = within.into_ball(task, ahead, walk.origin)
        walk.update(before=walk.x, x=ahead)
    found.put(walk.rows, best)


class _Walk(PerSample):
    """Where each sample is on its way.

    Attributes:
        rows: Its row.
        origin: The sample.
        x: The point it is at.
        before: The point it was at before.
        value: The loss at ``x``.
        gradient: The loss's gradient at ``x``.
        length: Length of a step.
        top: The point with the highest loss so far.
        top_value: The loss there.
        top_gradient: Its gradient there.
        rises: How many steps since the last checkpoint made the loss rise.
        checked: The highest loss at the last checkpoint.
        halved: Whether the step was halved there.
    """

    @classmethod
    def begin(cls, rows: Tensor, origin: Tensor, x: Tensor, length: float) -> "_Walk":
        lowest = x.new_full((len(x),), -torch.inf)
        none, zeros = torch.zeros_like(rows), torch.zeros_like(x)
        return cls(
            rows=rows,
            origin=origin,
            x=x,
            before=x,
            value=lowest,
            gradient=zeros,
            length=torch.full_like(lowest, length),
            top=x,
            top_value=lowest,
            top_gradient=zeros,
            rises=none,
            checked=lowest,
            halved=none.bool(),
        )

    def arrive(self, value: Tensor, gradient: Tensor) -> None:
        """Take note of the loss and its gradient at ``x``."""
        higher = value > self.top_value
        self.update(
            rises=self.rises + (value > self.value),
            value=value,
            gradient=gradient,
            top=torch.where(column(higher, self.x), self.x, self.top),
            top_gradient=torch.where(column(higher, gradient), gradient, self.top_gradient),
            top_value=torch.where(higher, value, self.top_value),
        )

    def check(self, steps: int) -> None:
        """Halve the step where too few of the last ``steps`` made the loss rise, or its maximum stays where it was.

        From there the way goes on at the highest point.
        """
        few = self.rises < RISES * steps
        stays = ~self.halved & (self.top_value == self.checked)
        halved, back = few | stays, column(few | stays, self.x)
        self.update(
            halved=halved,
            length=torch.where(halved, self.length / 2, self.length),
            x=torch.where(back, self.top, self.x),
            gradient=torch.where(back, self.top_gradient, self.gradient),
            value=torch.where(halved, self.top_value, self.value),
            checked=self.top_value,
            rises=torch.zeros_like(self.rises),
        )


def checkpoints(steps: int) -> set[int]:
    """Return the steps after which progress is judged: 0, 22, 41, ... per cent of all, by 3 less at a time, at least 6.

    In whole per cent, since 0.57 * 100 is not 57.
    """
    shares = [0, 22]
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return {-(-share * steps // 100) for share in shares[:-1]}
