"""Greedy k-center: again and again the point that is farthest from all centers so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.distances import COLUMNS, ROWS, Frame, full, pair_distances

FEW = 64  # points that are looked at first for the farthest one
NEVER = 2**62  # number of centers that no point has seen


@dataclass(frozen=True)
class Cover:
    """Centers that greedy k-center chose.

    Attributes:
        picks: Their places among the points, ``(n,)``, in the order of choice.
        distances: Distance from each to the nearest center when it was chosen, float64 ``(n,)``; infinite for the first
            where there was no center.
        radius: The largest distance from a point to its nearest center afterwards.
    """

    picks: Tensor
    distances: Tensor
    radius: float


def k_center(points: Tensor, centers: Tensor, n: int) -> Cover:
    """Choose ``n`` points by farthest-first traversal: the radius is at most twice the least there could be.

    The choice is that of float64 distances by differences, equal ones going to the lower place, whatever the points'
    norms. A point's distance to its nearest center only ever falls, so that an old one is a bound from above: the few
    points of the highest bounds are brought up to date until the farthest of them lies above all other bounds. Memory:
    a block of distances and some numbers a point.

    Args:
        points: Points ``(U, D)``, finite.
        centers: Centers that there are already ``(L, D)``, finite; ``L`` may be 0.
        n: How many, at most ``U``.

    Raises:
        ValueError: A coordinate is NaN or infinite.

    Source: Gonzalez, "Clustering to minimize the maximum intercluster distance"; Algorithm 1 of Sener and Savarese,
    "Active Learning for Convolutional Neural Networks: A Core-Set Approach".
    """
    traversal = _Traversal(full(points), full(centers))
    distances = [traversal.pick() for _ in range(n)]
    return Cover(
        torch.tensor(traversal.picks, dtype=torch.int64),
        torch.tensor(distances, dtype=torch.float64).sqrt(),
        math.sqrt(max(0.0, traversal.farthest()[1])),
    )


class _Traversal:
    """Points, each with the squared distance to the nearest of the first centers that it has seen, or a bound of it."""

    def __init__(self, points: Tensor, centers: Tensor) -> None:
        self.points, self.given = points, centers
        self.frame = Frame.of(points, centers)
        self.picks: list[int] = []
        self.bound = torch.full((len(points),), math.inf, dtype=torch.float64, device=points.device)
        self.seen = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for rows in torch.arange(len(points), device=points.device).split(ROWS) if len(centers) else ():
            placed = self.frame.place(points[rows])
            for part in centers.split(COLUMNS):
                at_most = self.frame.at_most(placed, self.frame.place(part), None)
                self.bound[rows] = torch.minimum(self.bound[rows], at_most)

    @property
    def count(self) -> int:
        """How many centers there are."""
        return len(self.given) + len(self.picks)

    def pick(self) -> float:
        """Make the farthest point a center; return its squared distance to those before."""
        place, distance = self.farthest()
        self.picks.append(place)
        self.bound[place], self.seen[place] = -1.0, NEVER  # below all distances for good
        return distance

    def farthest(self) -> tuple[int, float]:
        """Return the place of the farthest point, and its squared distance."""
        width = FEW
        while True:
            bounds, top = self.bound.topk(min(width, len(self.points)))
            if not 0 < bounds[0] < math.inf:  # no center, or no distance left: nothing tells the points apart
                return int((self.bound == bounds[0]).nonzero()[0]), float(bounds[0])
            seen = self.seen[top]
            self._settle(top[seen == self.count - 1])  # apart from those that have more to see
            self._settle(top[seen < self.count - 1])
            distances = self.bound[top]
            farthest = distances.max()
            if width >= len(self.points) or bounds[-1] < farthest:
                return int(top[distances == farthest].min()), float(farthest)
            width *= 4

    def _settle(self, stale: Tensor) -> None:
        """Make the distances of points ``(B,)`` exact with respect to all centers."""
        for rows in stale.split(ROWS) if len(stale) else ():
            placed, seen, limit = self.frame.place(self.points[rows]), self.seen[rows], self.bound[rows]
            exact = torch.where(seen > 0, limit, math.inf)
            for start in range(int(seen.min()), self.count, COLUMNS):
                others = self._centers(start, min(start + COLUMNS, self.count))
                near = self.frame.within(placed, self.frame.place(others), limit)
                near &= torch.arange(start, start + len(others), device=seen.device) >= seen[:, None]
                i, j = near.nonzero(as_tuple=True)
                exact.scatter_reduce_(0, i, pair_distances(self.points, others, (rows[i], j)), "amin")
                limit = torch.minimum(limit, exact)
            self.bound[rows], self.seen[rows] = exact, self.count

    def _centers(self, start: int, stop: int) -> Tensor:
        """Return the centers from one to another, the given ones first, ``(C, D)``."""
        given = len(self.given)
        picks = torch.tensor(self.picks[max(0, start - given) : max(0, stop - given)], dtype=torch.int64)
        return torch.cat([self.given[start:stop], self.points[picks.to(self.points.device)]])
