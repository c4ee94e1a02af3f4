"""HopSkipJump: from the boundary a jump along its normal, estimated from the labels around, and a search back to it."""

import math
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from aal.attacks.base import FROM_1, column
from aal.attacks.hard_label import HardLabel
from aal.attacks.label_search import BLOCK, LabelSearch, rowwise

MOST = 10_000  # labels for an estimate
NEAR = 0.01  # share of the distance: how far from the boundary labels are asked for
HALVINGS = 20  # of a jump, at most


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(HardLabel):
    """Jump from the boundary along its normal, estimated from the labels of points around, and search back for it.

    Source: Chen, Jordan and Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack", Algorithm 2, with
    the constants of the authors' code: labels are asked for at a hundredth of the distance in L2, and in d dimensions
    the boundary is found to within a hundredth of the distance by the root of d. In L-inf a jump goes along the signs,
    and the way back is the projection onto smaller and smaller balls. Of several random first points the best is taken.

    Args:
        queries: Most queries of the model for a sample, at least 0; the first is for the sample itself. With 0 nothing
            is asked and every sample fails; with 1 only those that are wrong to begin with do not.
        norm: The norm that is minimized and reported: ``l2`` or ``linf``.
        starts: Random points tried as first ones, at least 1; ten times as many where none is of use.
        chunk: Most points that the model is asked about at once, at least 1; memory and time depend on it alone.
        estimate: Labels for the first estimate, at least 1; the t-th takes the root of t times as many, up to 10,000.

    Raises:
        UserError: A value outside its range.
    """

    estimate: int = 100
    ranges = HardLabel.ranges | {"estimate": FROM_1}

    def search(self, search: LabelSearch, rows: Tensor) -> None:
        """Hop, skip and jump."""
        task = search.task
        precision = NEAR / math.sqrt(task.x[0].numel())
        rows, ends = search.first(rows, task.start, self.starts, 0)
        ends = search.shorten(rows, ends, precision)
        for turn in count(1):
            left = search.box.left(rows) > 1
            rows, ends = rows[left], ends[left]
            if len(rows) == 0:
                break
            way = self._normal(search, rows, ends, turn)
            ends = search.shorten(rows, self._jump(search, rows, ends, way, turn), precision)

    def _normal(self, search: LabelSearch, rows: Tensor, ends: Tensor, turn: int) -> Tensor:
        """Estimate the way ``(N, ...)`` from the boundary to the goal; in L-inf, its signs."""
        task = search.task
        reach = NEAR * torch.linalg.vector_norm((ends - task.x[rows]).flatten(1), dim=1)

        def perturbed(part: Tensor, u: Tensor, scale: Tensor) -> Tensor:
            points = torch.addcmul(ends[part][:, None], u, rowwise(scale * reach[part, None], ends))
            return points.clamp_(task.low, task.high)

        n = min(int(self.estimate * math.sqrt(turn)), MOST)
        way = search.votes(rows, ends, n, turn * (MOST // BLOCK), perturbed)
        return way if self.norm == "l2" else way.sign()

    def _jump(self, search: LabelSearch, rows: Tensor, ends: Tensor, way: Tensor, turn: int) -> Tensor:
        """Return points along the way that reach the goal, the jumps halved until they do; else where they began."""
        task = search.task
        length = search.norm.size(ends - task.x[rows]) / math.sqrt(turn)
        far, entries = ends.clone(), torch.arange(len(rows), device=rows.device)
        for _ in range(HALVINGS):
            entries = search.able(rows, entries)
            if len(entries) == 0:
                break
            points = torch.addcmul(ends[entries], way[entries], column(length[entries], way))
            points = points.clamp_(task.low, task.high)
            reached = search.box.reaches(points, rows[entries])
            far[entries[reached]] = points[reached]
            entries = entries[~reached]
            length[entries] /= 2
        return far

    def between(self, x: Tensor, far: Tensor, share: Tensor) -> Tensor:
        """Return points on ways from samples to points ``far``: in L-inf the projections onto balls around samples."""
        if self.norm == "l2":
            return super().between(x, far, share)
        way = far - x
        reach = column(share * way.flatten(1).abs().amax(1), x)
        return way.clamp_(-reach, reach).add_(x)
