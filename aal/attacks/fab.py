"""FAB-T: the fast adaptive boundary attack, from one linearised decision boundary to the next, class after class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_0, FROM_1, Adversarial, Attack, Task, column, divisor, or_none
from aal.attacks.boundary import onto_hyperplane
from aal.attacks.margins import aims, beyond, note_rounding, rivals, rounding, slope
from aal.attacks.norms import NORMS, Norm, but_l1
from aal.attacks.tensors import Ends

BIAS = 0.1  # alpha_max: the largest weight of the way from the sample against the way from the current point
OVERSHOOT = 1.05  # eta: how far beyond the linearised boundary
BACKWARD = 0.9  # beta: what is left of the perturbation when a point that fools the model is stepped back from
FINAL_STEPS = 3
BEYOND = 1e-3  # share of a final step kept back, since a point on the boundary itself fools nobody


@dataclass(frozen=True, kw_only=True)
class FABT(Attack):
    """Look for the smallest perturbation that fools the model, towards the classes with the highest logits in turn.

    Each step goes onto the boundary between the label and a class, linearised, staying within the bounds, and leans
    towards the shortest way there from the sample itself. From a point that fools the model it is stepped back.

    Any class but the label is a success, not the one aimed at alone; with ``target``, that class alone.

    Source: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", Algorithm
    1; targeted as in their "Reliable evaluation of adversarial robustness", section 4. The paper's alpha_max 0.1, eta
    1.05 and beta 0.9, and no random restarts.

    Args:
        norm: The perturbation's norm: ``linf`` or ``l2``.
        radius: The perturbation that is small enough, in the units of the samples, at least 0: a sample is finished
            with the first such, and where there is none, stays as it is. ``null``: the smallest found is returned.
        steps: Steps towards a class, at least 1; each takes two forward passes.
        targets: Most classes to try, at least 1; there are none but those of the model less the label's.

    Raises:
        UserError: A value outside its range.
    """

    norm: str = "linf"
    radius: float | None = None
    steps: int = 100
    targets: int = 9
    ranges = Attack.ranges | {"norm": but_l1, "steps": FROM_1, "targets": FROM_1, "radius": or_none(FROM_0)}

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, as they are where the attack failed or nothing was to be done; ``success``, and ``distance`` in
            the attack's norm.
        """
        norm, enough = NORMS[self.norm], self.radius or 0.0
        queries, ends = torch.ones_like(task.rows), Ends.none(task.x)
        logits = task.predict(task.x)
        ends.distance.masked_fill_(task.reached(logits, task.labels), 0)
        under = beyond(task, logits, task.rows)
        classes = aims(task, logits, task.rows, self.targets)
        for turn in range(classes.shape[1]):
            left = (ends.distance > enough).nonzero().squeeze(1)
            if len(left) == 0:
                break
            task.refuse_nan()
            last = ends.distance[left]
            self._search(task, norm, left, classes[left, turn], ends, queries)
            now = ends.distance[left]
            left = left[(now < last) & (now > enough)]
            self._shorten(task, norm, left, under[left], ends, queries)
        success = ends.distance.isfinite() if self.radius is None else ends.distance <= self.radius
        x = torch.where(column(success, task.x), ends.x, task.x)
        return Adversarial(x, success, norm.size(x - task.x), queries)

    def _search(self, task: Task, norm: Norm, rows: Tensor, classes: Tensor, ends: Ends, queries: Tensor) -> None:
        """Step from boundary to boundary, and keep in ``ends`` what is nearest to the samples."""
        origin = x = task.x[rows]
        for _ in range(self.steps):
            leaf, logits = task.look(x, rows)
            between = torch.stack([classes, rivals(task, logits.detach(), rows)], dim=1)
            towards, away = logits.gather(1, between).unbind(1)
            normal = slope(towards - away, leaf)
            note_rounding(task, rows, normal, x)
            short = (away - towards + 2 * rounding(task, rows, away, towards)).detach()
            fell = (normal * (x - origin)).flatten(1).sum(1)
            both = torch.cat([x, origin]), torch.cat([normal, normal]), torch.cat([short, short + fell])
            step, whole = onto_hyperplane(*both, self.norm, task.low, task.high).chunk(2)
            size = norm.size(step)
            lean = column((size / divisor(size + norm.size(whole))).clamp_max_(BIAS), x)
            ahead, onwards = x + OVERSHOOT * step, origin + OVERSHOOT * whole
            x = ((1 - lean) * ahead + lean * onwards).clamp_(task.low, task.high)
            fooled = beyond(task, task.predict(x, rows), rows) > 0
            queries[rows] += 2
            ends.improve(rows, x, fooled, norm.size(x - origin))
            x = torch.where(column(fooled, x), origin + BACKWARD * (x - origin), x)
            if self.radius is not None:
                left = (ends.distance[rows] > self.radius).nonzero().squeeze(1)  # the one wait for the device
                rows, classes, origin, x = (t[left] for t in (rows, classes, origin, x))
                if len(rows) == 0:
                    return

    def _shorten(self, task: Task, norm: Norm, rows: Tensor, under: Tensor, ends: Ends, queries: Tensor) -> None:
        """Move each end towards its sample, to where the margin, interpolated between a point and another, is 0.

        Args:
            task: The task.
            norm: The norm of distances.
            rows: The samples ``(N,)``.
            under: By how much each sample itself reaches the goal ``(N,)``, below 0.
            ends: The nearest points that fool the model.
            queries: Forward passes so far.
        """
        if len(rows) == 0:
            return
        origin = near = task.x[rows]
        far = ends.x[rows]
        over = beyond(task, task.predict(far, rows), rows)
        for _ in range(FINAL_STEPS):
            share = (1 - BEYOND) * over / divisor(over - under)
            x = (far + column(share, far) * (near - far)).clamp_(task.low, task.high)
            value = beyond(task, task.predict(x, rows), rows)
            ends.improve(rows, x, value > 0, norm.size(x - origin))
            over, under = torch.where(value > 0, value, over), torch.where(value > 0, under, value)
            fooled = column(value > 0, x)
            far, near = torch.where(fooled, x, far), torch.where(fooled, near, x)
        queries[rows] += 1 + FINAL_STEPS
