"""The one loop of the feature collisions: gradient steps of adaptive length towards the features to be met."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from aal.attacks.base import FROM_0, FROM_1, Adversarial, Attack, PerSample, Task, column, divisor
from aal.attacks.norms import NORMS
from aal.checks import below_one, positive
from aal.errors import RunStopped

CHECK_EVERY = 10  # iterations between two looks at which samples stalled or finished: a GPU is not always waited for
PROGRESS = 0.01  # share by which the best objective must have fallen since the last look, else the sample stalled

l2 = NORMS["l2"].size


@dataclass(frozen=True, kw_only=True)
class FeatureCollision(Attack):
    """The attacks on a feature extractor, which bring features to an aim and keep samples near where they were.

    Each iteration takes a share of Polyak's step, the one that would bring the objective to zero if it were linear.
    Whenever the best objective stalls, the sample goes back to its best iterate and the share is halved. The best
    iterate is returned. Subclasses are dataclasses that say what the arguments below mean.
    """

    beta: float
    steps: int
    step_size: float
    momentum: float = 0.75
    tolerance: float = 0.01
    patience: int
    success: float
    looks: ClassVar[int] = 0  # forward passes before the first iteration
    ranges = Attack.ranges | {
        **dict.fromkeys(("beta", "tolerance", "success"), FROM_0),
        **dict.fromkeys(("steps", "patience"), FROM_1),
        "step_size": positive,
        "momentum": below_one,
    }

    def attack(self, task: Task) -> Adversarial:
        """Craft one collision for each sample.

        Returns:
            Samples, ``success``, ``distance`` from the samples as they were given (L2, data units), and in ``info`` the
            features' distance from the aim before and after (``initial``, ``final``) and ``iterations`` (int64).
        """
        walk = self.begin(task)
        walk.refuse_nan(walk.initial)
        initial, result, iterations = walk.initial, walk.x.clone(), torch.zeros_like(task.rows)
        final = torch.zeros_like(initial)
        for done in range(1, self.steps + 1):
            if done % CHECK_EVERY == 0 or done == self.steps:
                walk.refuse_nan(walk.norm)
                walk.restart_stalled()
                left = self.left(task, walk)
                stalled = (walk.stalls * CHECK_EVERY >= self.patience) | (done == self.steps)
                finished = (left <= self.tolerance * walk.initial) | stalled
                rows = walk.rows[finished]
                result[rows], final[rows], iterations[rows] = walk.best_x[finished], left[finished], done
                if finished.all():
                    break
                if finished.any():
                    walk = walk.take(~finished)
            self.move(task, walk)
            self.evaluate(task, walk)
        return Adversarial(
            x=result,
            success=final <= self.success * initial,
            distance=l2(result - task.x),
            queries=iterations + self.looks,
            info={"initial": initial, "final": final, "iterations": iterations},
        )

    @abstractmethod
    def begin(self, task: Task) -> "Walk":
        """Return where all samples begin, evaluated there, with the ``initial`` distance of their features."""

    @abstractmethod
    def evaluate(self, task: Task, walk: "Walk") -> None:
        """Look at the iterates: one forward and one backward pass."""

    @abstractmethod
    def left(self, task: Task, walk: "Walk") -> Tensor:
        """Return the distance of the best iterates' features from the aim ``(N,)``."""

    @abstractmethod
    def move(self, task: Task, walk: "Walk") -> None:
        """Take one step within the data's range."""


class Walk(PerSample):
    """The samples still being moved.

    Attributes:
        rows: Position in the batch, int64.
        base: Where the search starts, and what samples are kept near to.
        aim: The features to be met.
        initial: The distance of the features from them before the attack.
        x: The current iterate.
        velocity: Running mean of the steps.
        share: The share of Polyak's step that is taken.
        norm: Distance of the iterate's features from the aim.
        gradient: The gradient there.
        objective: What is minimised.
        best_x: The iterate with the smallest objective so far.
        best: That objective.
        best_norm: The ``norm`` there.
        mark: The best objective at the last look.
        stalls: Looks in a row without progress, int64.
    """

    @classmethod
    def begin(cls, base: Tensor, aim: Tensor, initial: Tensor, share: float) -> "Walk":
        """Begin at ``base`` ``(B, ...)``, nothing evaluated yet."""
        rows, infinite = torch.arange(len(base), device=base.device), torch.full_like(initial, math.inf)
        return cls(
            rows=rows,
            base=base,
            aim=aim,
            initial=initial,
            x=base.clone(),
            velocity=torch.zeros_like(base),
            share=torch.full_like(initial, share),
            norm=initial,
            gradient=base,
            objective=infinite,
            best_x=base.clone(),
            best=infinite,
            best_norm=initial,
            mark=infinite,
            stalls=torch.zeros_like(rows),
        )

    def look(self, model: nn.Module, *, unit: bool) -> None:
        """Find ``norm``, and the ``gradient`` of it (``unit``) or of half its square: a forward and a backward pass."""
        leaf = self.x.detach().requires_grad_()
        features = model(leaf)
        gap = features.detach().to(self.aim) - self.aim
        norm = l2(gap)
        # The norm's own gradient is gap / norm: given to autograd, not built by it, and 0 where the norm is 0.
        weights = gap / divisor(norm)[:, None] if unit else gap
        self.update(norm=norm, gradient=torch.autograd.grad(features, leaf, weights.to(features))[0])

    def record(self, objective: Tensor) -> None:
        """Keep the current iterate where it is the best so far."""
        better = objective < self.best
        torch.where(column(better, self.x), self.x, self.best_x, out=self.best_x)
        best, norm = torch.where(better, objective, self.best), torch.where(better, self.norm, self.best_norm)
        self.update(objective=objective, best=best, best_norm=norm)

    def restart_stalled(self) -> None:
        """Send samples without progress since the last look back to their best iterate, with half the share."""
        stalled = self.best > self.mark * (1 - PROGRESS)
        back = column(stalled, self.x)
        self.update(
            stalls=(self.stalls + 1) * stalled,
            x=torch.where(back, self.best_x, self.x),
            velocity=self.velocity.masked_fill_(back, 0),
            share=torch.where(stalled, self.share / 2, self.share),
            mark=self.best,
        )

    def step(self, task: Task, height: Tensor) -> tuple[Tensor, Tensor]:
        """Return the length ``(N,)`` of the step that would bring a linear ``height`` to 0, and the slope ``(N,)``.

        No step is longer than the diagonal of the data's range.
        """
        slope = divisor(l2(self.gradient))
        return (height / slope).clamp_max((task.high - task.low) * self.x.shape[1:].numel() ** 0.5), slope

    def refuse_nan(self, values: Tensor) -> None:
        """Raise RunStopped naming the samples whose features are not finite; one that met NaN stays NaN."""
        finite = values.isfinite()
        if not finite.all():
            rows = self.rows[~finite].tolist()
            raise RunStopped(f"the features are not finite for samples {rows}", rows)
