"""Feature collision: move samples so that a frozen feature extractor maps them all to one vector."""

from dataclasses import dataclass

from torch import Tensor

from aal.attacks.base import Task, column, divisor
from aal.attacks.feature_collision import FeatureCollision, Walk, l2
from aal.checks import positive, refuse


@dataclass(frozen=True, kw_only=True)
class CollisionAttack(FeatureCollision):
    """Minimise ``||f(x + d) - mu||_2 + beta ||d||_2`` for each sample by gradient steps of adaptive length.

    Each iteration takes a share of Polyak's step, the one that would bring the objective to zero if it were linear,
    averaged with the steps before it. Whenever the best objective stalls, the sample goes back to its best iterate and
    the share is halved. The best iterate is returned, so no sample ends worse than it began.

    A call's ``target`` is the collision vector mu, ``(D,)`` or one a sample ``(B, D)``; zero if not given. Labels and
    seeds make no difference.

    Source: Müller and Böttinger, "Adversarial Vulnerability of Active Transfer Learning", Equation 2.

    Args:
        beta: Weight of the perturbation's size, in the paper's units (see ``half_range``), at least 0. The paper takes
            1e-5 for images and 0.3 for audio.
        half_range: Half the data's range in the units of ``beta``: 127 for pixels, as in the paper; 1 for sound, where
            its 2**15 with its 0.3 leaves no sample moved. ``d`` in data units counts ``2 * half_range / (high - low)``
            times as much.
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
    patience: int = 100
    success: float = 0.09

    ranges = FeatureCollision.ranges | {"half_range": positive}

    def begin(self, task: Task) -> Walk:
        """Begin at the samples, and evaluate them."""
        size = len(task.x)
        mu = task.x.new_zeros(1) if task.target is None else task.target.detach().to(task.x)
        refuse(
            mu.ndim not in (1, 2) or (mu.ndim == 2 and len(mu) != size),
            f"target: must be (D,) or ({size}, D), not {tuple(mu.shape)}",
        )
        walk = Walk.begin(task.x, mu.expand(size, -1), task.x.new_zeros(size), self.step_size)
        self.evaluate(task, walk)
        walk.update(initial=walk.norm)
        return walk

    def evaluate(self, task: Task, walk: Walk) -> None:
        """Find the objective and its gradient at the current iterates."""
        walk.look(task.model, unit=True)
        weight, objective = self._weight(task), walk.norm
        if weight > 0:
            perturbation = walk.x - walk.base
            size = l2(perturbation)
            walk.gradient.addcmul_(perturbation, column(weight / divisor(size), perturbation))
            objective = objective + weight * size
        walk.record(objective)

    def left(self, task: Task, walk: Walk) -> Tensor:
        """Return the distance of the best iterates' features from mu."""
        return (walk.best - self._weight(task) * l2(walk.best_x - walk.base)).clamp_min(0)

    def move(self, task: Task, walk: Walk) -> None:
        """Go a share of the mean of the last steps."""
        length, slope = walk.step(task, walk.objective)
        mean = column((1 - self.momentum) * length / slope, walk.x)
        walk.velocity.mul_(self.momentum).addcmul_(walk.gradient, mean)
        walk.x.addcmul_(walk.velocity, column(walk.share, walk.x), value=-1).clamp_(task.low, task.high)

    def _weight(self, task: Task) -> float:
        return self.beta * 2 * self.half_range / (task.high - task.low)
