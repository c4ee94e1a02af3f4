"""Differences of logits as losses: the margin and DLR, the difference of logits ratio; the classes to aim at."""

import torch
from torch import Tensor

from aal.attacks.base import Task, divisor, gradient_of

ROUNDING = 8.0  # of what a margin is the sum of, in units of its precision


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the highest other logit is above the label's, ``(B,)``: above 0 where another class wins.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    return _others(logits, labels).amax(1) - _of(logits, labels)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the margin in units of the gap between the highest and the third highest logit, ``(B,)``.

    It is the same when logits are shifted or scaled. Two classes have no third; there it is the margin itself, whose
    order and direction, all that APGD goes by, no scale changes either.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness", Equation 6.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
    """
    return margin(logits, labels) / _gap(logits, 3)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return by how much the target's logit is above the label's, in units of a gap between the highest, ``(B,)``.

    The gap is that of the highest logit to the mean of the third and fourth; to the third where there are three
    classes. With two it is 1, as in :func:`dlr`.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness", Equation 7.

    Args:
        logits: ``(B, C)``.
        labels: The classes to leave ``(B,)``.
        targets: The classes to go to ``(B,)``.
    """
    return (_of(logits, targets) - _of(logits, labels)) / _gap(logits, 4)


def aims(task: Task, logits: Tensor, rows: Tensor, most: int) -> Tensor:
    """Return the classes that a targeted attack tries in turn, ``(N, K)``.

    Args:
        task: The task.
        logits: Those of the samples themselves, ``(N, C)``.
        rows: Their rows ``(N,)``.
        most: The most classes to try.

    Returns:
        The task's target where it has one; else the ``most`` classes with the highest logits, the label not among
        them.
    """
    labels = task.labels[rows]
    if task.targeted:
        return labels[:, None]
    return _others(logits, labels).argsort(dim=1, descending=True, stable=True)[:, : min(most, logits.shape[1] - 1)]


def lead(task: Task, logits: Tensor, rows: Tensor) -> Tensor:
    """Return by how much logits ``(N, C)`` of ``rows`` reach the goal, ``(N,)``: below 0 where they do not."""
    return margin(logits, task.labels[rows]) * (-1 if task.targeted else 1)


def beyond(task: Task, logits: Tensor, rows: Tensor) -> Tensor:
    """Return by how much logits ``(N, C)`` reach the goal, less what rounding may take away the next time ``(N,)``.

    The smallest perturbation ends on the boundary, where the class is a matter of rounding.
    """
    label, other = _of(logits, task.labels[rows]), _others(logits, task.labels[rows]).amax(1)
    return (label - other if task.targeted else other - label) - rounding(task, rows, label, other)


def rounding(task: Task, rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return by how much differences of logits may differ when they are computed again, in another batch.

    Other logits have no part in it, however large they are.

    Args:
        task: The task.
        rows: The rows ``(N,)`` of the points.
        one: A logit of each point ``(N,)``, or several ``(N, C)``.
        other: Another, likewise.
    """
    known = task.rounding[rows].detach()
    sizes = torch.finfo(one.dtype).eps * one.abs().maximum(other.abs())
    return sizes + known.view(-1, *[1] * (sizes.ndim - 1))


def note_rounding(task: Task, rows: Tensor, slope: Tensor, x: Tensor) -> None:
    """Keep by how much a margin may differ, given its slope at points ``(N, ...)``: as if their last digits changed.

    Thus it is in the units of the logits, whatever they are, and what is added to all logits makes no difference.
    """
    terms = (slope * x).nan_to_num(0, 0, 0).flatten(1).abs().sum(1)
    task.rounding[rows] = task.rounding[rows].maximum(ROUNDING * torch.finfo(x.dtype).eps * terms)


def rivals(task: Task, logits: Tensor, rows: Tensor) -> Tensor:
    """Return the class ``(N,)`` between each sample and its goal: the label, or the target's strongest rival.

    Args:
        task: The task.
        logits: Logits ``(N, C)`` of some points.
        rows: The row ``(N,)`` that each belongs to.
    """
    labels = task.labels[rows]
    return _others(logits, labels).argmax(1) if task.targeted else labels


def slope(values: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of losses ``(N,)`` by the points ``(N, ...)``, each by its own; 0 where there is none."""
    return gradient_of(values, x, torch.ones_like(values))


def _of(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)


def _others(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf)


def _gap(logits: Tensor, last: int) -> Tensor:
    """Return the highest logit less the mean of the third to the ``last`` highest."""
    if logits.shape[1] < 3:
        return torch.ones_like(logits[:, 0])
    ranked = logits.sort(1, descending=True).values
    return divisor(ranked[:, 0] - ranked[:, 2:last].mean(1))
