"""Targeted collision: samples that stay near their bases, but whose features are those of one target sample."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from aal.attacks.base import Adversarial, Attack, check_samples, column, dimensions, divisor, frozen
from aal.attacks.folding import folded
from aal.attacks.norms import norm_of
from aal.checks import at_least, positive
from aal.errors import RunStopped, UserError

_norms = norm_of("l2").size
CHECK_EVERY = 10
"""Iterations between two looks at which samples stalled or finished, so that a GPU is not waited for every step."""
PROGRESS = 0.01
"""Share by which the best objective must have fallen since the last look, else the sample stalled."""


@dataclass(frozen=True, kw_only=True)
class TargetedCollision(Attack):
    """Minimise ``||f(x) - f(t)||^2 + beta ||x - b||^2`` by forward-backward splitting.

    The forward step goes down the gradient of the first term, the backward step is the exact minimiser of the second
    within that step's length, clipped to the data's range: ``x = (x' + s beta b) / (1 + s beta)``. The length ``s`` is
    each sample's own: a share of Polyak's, which would bring the first term to zero if ``f`` were linear; the gradient
    is averaged with those before it, each as long as its step. Where the best objective stalls the sample goes back to
    its best iterate and the share is halved. The best iterate is returned.

    The base is watermarked first: ``b`` is ``(1 - opacity)`` of the sample and ``opacity`` of the target. It is where
    the search starts and what the second term holds on to.

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
    momentum: float = 0.75
    tolerance: float = 0.01
    patience: int = 40
    success: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"beta": self.beta, "tolerance": self.tolerance, "success": self.success})
        positive({"step_size": self.step_size})
        at_least(1, {"steps": self.steps, "patience": self.patience})
        for name in ("opacity", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: must be in [0, 1), got {getattr(self, name)}")

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
        """Craft one collision for each sample.

        Args:
            model: The feature extractor, ``(B, ...)`` to ``(B, D)``.
            x: Base instances ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``; a collision does not depend on them.
            target: The target sample ``(...)``, or one a base ``(B, ...)``; an empty sample, of nothing but the low
                bound, if not given.
            bounds: The data's range (low, high); no element of a result lies outside.
            seeds: Not used: the attack draws nothing at random.

        Returns:
            Samples, ``success``, ``distance`` from the base as it was given (L2, data units), and in ``info``
            ``||f - f(t)||`` of the base and of the result (``initial``, ``final``) and ``iterations`` (int64).

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: Features are not finite; the message names the samples by their row in the batch.
        """
        check_samples(x, bounds)
        t = _targets(target, x, bounds)
        # Callers score under inference mode, in which nothing has a gradient.
        with torch.inference_mode(False), torch.enable_grad(), frozen(model), folded(model):
            return self._craft(model, x.detach().clone(), t, *bounds)

    def _craft(self, model: nn.Module, x: Tensor, target: Tensor, low: float, high: float) -> Adversarial:
        weight = self.beta / (high - low) ** 2
        with torch.no_grad():
            aims = model(target).to(x.dtype)
            initial = _norms(model(x).to(x.dtype) - aims)
        base = torch.lerp(x, target, self.opacity).clamp(low, high)
        active = _Active.begin(base, aims.expand(len(x), -1), initial, self.step_size)
        active.refuse_nan(initial)
        result, final = base.clone(), torch.zeros_like(initial)
        iterations = torch.zeros_like(active.rows)
        for done in range(1, self.steps + 1):
            norm, gradient = active.evaluate(model, weight)
            if done % CHECK_EVERY == 0 or done == self.steps:
                active.refuse_nan(norm)
                active.restart_stalled()
                finished = active.norm <= self.tolerance * active.initial
                finished |= active.stalls * CHECK_EVERY >= self.patience
                if done == self.steps:
                    finished = torch.ones_like(finished)
                rows = active.rows[finished]
                result[rows], final[rows], iterations[rows] = active.best_x[finished], active.norm[finished], done
                if finished.all():
                    break
                if finished.any():
                    active, norm, gradient = active.take(~finished), norm[~finished], gradient[~finished]
            active.move(norm, gradient, self.momentum, weight, low, high)
        return Adversarial(
            x=result,
            success=final <= self.success * initial,
            distance=_norms(result - x),
            queries=iterations + 1,
            info={"initial": initial, "final": final, "iterations": iterations},
        )


@dataclass
class _Active:
    """The samples still being moved; every field has one entry a sample.

    Attributes:
        rows: Position in the batch, int64.
        base: The watermarked base.
        aim: The target's features.
        initial: Distance to them of the base's, before the watermark.
        x: The current iterate.
        velocity: Running mean of the forward steps, the share left out.
        share: The share of Polyak's step.
        best_x: The iterate with the smallest objective so far.
        best: That objective.
        norm: Distance of its features to the target's.
        mark: The best objective at the last look.
        stalls: Looks in a row without progress, int64.
    """

    rows: Tensor
    base: Tensor
    aim: Tensor
    initial: Tensor
    x: Tensor
    velocity: Tensor
    share: Tensor
    best_x: Tensor
    best: Tensor
    norm: Tensor
    mark: Tensor
    stalls: Tensor

    @classmethod
    def begin(cls, base: Tensor, aim: Tensor, initial: Tensor, share: float) -> "_Active":
        rows, infinite = torch.arange(len(base), device=base.device), torch.full_like(initial, math.inf)
        return cls(
            rows=rows,
            base=base,
            aim=aim,
            initial=initial,
            x=base,
            velocity=torch.zeros_like(base),
            share=torch.full_like(initial, share),
            best_x=base,
            best=infinite,
            norm=initial,
            mark=infinite,
            stalls=torch.zeros_like(rows),
        )

    def evaluate(self, model: nn.Module, weight: float) -> tuple[Tensor, Tensor]:
        """Keep the current iterate where it is the best so far: one forward, one backward pass.

        Returns:
            ``||f(x) - f(t)||`` ``(B,)``, and half the gradient of its square ``(B, ...)``.
        """
        leaf = self.x.detach().requires_grad_()
        features = model(leaf)
        gap = features.detach().to(self.aim) - self.aim
        (gradient,) = torch.autograd.grad(features, leaf, gap.to(features))
        norm = _norms(gap)
        objective = norm**2 + weight * _norms(self.x - self.base) ** 2
        better = objective < self.best
        self.best_x = torch.where(column(better, self.x), self.x, self.best_x)
        self.best, self.norm = torch.where(better, objective, self.best), torch.where(better, norm, self.norm)
        return norm, gradient

    def restart_stalled(self) -> None:
        """Send samples without progress since the last look back to their best iterate, with half the share."""
        stalled = self.best > self.mark * (1 - PROGRESS)
        self.stalls = (self.stalls + 1) * stalled
        back = column(stalled, self.x)
        self.x, self.velocity = torch.where(back, self.best_x, self.x), self.velocity.masked_fill(back, 0)
        self.share = torch.where(stalled, self.share / 2, self.share)
        self.mark = self.best

    def move(self, norm: Tensor, gradient: Tensor, momentum: float, weight: float, low: float, high: float) -> None:
        """Go forward along the mean gradient and back towards the base; no step is longer than the box's diagonal."""
        slope = divisor(_norms(gradient))
        longest = (high - low) * dimensions(self.x) ** 0.5
        length = (norm**2 / slope).clamp_max(longest) / slope
        self.velocity = torch.lerp(column(length, gradient) * gradient, self.velocity, momentum)
        back = column(self.share * length * weight, self.x)
        forward = self.x - column(self.share, self.x) * self.velocity
        self.x = ((forward + back * self.base) / (1 + back)).clamp_(low, high)

    def refuse_nan(self, values: Tensor) -> None:
        """Raise RunStopped naming the samples whose features are not finite; one that met NaN stays NaN."""
        finite = values.isfinite()
        if not finite.all():
            raise RunStopped(f"targeted collision: features are not finite for samples {self.rows[~finite].tolist()}")

    def take(self, keep: Tensor) -> "_Active":
        """Return only the samples that ``keep`` (bool) marks."""
        return _Active(**{entry.name: getattr(self, entry.name)[keep] for entry in fields(self)})


def _targets(target: Tensor | None, x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return the target samples, ``(1, ...)`` or ``(B, ...)``."""
    if target is None:
        return torch.full_like(x[:1], bounds[0])
    if target.shape not in (x.shape, x.shape[1:]):
        raise UserError(f"target: must be {tuple(x.shape[1:])} or {tuple(x.shape)}, not {tuple(target.shape)}")
    t = target.detach().to(x).view(-1, *x.shape[1:])
    try:
        check_samples(t, bounds)
    except UserError as error:
        raise UserError(f"target: {error}", error.rows) from None
    return t
