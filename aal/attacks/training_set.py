"""Attacks on non-parametric classifiers: they are fitted to the training set that the classifier answers from."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from aal.attacks.base import Attack, Task
from aal.checks import kind_of, refuse

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a non-parametric classifier answers from.

    Args:
        points: The training points ``(N, ...)``, at least one, finite, floating point.
        labels: Their labels ``(N,)``, whole numbers from 0.

    Raises:
        UserError: They are not of this kind; a point or label that is not is named by its row.
    """

    points: Tensor
    labels: Tensor
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, make: Callable[["TrainingSet"], T]) -> T:
        """Return what a function or class makes of the training set; it is made once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def __post_init__(self) -> None:
        """Refuse what is no training set."""
        for name, values in (("points", self.points), ("labels", self.labels)):
            refuse(not isinstance(values, Tensor), f"{name}: must be a tensor, not {kind_of(values)}")
        points, labels = self.points, self.labels
        refuse(
            not points.is_floating_point() or points.ndim < 2 or points.numel() == 0,
            f"points: must be floating point (N, ...) with at least one point, not {kind_of(points)}",
        )
        refuse(
            labels.shape != points.shape[:1] or labels.is_floating_point() or labels.is_complex(),
            f"labels: must be {len(points)} whole numbers, one a point, not {kind_of(labels)}",
        )
        if not torch.stack(points.detach().aminmax()).isfinite().all():  # a tenth of the time of looking at each
            row = int((~points.flatten(1).isfinite().all(1)).nonzero()[0])
            refuse(True, f"points: row {row} is not finite")
        if (labels < 0).any():
            refuse(True, f"labels: row {int((labels < 0).nonzero()[0])} is below 0")


@dataclass(frozen=True, kw_only=True)
class NonParametric(Attack):
    """The attacks on classifiers that answer from their training set, such as k-NN: fitted to it first.

    ``attack.fit(points, labels)`` is the same attack, fitted; the first one stays as it was. One that is not fitted
    takes the training set of the model that it is called with, where that holds one: a network with the tensors
    ``points`` ``(N, ...)`` and ``labels`` ``(N,)``, or a classifier whose ``network`` is one.

    Args:
        training_set: What it is fitted to; :meth:`fit` sets it.
    """

    training_set: TrainingSet | None = None

    def fit(self, points: Tensor, labels: Tensor) -> Self:
        """Return the same attack, fitted to copies of training points ``(N, ...)`` and their labels ``(N,)``.

        Raises:
            UserError: They are no training set: not floating point, none, not finite, or not one label a point.
        """
        TrainingSet(points, labels)  # looked at before they are copied
        known = TrainingSet(points.detach().clone(), labels.detach().to(torch.int64, copy=True))
        return replace(self, training_set=known)

    def known(self, task: Task) -> TrainingSet:
        """Return what the attack was fitted to, or else the model's own training set.

        Raises:
            UserError: There is neither; the points are not of the samples' shape.
        """
        known = self.training_set or self._of_the_model(task.model)
        shape, own = tuple(task.x.shape[1:]), tuple(known.points.shape[1:])
        refuse(shape != own, f"x: samples must be {own}, as the training points are, not {shape}")
        return known

    def _of_the_model(self, model: nn.Module) -> TrainingSet:
        holder: object = model
        while isinstance(holder, nn.Module):
            points, labels = getattr(holder, "points", None), getattr(holder, "labels", None)
            if isinstance(points, Tensor) and isinstance(labels, Tensor):
                refuse(len(points) == 0, f"model: the {type(model).__name__} has not taken in any training points yet")
                return TrainingSet(points.detach(), labels.detach())
            holder = getattr(holder, "network", None)
        own, other = type(self).__name__, type(model).__name__
        refuse(True, f"model: a {other} holds no training set; fit the attack first, {own}().fit(points, labels)")
        raise AssertionError
