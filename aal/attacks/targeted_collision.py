"""Targeted collision: samples that stay near their bases, but whose features are those of one target sample."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aal.attacks.base import Task, check_samples, column
from aal.attacks.feature_collision import FeatureCollision, Walk, l2
from aal.checks import argument, below_one, refuse


@dataclass(frozen=True, kw_only=True)
class TargetedCollision(FeatureCollision):
    """Minimise ``||f(x) - f(t)||^2 + beta ||x - b||^2`` by forward-backward splitting.

    The forward step goes down the gradient of the first term, the backward step is the exact minimiser of the second
    within that step's length, clipped to the data's range: ``x = (x' + s beta b) / (1 + s beta)``. The length ``s`` is
    each sample's own: a share of Polyak's, which would bring the first term to zero if ``f`` were linear; the gradient
    is averaged with those before it, each as long as its step. Where the best objective stalls the sample goes back to
    its best iterate and the share is halved. The best iterate is returned.

    The base is watermarked first: ``b`` is ``(1 - opacity)`` of the sample and ``opacity`` of the target. It is where
    the search starts and what the second term holds on to.

    A call's ``target`` is the target sample ``(...)``, or one a base ``(B, ...)``; an empty sample, of nothing but the
    low bound, if not given. Labels and seeds make no difference.

    Source: paper *robust*, Equation 2 and section IV.B; Shafahi et al., "Poison Frogs! Targeted Clean-Label Poisoning
    Attacks on Neural Networks", Algorithm 1 and section 4.2.

    Args:
        beta: Weight of the distance from the base, at least 0, where the data's range is 1 wide: in another range
            ``x - b`` counts as a share of it. The paper has it in [0, 1].
        opacity: Share of the target in the base, in [0, 1); 0 for no watermark. The paper takes 0.1 to 0.3.
        steps: Most iterations for a sample, each a forward and a backward pass; the first evaluates the start.
        step_size: The share of Polyak's step to begin with; above 0.
        momentum: What the running mean of the forward steps keeps in an iteration, in [0, 1).
        tolerance: A sample is finished once ``||f(x) - f(t)||`` is at most this share of its base's.
        patience: A sample is also finished after this many iterations without progress.
        success: The attack succeeded where ``||f(x) - f(t)||`` ended at or below this share of the base's.

    Raises:
        UserError: A value is outside its range.
    """

    beta: float = 0.1
    opacity: float = 0.0
    steps: int = 200
    step_size: float = 1.0
    patience: int = 40
    success: float = 0.5

    looks: ClassVar[int] = 1
    ranges = FeatureCollision.ranges | {"opacity": below_one}

    def begin(self, task: Task) -> Walk:
        """Begin at the watermarked samples; the distance at first is that of the samples themselves."""
        target = _targets(task)
        with torch.no_grad():
            aims = task.model(target).to(task.x.dtype)
            initial = l2(task.model(task.x).to(task.x.dtype) - aims)
        base = torch.lerp(task.x, target, self.opacity).clamp(task.low, task.high)
        walk = Walk.begin(base, aims.expand(len(base), -1), initial, self.step_size)
        self.evaluate(task, walk)
        return walk

    def evaluate(self, task: Task, walk: Walk) -> None:
        """Find the objective at the current iterates, and half the gradient of its first term."""
        walk.look(task.model, unit=False)
        walk.record(walk.norm**2 + self._weight(task) * l2(walk.x - walk.base) ** 2)

    def left(self, task: Task, walk: Walk) -> Tensor:
        """Return the distance of the best iterates' features from the target's."""
        return walk.best_norm

    def move(self, task: Task, walk: Walk) -> None:
        """Go forward along the mean gradient and back towards the base."""
        length, slope = walk.step(task, walk.norm**2)
        length = length / slope
        velocity = torch.lerp(column(length, walk.x) * walk.gradient, walk.velocity, self.momentum)
        back = column(walk.share * length * self._weight(task), walk.x)
        forward = walk.x - column(walk.share, walk.x) * velocity
        walk.update(velocity=velocity, x=((forward + back * walk.base) / (1 + back)).clamp_(task.low, task.high))

    def _weight(self, task: Task) -> float:
        return self.beta / (task.high - task.low) ** 2


def _targets(task: Task) -> Tensor:
    """Return the target samples, ``(1, ...)`` or ``(B, ...)``."""
    x, target = task.x, task.target
    if target is None:
        return torch.full_like(x[:1], task.low)
    refuse(
        target.shape not in (x.shape, x.shape[1:]),
        f"target: must be {tuple(x.shape[1:])} or {tuple(x.shape)}, not {tuple(target.shape)}",
    )
    t = target.detach().to(x).view(-1, *x.shape[1:])
    with argument("target"):
        check_samples(t, (task.low, task.high))
    return t
