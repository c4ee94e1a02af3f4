"""Targeted collision: samples that stay near their bases, but whose features are those of one target sample."""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from aal.attacks.base import Adversarial, Attack, check_samples, column, divisor, frozen
from aal.attacks.folding import folded
from aal.attacks.norms import norm_of
from aal.checks import at_least, positive
from aal.errors import RunStopped, UserError

_norms = norm_of("l2").size
CHECK_EVERY = 10
"""Iterations between two looks at which samples stalled or finished, so that a GPU is not waited for every step."""
PROGRESS = 0.01
"""Share by which the objective must have fallen since the last look, else the sample stalled."""
LONGEST = 10.0
"""How many times as long as the last one the next step may be."""


@dataclass(frozen=True, kw_only=True)
class TargetedCollision(Attack):
    """Minimise ``||f(x) - f(t)||^2 + beta ||x - b||^2`` by forward-backward splitting.

    The forward step goes down the gradient of the first term, the backward step is the exact minimiser of the second
    within that step's length, clipped to the data's range: ``x = (x' + s beta b) / (1 + s beta)``. The length ``s`` is
    each sample's own: the first is Polyak's, a step that raises the objective is taken back and halved, and after one
    that does not the next is that of Barzilai and Borwein, which measures the curvature by the last two gradients. So
    the last iterate kept is the best.

    The base is watermarked first: ``b`` is ``(1 - opacity)`` of the sample and ``opacity`` of the target. It is where
    the search starts and what the second term holds on to.

    Source: paper *robust*, Equation 2 and section IV.B; Shafahi et al., "Poison Frogs! Targeted Clean-Label Poisoning
    Attacks on Neural Networks", Algorithm 1 and section 4.2.

    Args:
        beta: Weight of the distance from the base, at least 0, where the data's range is 1 wide: in another range
            ``x - b`` counts as a share of it. The paper has it in [0, 1].
        opacity: Share of the target in the base, in [0, 1); 0 for no watermark. The paper takes 0.1 to 0.3.
        steps: Most iterations for a sample, each a forward and a backward pass; the first evaluates the start.
        step_size: Share of Polyak's step that the first one is; above 0.
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
    tolerance: float = 0.01
    patience: int = 40
    success: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"beta": self.beta, "opacity": self.opacity, "tolerance": self.tolerance, "success": self.success})
        positive({"step_size": self.step_size})
        at_least(1, {"steps": self.steps, "patience": self.patience})
        if self.opacity >= 1:
            raise UserError(f"opacity: must be in [0, 1), got {self.opacity}")

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
        active = _Active.begin(base, aims.expand(len(x), -1), initial)
        active.refuse_nan(initial)
        result, final = base.clone(), torch.zeros_like(initial)
        iterations = torch.zeros_like(active.rows)
        for done in range(1, self.steps + 1):
            active.judge(*_evaluate(model, active, weight), first=self.step_size if done == 1 else None)
            if done % CHECK_EVERY == 0 or done == self.steps:
                active.refuse_nan(active.objective)
                finished = (active.norm <= self.tolerance * active.initial) | active.stalled(self.patience)
                if done == self.steps:
                    finished = torch.ones_like(finished)
                rows = active.rows[finished]
                result[rows], final[rows], iterations[rows] = active.best[finished], active.norm[finished], done
                if finished.all():
                    break
                if finished.any():
                    active = active.take(~finished)
            active.move(weight, low, high)
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
        x: The iterate to be evaluated next.
        best: The last one that was kept.
        gradient: Gradient of the feature term there.
        objective: The objective there.
        norm: Distance to the target's features there.
        step: The length s of the next step.
        mark: The objective at the last look.
        stalls: Looks in a row without progress, int64.
    """

    rows: Tensor
    base: Tensor
    aim: Tensor
    initial: Tensor
    x: Tensor
    best: Tensor
    gradient: Tensor
    objective: Tensor
    norm: Tensor
    step: Tensor
    mark: Tensor
    stalls: Tensor

    @classmethod
    def begin(cls, base: Tensor, aim: Tensor, initial: Tensor) -> "_Active":
        rows, infinite = torch.arange(len(base), device=base.device), torch.full_like(initial, math.inf)
        return cls(
            rows=rows,
            base=base,
            aim=aim,
            initial=initial,
            x=base,
            best=base,
            gradient=torch.zeros_like(base),
            objective=infinite,
            norm=initial,
            step=torch.zeros_like(initial),
            mark=infinite,
            stalls=torch.zeros_like(rows),
        )

    def judge(self, norm: Tensor, objective: Tensor, gradient: Tensor, *, first: float | None) -> None:
        """Keep the iterate where it lowers the objective, and choose the next step's length.

        Args:
            norm: Distance of its features to the target's ``(B,)``.
            objective: The objective ``(B,)``.
            gradient: Gradient of the feature term ``(B, ...)``.
            first: Share of Polyak's step to begin with, at the first iterate alone.
        """
        if first is not None:
            # Polyak's step would bring the feature term to zero if it were linear.
            step = first * norm**2 / divisor(_dot(gradient, gradient))
        else:
            moved, change = self.x - self.best, gradient - self.gradient
            curvature = _dot(moved, change)
            measured = _dot(moved, moved) / divisor(curvature)
            step = torch.where(curvature > 0, measured, math.inf).minimum(LONGEST * self.step)
        better = ~(objective >= self.objective)  # NaN is kept: it is refused at the next look
        self.step = torch.where(better, step, self.step / 2)
        keep = column(better, self.x)
        self.best, self.gradient = torch.where(keep, self.x, self.best), torch.where(keep, gradient, self.gradient)
        self.norm, self.objective = torch.where(better, norm, self.norm), torch.where(better, objective, self.objective)

    def move(self, weight: float, low: float, high: float) -> None:
        """Go forward along the feature term's gradient, and back towards the base."""
        step = column(self.step, self.best)
        forward = self.best - step * self.gradient
        self.x = ((forward + step * weight * self.base) / (1 + step * weight)).clamp_(low, high)

    def stalled(self, patience: int) -> Tensor:
        """Tell which samples have made no progress for ``patience`` iterations, bool ``(B,)``."""
        self.stalls = (self.stalls + 1) * (self.objective > self.mark * (1 - PROGRESS))
        self.mark = self.objective
        return self.stalls * CHECK_EVERY >= patience

    def refuse_nan(self, values: Tensor) -> None:
        """Raise RunStopped naming the samples whose features are not finite."""
        finite = values.isfinite()
        if not finite.all():
            raise RunStopped(f"targeted collision: features are not finite for samples {self.rows[~finite].tolist()}")

    def take(self, keep: Tensor) -> "_Active":
        """Return only the samples that ``keep`` (bool) marks."""
        return _Active(**{entry.name: getattr(self, entry.name)[keep] for entry in fields(self)})


def _evaluate(model: nn.Module, active: _Active, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``||f - f(t)||``, the objective and the feature term's gradient: one forward, one backward pass."""
    leaf = active.x.detach().requires_grad_()
    features = model(leaf)
    gap = features.detach().to(active.aim) - active.aim
    (gradient,) = torch.autograd.grad(features, leaf, (2 * gap).to(features))
    norm = _norms(gap)
    return norm, norm**2 + weight * _norms(active.x - active.base) ** 2, gradient


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each sample's, ``(B,)``."""
    return (a * b).flatten(1).sum(1)


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
