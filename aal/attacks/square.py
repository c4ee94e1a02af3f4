"""Square Attack: a black box's margin, lowered by random squares that are kept where they help."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_2, Adversarial, Task, WithinRadius, column
from aal.attacks.margins import lead
from aal.attacks.squares import as_image, l2_square, linf_square, stripes, tiles, window_size
from aal.checks import positive, refuse


@dataclass(frozen=True, kw_only=True)
class Square(WithinRadius):
    """Change a square of the image at random, and keep the change where it brings the sample nearer to the goal.

    A black box: only the model's outputs are used, no gradient. A sample is finished once it is fooled.

    Samples need be no images: of ``(B, C, ..., W)`` what is between channels and the last dimension is taken as the
    height; ``(B, T)`` is one row of one channel, and the squares are intervals of it.

    Source: Andriushchenko, Croce, Flammarion and Hein, "Square Attack", Algorithms 1 to 3, and the schedule of its
    section 5. In L-inf a square that would change nothing has the other signs.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        queries: Most queries of the model for a sample, at least 2; the first is for the sample itself.
        area: Share of the image that the first squares take up, above 0 and at most 1.

    Raises:
        UserError: A value outside its range.
    """

    queries: int = 5000
    area: float = 0.8
    ranges = WithinRadius.ranges | {"queries": FROM_2, "area": positive}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(self.area > 1, f"area: must be at most 1, got {self.area}")

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (the point that fools the model, or else the one nearest to it; where the goal is reached to begin
            with, the sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``margin`` by which
            the goal is reached, below 0 where it is not.
        """
        rows, found, queries = task.rows, task.x.clone(), torch.zeros_like(task.rows)
        success = torch.zeros_like(queries, dtype=torch.bool)
        margins = task.x.new_full((len(found),), -torch.inf)
        origin = best = task.x[rows]
        for query in range(self.queries):
            x = best if query == 0 else self._proposal(task, rows, origin, best, query)
            logits = task.predict(x, rows)
            queries[rows] += 1
            value, fooled = lead(task, logits, rows), task.reached(logits, task.labels[rows])
            # The first perturbed point is taken in any case: squares change a perturbation, not the sample.
            better = fooled | (value > margins[rows]) | (query == 1)
            best = torch.where(column(better, x), x, best)
            margins[rows] = torch.where(better, value, margins[rows])
            left = (~fooled).nonzero().squeeze(1)  # the one thing in a step that waits for the device
            if len(left) < len(rows):
                found[rows], success[rows] = best, fooled
                rows, origin, best = rows[left], origin[left], best[left]
            if len(rows) == 0:
                break
        found[rows] = best
        return Adversarial(found, success, self.ball.size(found - task.x), queries, {"margin": margins})

    def _proposal(self, task: Task, rows: Tensor, origin: Tensor, best: Tensor, query: int) -> Tensor:
        """Return the points ``(N, ...)`` to try next, within ball and bounds."""
        x, now, seeds = as_image(origin), as_image(best), task.seeds[rows]
        size = window_size(self.area, query, self.queries, *x.shape[2:])
        if self.norm == "linf":
            if query == 1:
                new = x + stripes(x, self.radius, seeds)
            else:
                new = linf_square(x, now, self.radius, task.low, task.high, seeds, query, size)
        else:
            d = tiles(x, self.radius, seeds) if query == 1 else l2_square(x, now, self.radius, seeds, query, size)
            new = x + self.ball.project(d, self.radius)
        return new.clamp_(task.low, task.high).reshape(origin.shape)
