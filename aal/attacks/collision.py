"""Feature collision: move samples so that a frozen feature extractor maps them all to one vector."""

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
class CollisionAttack(Attack):
    """Minimise ``||f(x + d) - mu||_2 + beta ||d||_2`` for each sample by gradient steps of adaptive length.

    Each iteration takes a share of Polyak's step, the one that would bring the objective to zero if it were linear,
    averaged with the steps before it. Whenever the best objective stalls, the sample goes back to its best iterate and
    the share is halved. The best iterate is returned, so no sample ends worse than it began.

    Source: Müller and Böttinger, "Adversarial Vulnerability of Active Transfer Learning", Equation 2.

    Args:
        beta: Weight of the perturbation's size, in the paper's units (see ``half_range``), at least 0. The paper takes
            1e-5 for images and 0.3 for audio.
        half_range: Half the data's range in the units of ``beta``: 127 for pixels, 2**15 for audio samples. ``d`` in
            data units counts ``2 * half_range / (high - low)`` times as much.
        steps: Most iterations for a sample; each is one forward and one backward pass. The first evaluates the start.
        step_size: The share of Polyak's step, ``objective / ||gradient||`` long, to begin with; above 0.
        momentum: What the running mean of the steps keeps in an iteration, in [0, 1).
        tolerance: A sample is finished once ``||f - mu||`` is at most this share of its start; 0 asks for all of it.
        patience: A sample is also finished after this many iterations without progress.
        success: The attack succeeded where ``||f - mu||`` ended at or below this share of its start. The default is
            what CIFAR-10 reaches in the paper's Table I: 0.8 % of the squared norm.

    Raises:
        UserError: A value is outside its range.
    """

    beta: float = 1e-5
    half_range: float = 127.0
    steps: int = 500
    step_size: float = 0.3
    momentum: float = 0.75
    tolerance: float = 0.01
    patience: int = 100
    success: float = 0.09

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"beta": self.beta, "tolerance": self.tolerance, "success": self.success})
        positive({"half_range": self.half_range, "step_size": self.step_size})
        at_least(1, {"steps": self.steps, "patience": self.patience})
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum: must be in [0, 1), got {self.momentum}")

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
            target: The collision vector mu, ``(D,)`` or one a sample ``(B, D)``; zero if not given.
            bounds: The data's range (low, high); no element of a result lies outside.
            seeds: Not used: the attack draws nothing at random.

        Returns:
            Samples, ``success``, ``distance`` ``||d||_2`` in data units, and in ``info`` ``||f - mu||_2`` before and
            after (``initial``, ``final``) and ``iterations`` (int64).

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: Features are not finite; the message names the samples by their row in the batch.
        """
        check_samples(x, bounds)
        # Callers score under inference mode, in which nothing has a gradient.
        with torch.inference_mode(False), torch.enable_grad(), frozen(model), folded(model):
            return self._craft(model, x.detach().clone(), _targets(target, x), *bounds)

    def _craft(self, model: nn.Module, x: Tensor, mu: Tensor, low: float, high: float) -> Adversarial:
        weight = self.beta * 2 * self.half_range / (high - low)
        active = _Active.begin(x, mu, self.step_size)
        result, final = x.clone(), x.new_zeros(len(x))
        initial, iterations = torch.zeros_like(final), torch.zeros_like(active.rows)
        for done in range(1, self.steps + 1):
            norm, objective, gradient = _evaluate(model, active, weight)
            active.record(objective)
            if done == 1:
                active.refuse_nan(norm)
                initial.copy_(norm)
            if done % CHECK_EVERY == 0 or done == self.steps:
                active.refuse_nan(norm)
                active.restart_stalled()
                best_norm = (active.best - weight * _norms(active.best_x - active.start)).clamp_min(0)
                finished = best_norm <= self.tolerance * initial[active.rows]
                finished |= active.stalls * CHECK_EVERY >= self.patience
                if done == self.steps:
                    finished = torch.ones_like(finished)
                rows = active.rows[finished]
                result[rows], final[rows], iterations[rows] = active.best_x[finished], best_norm[finished], done
                if finished.all():
                    break
                if finished.any():
                    active, objective, gradient = active.take(~finished), objective[~finished], gradient[~finished]
            active.move(objective, gradient, self.momentum, low, high)
        return Adversarial(
            x=result,
            success=final <= self.success * initial,
            distance=_norms(result - x),
            queries=iterations.clone(),
            info={"initial": initial, "final": final, "iterations": iterations},
        )


@dataclass
class _Active:
    """The samples still being moved; every field has one entry a sample.

    Attributes:
        rows: Position in the batch, int64.
        start: The base instance.
        x: The current iterate.
        mu: The collision vector.
        velocity: Running mean of Polyak's steps.
        step: The share of it that is taken, shaped to multiply ``x``.
        best_x: The iterate with the smallest objective so far.
        best: That objective.
        mark: The best objective at the last check.
        stalls: Checks in a row without progress, int64.
    """

    rows: Tensor
    start: Tensor
    x: Tensor
    mu: Tensor
    velocity: Tensor
    step: Tensor
    best_x: Tensor
    best: Tensor
    mark: Tensor
    stalls: Tensor

    @classmethod
    def begin(cls, x: Tensor, mu: Tensor, step: float) -> "_Active":
        rows = torch.arange(len(x), device=x.device)
        infinite = x.new_full((len(x),), math.inf)
        return cls(
            rows=rows,
            start=x.clone(),
            x=x.clone(),
            mu=mu,
            velocity=torch.zeros_like(x),
            step=column(torch.full_like(infinite, step), x),
            best_x=x.clone(),
            best=infinite.clone(),
            mark=infinite.clone(),
            stalls=torch.zeros_like(rows),
        )

    def record(self, objective: Tensor) -> None:
        """Keep the current iterate where it is the best so far."""
        better = objective < self.best
        torch.where(column(better, self.x), self.x, self.best_x, out=self.best_x)
        torch.minimum(objective, self.best, out=self.best)

    def restart_stalled(self) -> None:
        """Send samples without progress since the last check back to their best iterate, with half the step."""
        stalled = self.best > self.mark * (1 - PROGRESS)
        self.stalls = (self.stalls + 1) * stalled
        back = column(stalled, self.x)
        self.x = torch.where(back, self.best_x, self.x)
        self.velocity.masked_fill_(back, 0)
        self.step = torch.where(back, self.step / 2, self.step)
        self.mark = self.best.clone()

    def move(self, objective: Tensor, gradient: Tensor, momentum: float, low: float, high: float) -> None:
        """Take one step inside the box; no single step of Polyak's is longer than the box's diagonal."""
        slope = divisor(_norms(gradient))
        length = (objective / slope).clamp_max((high - low) * dimensions(self.x) ** 0.5)
        self.velocity.mul_(momentum).addcmul_(gradient, column((1 - momentum) * length / slope, gradient))
        self.x.addcmul_(self.velocity, self.step, value=-1).clamp_(low, high)

    def refuse_nan(self, norm: Tensor) -> None:
        """Raise RunStopped naming the samples whose features are not finite; a sample that met NaN stays NaN."""
        finite = norm.isfinite()
        if not finite.all():
            raise RunStopped(f"collision attack: features are not finite for samples {self.rows[~finite].tolist()}")

    def take(self, keep: Tensor) -> "_Active":
        """Return only the samples that ``keep`` (bool) marks."""
        return _Active(**{entry.name: getattr(self, entry.name)[keep] for entry in fields(self)})


def _evaluate(model: nn.Module, active: _Active, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``||f - mu||``, the objective and its gradient at the current iterates: one forward, one backward pass."""
    leaf = active.x.detach().requires_grad_()
    features = model(leaf)
    gap = features.detach() - active.mu
    norm = _norms(gap)
    # The norm's own gradient is gap / norm: given to autograd, not built by it, and 0 where the norm is 0.
    (gradient,) = torch.autograd.grad(features, leaf, gap / divisor(norm)[:, None])
    if weight == 0:
        return norm, norm, gradient
    perturbation = active.x - active.start
    size = _norms(perturbation)
    gradient = gradient.addcmul_(perturbation, column(weight / divisor(size), perturbation))
    return norm, norm + weight * size, gradient


def _targets(target: Tensor | None, x: Tensor) -> Tensor:
    if target is None:
        return x.new_zeros(len(x), 1)
    if target.ndim not in (1, 2) or (target.ndim == 2 and len(target) != len(x)):
        raise UserError(f"target: must be (D,) or ({len(x)}, D), not {tuple(target.shape)}")
    return target.detach().to(x).expand(len(x), -1)
