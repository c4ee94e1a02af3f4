"""Carlini and Wagner's L2 attack: Adam on perturbation and margin, weighed by a constant that is searched for."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_0, FROM_1, Adversarial, Attack, PerSample, Task, column, divisor
from aal.attacks.boundary import finite
from aal.attacks.deepfool import DeepFool
from aal.attacks.margins import beyond, lead, slope
from aal.attacks.norms import NORMS
from aal.checks import positive, rate, refuse

SHRINK = 0.9  # tanh of the variable at the ends of the range: its slope there is 0.19, not 0
MEAN, SQUARE = 0.9, 0.97  # what Adam's two running means keep in an iteration; 0.999 would outlast the constants
CHECK_EVERY = 8  # iterations between two looks at which samples stalled, so that a GPU is not waited for every step
PROGRESS = 0.01  # share by which the lowest objective must have fallen since the last look, else the sample stalled


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Attack):
    """Minimise ``||d||^2 + c max(kappa - margin, 0)`` by Adam, and search for the smallest c that fools the model.

    The margin is by how much the highest of the other logits is above the label's, or the target's above all others.
    ``d`` is measured in units of the data's range, which it cannot leave: each element of a sample is a tanh of the
    variable. At an end of the range the paper's tanh has no slope; here the end is where tanh is 0.9, and the variable
    stops there.

    Beyond the paper: the search begins with DeepFool's point; the first c and Adam's step are chosen by the margin,
    linearised there; the variable and Adam's running means are carried from one c to the next, with a smaller step; a
    sample whose objective stalls goes on to its next c, and is finished with the first c that is large enough and yet
    brings nothing, once another was too small.

    Source: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", sections V and VI.A (objective
    f6); paper *shadow*, section 4.

    Args:
        confidence: kappa, the margin to reach, in units of the logits, at least 0.
        binary_steps: Most constants c tried for a sample.
        steps: Most iterations for a constant, each one forward and one backward pass.
        initial_constant: The first c, above 0, as a multiple of the one whose two terms pull alike on the boundary.
        learning_rate: Length of Adam's first step as a share of the way to the boundary, above 0.

    Raises:
        UserError: A value outside its range.
    """

    confidence: float = 0.0
    binary_steps: int = 6
    steps: int = 100
    initial_constant: float = 2.0
    learning_rate: float = 0.5

    ranges = Attack.ranges | {
        "confidence": FROM_0,
        "binary_steps": FROM_1,
        "steps": FROM_1,
        "initial_constant": positive,
        "learning_rate": rate,
    }

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            The nearest points found whose margin is at least ``confidence``; the samples themselves where theirs is, or
            where no such point was found. ``success``, by the class predicted alone; ``distance`` in L2; and in
            ``info`` the ``margin``, in logits, ``(B,)``.
        """
        refuse(
            not math.isfinite(task.high - task.low),
            f"bounds: must be finite, so that a tanh can span them, not {(task.low, task.high)}",
        )
        near = DeepFool().attack(task)
        task.refuse_nan()
        queries = near.queries + 2  # the first and the last prediction
        result = self._search(task, torch.where(column(near.success, task.x), near.x, task.x), queries)
        logits, distance = task.predict(result), NORMS["l2"].size(result - task.x)
        margin = lead(task, logits, task.rows)
        return Adversarial(result, task.reached(logits, task.labels), distance, queries, {"margin": margin})

    def _search(self, task: Task, start: Tensor, queries: Tensor) -> Tensor:
        """Return the best points ``(B, ...)``, beginning with ``start``; count forward passes in ``queries``."""
        result, every = task.x.clone(), min(CHECK_EVERY, self.steps)
        middle, half = (task.low + task.high) / 2, (task.high - task.low) / 2
        logits = task.predict(start)
        there = task.reached(logits, task.labels) & (lead(task, logits, task.rows) >= self.confidence)
        variable = ((start - middle) * (SHRINK / half)).clamp(-SHRINK, SHRINK).atanh()
        active = _Active.begin(task, start, variable, there)
        active = active.leave(there & (start == task.x).flatten(1).all(1), result)
        for step in range(1, self.binary_steps * self.steps + 1):
            if len(active.rows) == 0:
                break
            queries[active.rows] += 1
            tanh = active.variable.tanh()
            x = (tanh * (half / SHRINK)).add_(middle).clamp_(task.low, task.high)
            leaf, logits = task.look(x, active.rows)
            value = beyond(task, logits, active.rows)
            # by how much the margin falls short, and the gradient of that, per range
            short, pull = self.confidence - value.detach(), finite(slope(value, leaf)) * (task.low - task.high)
            d = (x - active.origin) / (task.high - task.low)
            tilt = (1 - tanh.square()) / (2 * SHRINK)  # of d by the variable
            if step == 1:
                active.update(unit=divisor(pull.flatten(1).abs().amax(1)))
            short, pull = short / active.unit, pull / column(active.unit, pull)
            if step == 1:
                active.set_scale(d, tilt, short, pull, self.initial_constant, self.learning_rate)
            active.record(x, d, short)
            gradient = column(2 / active.constant, d) * d + column(short >= 0, d) * pull
            active.descend(gradient * tilt, step)
            if step % every == 0:
                task.refuse_nan()
                active = active.leave(active.judge(self.steps - every, self.binary_steps), result)
        active.leave(torch.ones_like(active.hit), result)
        return result


class _Active(PerSample):
    """The samples still being moved. Distances are in units of the data's range.

    Attributes:
        rows: Position in the batch, int64.
        origin: The sample.
        variable: What the iterate is the tanh of: 0 in the middle of the range, ``atanh(SHRINK)`` at its end.
        mean: Adam's running mean of the gradient.
        square: Adam's running mean of its square.
        unit: What margins are divided by: the steepest slope at first, whose square no precision may hold.
        rate: Adam's step.
        constant: c.
        lower: The largest c that was too small.
        upper: The smallest c that was large enough.
        age: Iterations with this c, int64.
        hit: Whether the model was fooled since the last look.
        lowest: The lowest objective with this c, divided by c: thus Adam's means are of one scale for all of them.
        mark: That at the last look.
        tried: Number of constants done with, int64.
        best_x: The nearest point with the margin wanted.
        best: Its squared distance.
        before: That when c was chosen; at first, what is expected.
    """

    @classmethod
    def begin(cls, task: Task, start: Tensor, variable: Tensor, there: Tensor) -> "_Active":
        """Begin with the points ``start`` ``(B, ...)``; ``there`` ``(B,)`` tells which have the margin wanted."""
        zero = task.x.new_zeros(len(task.x))
        infinite, none = torch.full_like(zero, torch.inf), torch.zeros_like(task.rows)
        d = (start - task.x) / (task.high - task.low)
        return cls(
            rows=task.rows,
            origin=task.x,
            variable=variable,
            mean=torch.zeros_like(start),
            square=torch.zeros_like(start),
            unit=zero,
            rate=zero,
            constant=zero,
            lower=zero,
            upper=infinite,
            age=none,
            hit=zero > 0,
            lowest=infinite,
            mark=infinite,
            tried=none,
            best_x=torch.where(column(there, start), start, task.x),
            best=torch.where(there, d.flatten(1).square().sum(1), torch.inf),
            before=infinite,
        )

    def set_scale(self, d: Tensor, tilt: Tensor, short: Tensor, pull: Tensor, constant: float, rate: float) -> None:
        """Choose the first c and Adam's step from where the margin, linearised at the first point, is as wanted.

        At a distance r, the one term pulls back with 2 r and the other onwards with c times the margin's slope.
        """
        size = NORMS["l2"].size
        steepness = divisor(size(pull))
        r = (size(d) + short.clamp_min(0) / steepness).clamp(torch.finfo(d.dtype).eps, math.sqrt(d.shape[1:].numel()))
        self.update(constant=constant * 2 * r / steepness, before=r.square(), rate=rate * r / size(tilt))

    def record(self, x: Tensor, d: Tensor, short: Tensor) -> None:
        """Keep the iterates that are the best so far."""
        distance, hit = d.flatten(1).square().sum(1), short < 0
        better = hit & (distance < self.best)
        self.update(
            best_x=torch.where(column(better, x), x, self.best_x),
            best=torch.where(better, distance, self.best),
            hit=self.hit | hit,
            lowest=torch.minimum(self.lowest, distance / self.constant + short.clamp_min(0)),
            age=self.age + 1,
        )

    def descend(self, gradient: Tensor, step: int) -> None:
        """Take a step of Adam, the same ``step`` for all samples, and stop at the ends of the range."""
        self.update(mean=self.mean.lerp(gradient, 1 - MEAN), square=self.square.lerp(gradient.square(), 1 - SQUARE))
        mean, square = self.mean / (1 - MEAN**step), self.square / (1 - SQUARE**step)
        variable, end = self.variable - column(self.rate, mean) * mean / divisor(square.sqrt()), math.atanh(SHRINK)
        self.update(variable=variable.clamp(-end, end))

    def judge(self, steps: int, constants: int) -> Tensor:
        """Choose the next c of samples that stalled or whose c is older than ``steps``; tell which are finished."""
        over = (self.lowest > self.mark * (1 - PROGRESS)) | (self.age > steps)
        enough, small = over & self.hit, over & ~self.hit
        lower = torch.where(small, self.constant, self.lower)
        upper = torch.where(enough, self.constant, self.upper)
        middle = torch.where(upper.isfinite(), (lower + upper) / 2, self.constant * 10)  # none was large enough yet
        ratio = (self.best / self.before).clamp_max(1)
        tried, lowest = self.tried + over, self.lowest.masked_fill(over, torch.inf)
        self.update(
            lower=lower,
            upper=upper,
            constant=torch.where(over, middle, self.constant),
            rate=torch.where(enough, self.rate * 0.5 * ratio.sqrt(), self.rate),
            tried=tried,
            before=torch.where(over, self.before * ratio, self.before),
            age=self.age.masked_fill(over, 0),
            mark=lowest,
            lowest=lowest,
            hit=torch.zeros_like(self.hit),
        )
        # a constant large enough that lowered the squared distance by less than a thousandth was the last
        return over & (tried >= constants) | enough & (lower > 0) & (ratio > 1 - 1e-3)

    def leave(self, finished: Tensor, result: Tensor) -> "_Active":
        """Write the best points of those ``finished`` (bool) to ``result``; return the others."""
        gone = finished.nonzero().squeeze(1)  # the one thing that waits for the device
        if len(gone) == 0:
            return self
        result[self.rows[gone]] = self.best_x[gone]
        return self.take((~finished).nonzero().squeeze(1))
