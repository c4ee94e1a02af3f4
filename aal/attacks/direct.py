"""The direct attack on non-parametric classifiers: towards the nearest training point of another class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_1, Adversarial, Task, or_none
from aal.attacks.norms import NORMS, but_l1
from aal.attacks.training_set import NonParametric, TrainingSet
from aal.checks import positive

ENTRIES = 1 << 24  # distances in memory at once


@dataclass(frozen=True, kw_only=True)
class Direct(NonParametric):
    """Move each sample straight to the nearest training point of another class, as far as the model's decision needs.

    Equation 9 as it is printed, ``x_adv = r (x - x') / ||x - x'||``, is no point near the sample but a direction, and
    one away from ``x'``. Read here: ``x_adv = x + r (x' - x) / ||x' - x||_2`` with the nearest point ``x'`` of another
    class and the least ``r`` at which the model predicts another class. On half moons, Abalone and MNIST 1 against 7
    this comes to 1.06, 1.5 and 1.6 times the exact distance in L-inf, where Table 2 has 0.06 for 0.05, 0.02 for 0.01
    and 0.20 for 0.10; a whole step to ``x'`` itself (``search`` off) comes to 1.24, 2.5 and 3.7 times.

    The way is cut into ``parts``; the first end of a part that is predicted another class is brought nearer by
    bisection. What succeeds only between two ends is not seen. The way ends where it leaves the data's range. The
    point returned is one for which the model was seen to predict another class. Where there is none on the way, or no
    training point of another class (of the target) within reach, the sample is returned as it was, at distance 0, with
    ``success`` false; one that the model takes for another class already is returned as it is. Neighbours are nearest
    in L2, whatever the norm of the perturbation; of several the first is taken. Seeds make no difference.

    Source: paper *shadow*, Equation 9; Amsaleg et al., "The Vulnerability of Learning to Adversarial Perturbation
    Increases with Intrinsic Dimensionality", 2017, who move along the same line.

    Args:
        norm: The norm in which the distance is reported: ``linf`` or ``l2``.
        within: The radius, in L2, within which a training point is aimed at, above 0; ``None``: any.
        search: Whether to stop as soon as the model's decision allows; else the training point itself is returned.
        parts: Into how many parts the way is cut, at least 1.
        halvings: How often the part that is found is halved, at least 1.
        training_set: What it is fitted to; :meth:`fit` sets it.

    Raises:
        UserError: A value is outside its range.
    """

    norm: str = "linf"
    within: float | None = None
    search: bool = True
    parts: int = 16
    halvings: int = 30

    ranges = NonParametric.ranges | {
        "norm": but_l1,
        "within": or_none(positive),
        "parts": FROM_1,
        "halvings": FROM_1,
    }

    def attack(self, task: Task) -> Adversarial:
        """Search the way from every sample to the nearest training point of another class.

        Returns:
            The points; ``info`` has ``neighbor``, the row of that training point, -1 where there is none.
        """
        success, best = task.reached(task.predict(task.x), task.labels), task.x.clone()
        queries = torch.ones_like(task.rows)
        steps, neighbor = self._ways(task, self.known(task))
        low, high = torch.zeros_like(steps[:, 0]), torch.ones_like(steps[:, 0])
        parts = self.parts if self.search else 1
        rows = (~success & (neighbor >= 0)).nonzero()[:, 0]
        for part in range(1, parts + 1):
            high[rows] = part / parts
            reached = self._look(task, rows, steps, high, best, queries)
            success[rows[reached]] = True
            rows = rows[~reached]
            low[rows] = part / parts
            if not len(rows):
                break
        rows = (success & (queries > 1)).nonzero()[:, 0]
        for _ in range(self.halvings if self.search and len(rows) else 0):
            middle = (low + high) / 2
            reached = self._look(task, rows, steps, middle, best, queries)
            high[rows[reached]], low[rows[~reached]] = middle[rows[reached]], middle[rows[~reached]]
        distance = NORMS[self.norm].size(best - task.x)
        return Adversarial(best, success, distance, queries, {"neighbor": neighbor})

    def _look(self, task: Task, rows: Tensor, steps: Tensor, shares: Tensor, best: Tensor, queries: Tensor) -> Tensor:
        """Tell which samples ``(N,)`` succeed after a share of their steps; these points become their best."""
        moves = (shares[rows, None] * steps[rows]).view_as(task.x[rows])
        points = (task.x[rows].double() + moves).to(task.x.dtype).clamp_(task.low, task.high)
        reached = task.reached(task.predict(points, rows), task.labels[rows])
        queries[rows] += 1
        best[rows[reached]] = points[reached]
        return reached

    def _ways(self, task: Task, known: TrainingSet) -> tuple[Tensor, Tensor]:
        """Return the moves in the data's range ``(B, D)``, double, and the rows of the points they lead to ``(B,)``."""
        x, device = task.x.flatten(1).double(), task.x.device
        points, labels = known.points.flatten(1).to(device).double(), known.labels.to(device)
        neighbor = torch.full_like(task.rows, -1)
        for rows in task.rows.split(max(1, ENTRIES // len(points))):
            gaps = torch.cdist(x[rows], points, compute_mode="donot_use_mm_for_euclid_dist")
            same = labels == task.labels[rows, None]
            gaps.masked_fill_(~same if task.targeted else same, torch.inf)
            least, nearest = gaps.min(1)
            near = least.isfinite() if self.within is None else least <= self.within
            neighbor[rows] = torch.where(near, nearest, -1)
        steps = points[neighbor.clamp_min(0)] - x
        room = torch.where(steps > 0, task.high - x, x - task.low) / steps.abs()
        share = torch.where(steps == 0, torch.inf, room).amin(1).clamp(max=1)
        return steps * share[:, None], neighbor
