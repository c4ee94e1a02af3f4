"""APGD: projected ascent with momentum, whose step is halved where it stalls; and the attack on one loss."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from aal.attacks.ascent import Points, log_odds
from aal.attacks.base import Adversarial, Attack, Task, attacking, column
from aal.attacks.margins import dlr, rivals, slope, targeted_dlr
from aal.attacks.norms import Norm, norm_but_l1
from aal.checks import at_least
from aal.errors import UserError

MOMENTUM = 0.75  # share of a step that is the gradient's; the rest goes on as the last step went
RISES = 0.75  # the step is halved where a smaller share of the steps since the last checkpoint made the loss rise

LOSSES = ("ce", "dlr")


@dataclass(frozen=True, kw_only=True)
class APGD(Attack):
    """Climb the loss from a random point of the ball, in steps of ``2 * radius`` that are halved where they stall.

    A sample is finished once it is fooled. The cross entropy is climbed as the log-odds, which have its order and
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

    radius: float = 8 / 255
    norm: str = "linf"
    steps: int = 100
    loss: str = "ce"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        at_least(1, {"steps": self.steps})
        norm_but_l1(self.norm)
        if self.loss not in LOSSES:
            raise UserError(f"loss: must be one of {', '.join(LOSSES)}, got {self.loss!r}")

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
    ) -> Adversarial:
        """Attack a classifier.

        Args:
            model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
            x: Samples ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``; ``None``: any but the label.
            bounds: The data's range (low, high).
            seeds: int64 ``(B,)``, what each sample's random start depends on; ``None`` for its row.

        Returns:
            Samples (the point that fools the model, or else the one with the highest loss), ``success``, ``distance``
            in the attack's norm, and in ``info`` the ``loss``: the log-odds or DLR of reaching the goal.

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            return self.on(task, task.rows)

    def on(self, task: Task, rows: Tensor) -> Adversarial:
        """Attack the samples ``rows`` ``(N,)`` of ``task``; the others are returned as they are."""
        norm = norm_but_l1(self.norm)
        found, queries = Points.none(task.x), torch.zeros_like(task.rows)

        def loss(logits: Tensor, rows: Tensor) -> Tensor:
            labels = task.labels[rows]
            if self.loss == "ce":
                return log_odds(logits, labels) * (-1 if task.targeted else 1)
            return targeted_dlr(logits, rivals(task, logits, rows), labels) if task.targeted else dlr(logits, labels)

        climb(task, rows, loss, norm, self.radius, self.steps, draw=0, found=found, queries=queries)
        return Adversarial(found.x, found.success, norm.size(found.x - task.x), queries, {"loss": found.loss})


def climb(
    task: Task,
    rows: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    norm: Norm,
    radius: float,
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
        norm: The norm of the ball.
        radius: The ball's radius.
        steps: Most steps.
        draw: Number of the random draw.
        found: The best points so far ``(B, ...)``, improved here.
        queries: Forward passes so far ``(B,)``, counted on here.
    """
    best, judged, checked = found.take(rows), checkpoints(steps), 0
    origin = task.x[rows]
    start = origin + norm.random(origin, radius, task.seeds[rows], draw)
    walk = _Walk.begin(rows, origin, _into_ball(task, norm, radius, start, origin), 2 * radius)
    for step in range(steps + 1):
        last = step == steps
        leaf = walk.x.detach().requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            logits = task.logits(leaf, walk.rows)
            if step == 0:
                task.check_classes(logits.shape[1])
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
        ahead = norm.steepest(walk.gradient, 1.0, walk.x, task.low, task.high).mul_(column(walk.length, walk.x))
        ahead = _into_ball(task, norm, radius, ahead.add_(walk.x), walk.origin)
        if step > 0:
            ahead = walk.x + MOMENTUM * (ahead - walk.x) + (1 - MOMENTUM) * (walk.x - walk.before)
            ahead = _into_ball(task, norm, radius, ahead, walk.origin)
        walk.before, walk.x = walk.x, ahead
    found.put(walk.rows, best)


@dataclass
class _Walk:
    """Where each sample is on its way; every field has one entry a sample.

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

    rows: Tensor
    origin: Tensor
    x: Tensor
    before: Tensor
    value: Tensor
    gradient: Tensor
    length: Tensor
    top: Tensor
    top_value: Tensor
    top_gradient: Tensor
    rises: Tensor
    checked: Tensor
    halved: Tensor

    @classmethod
    def begin(cls, rows: Tensor, origin: Tensor, x: Tensor, length: float) -> "_Walk":
        lowest = x.new_full((len(x),), -torch.inf)
        none, zeros = torch.zeros_like(rows), torch.zeros_like(x)
        lengths = x.new_full((len(x),), length)
        return cls(rows, origin, x, x, lowest, zeros, lengths, x, lowest, zeros, none, lowest, none.bool())

    def arrive(self, value: Tensor, gradient: Tensor) -> None:
        """Take note of the loss and its gradient at ``x``."""
        self.rises = self.rises + (value > self.value)
        self.value, self.gradient = value, gradient
        higher = value > self.top_value
        self.top = torch.where(column(higher, self.x), self.x, self.top)
        self.top_gradient = torch.where(column(higher, gradient), gradient, self.top_gradient)
        self.top_value = torch.where(higher, value, self.top_value)

    def check(self, steps: int) -> None:
        """Halve the step where too few of the last ``steps`` made the loss rise, or its maximum stays where it was.

        From there the way goes on at the highest point.
        """
        few = self.rises < RISES * steps
        stays = ~self.halved & (self.top_value == self.checked)
        self.halved = few | stays
        self.length = torch.where(self.halved, self.length / 2, self.length)
        back = column(self.halved, self.x)
        self.x = torch.where(back, self.top, self.x)
        self.gradient = torch.where(back, self.top_gradient, self.gradient)
        self.value = torch.where(self.halved, self.top_value, self.value)
        self.checked = self.top_value
        self.rises = torch.zeros_like(self.rises)

    def take(self, kept: Tensor) -> "_Walk":
        return _Walk(**{entry.name: getattr(self, entry.name)[kept] for entry in fields(self)})


def _into_ball(task: Task, norm: Norm, radius: float, x: Tensor, origin: Tensor) -> Tensor:
    """Project onto the ball, then onto the data's range, which moves no element away from ``origin``."""
    return norm.project(x - origin, radius).add_(origin).clamp_(task.low, task.high)


def checkpoints(steps: int) -> set[int]:
    """Return the steps after which progress is judged: 0, 22, 41, ... per cent of all, by 3 less at a time, at least 6.

    In whole per cent, since 0.57 * 100 is not 57.
    """
    shares = [0, 22]
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return {-(-share * steps // 100) for share in shares[:-1]}
