"""Greedy k-center: again and again the point that is farthest from all centers so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.distances import COLUMNS, ROWS, Frame, full, pair_distances, root, squared_distances, whole_float32

FEW = 16  # points that are looked at first for the farthest one
AHEAD = 4  # times as many are looked at for the first time
DIRECT = 2**18  # coordinates of so few pairs are compared without ruling any out
NEVER = 2**62  # number of centers that no point has seen


@dataclass(frozen=True)
class Cover:
    """Centers that greedy k-center chose.

    Attributes:
        picks: Their places among the points, ``(n,)`` on the CPU, in the order of choice.
        distances: Distance from each to the nearest center when it was chosen, float64 ``(n,)`` on the CPU; infinite
            for the first where there was no center.
        radius: The largest distance from a point to its nearest center afterwards.
    """

    picks: Tensor
    distances: Tensor
    radius: float


@whole_float32()
def k_center(points: Tensor, centers: Tensor, n: int) -> Cover:
    """Choose ``n`` points by farthest-first traversal: the radius is at most twice the least there could be.

    The choice is that of float64 distances by differences, equal ones going to the lower place, whatever the points'
    norms. A point's distance to its nearest center only ever falls, so that an old one is a bound from above: the few
    points of the highest bounds are brought up to date until the farthest of them lies above all other bounds. Memory:
    a block of distances, some numbers a point, and a copy of the centers.

    Args:
        points: Points ``(U, D)``, finite.
        centers: Centers that there are already ``(L, D)``, finite; ``L`` may be 0.
        n: How many, at most ``U``.

    Raises:
        ValueError: A coordinate is NaN or infinite.

    Source: Gonzalez, "Clustering to minimize the maximum intercluster distance"; Algorithm 1 of Sener and Savarese,
    "Active Learning for Convolutional Neural Networks: A Core-Set Approach".
    """
    traversal = _Traversal(full(points), full(centers), n)
    distances = [traversal.pick() for _ in range(n)]
    return Cover(
        traversal.picks.cpu(),
        root(torch.tensor(distances, dtype=torch.float64)),
        math.sqrt(max(0.0, traversal.farthest()[1])),
    )


class _Traversal:
    """Points, each with the squared distance to the nearest of the first centers that it has seen, or a bound of it."""

    def __init__(self, points: Tensor, centers: Tensor, n: int) -> None:
        self.points, self.given, self.picks = points, centers, torch.empty(n, dtype=torch.int64, device=points.device)
        self.frame, self.count = Frame.of(points, centers), 0
        self.placed = torch.empty(len(centers) + n, points.shape[1], device=points.device)
        self.norms = torch.empty(len(centers) + n, dtype=torch.float64, device=points.device)
        self.bound = torch.full((len(points),), math.inf, dtype=torch.float64, device=points.device)
        self.seen = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        if len(centers):
            self._add(centers)
            self._bound_all()

    def pick(self) -> float:
        """Make the farthest point a center; return its squared distance to those before."""
        place, distance = self.farthest()
        self.picks[self.count - len(self.given)] = place
        self._add(self.points[place : place + 1])
        if self.count == 1:
            self._bound_all()
        self.bound[place], self.seen[place] = -1.0, NEVER  # below all distances for good
        return distance

    def farthest(self) -> tuple[int, float]:
        """Return the place of the farthest point, and its squared distance."""
        width = FEW
        while True:
            bounds, top = self.bound.topk(min(width, len(self.points)))
            if not self.count or not bounds[0] > 0:  # nothing tells the points apart
                return int((self.bound == bounds[0]).nonzero()[0]), float(bounds[0])
            seen = self.seen[top]
            if bool((seen == 0).any()):  # far more to see than the others: apart, and more of them at once
                soon = self.bound.topk(min(AHEAD * width, len(self.points))).indices
                self._settle(soon[self.seen[soon] == 0])
                seen = self.seen[top]
            self._settle(top[seen < self.count])
            distances = self.bound[top]
            farthest = distances.max()
            if width >= len(self.points) or bounds[-1] < farthest:
                return int(top[distances == farthest].min()), float(farthest)
            width *= 4

    def _add(self, centers: Tensor) -> None:
        """Add centers ``(C, D)``."""
        more = slice(self.count, self.count + len(centers))
        self.placed[more], self.norms[more] = self.frame.place(centers)
        self.count += len(centers)

    def _bound_all(self) -> None:
        """Bound the distances of all points to the nearest of the centers so far."""
        for rows in torch.arange(len(self.points), device=self.points.device).split(ROWS):
            placed = self.frame.place(self.points[int(rows[0]) : int(rows[-1]) + 1])
            for start in range(0, self.count, COLUMNS):
                self.bound[rows] = torch.minimum(self.bound[rows], self.frame.at_most(placed, self._there(start), None))

    def _settle(self, stale: Tensor) -> None:
        """Make the distances of points ``(B,)`` exact with respect to all centers."""
        for rows in stale.split(ROWS) if len(stale) else ():
            seen, limit = self.seen[rows], self.bound[rows]
            exact, first = torch.where(seen > 0, limit, math.inf), int(seen.min())
            if len(rows) * (self.count - first) * self.points.shape[1] <= DIRECT:
                given = len(self.given)
                picks = self.points[self.picks[max(0, first - given) : max(0, self.count - given)]]
                others = torch.cat([self.given[first:], picks])
                exact = torch.minimum(exact, squared_distances(self.points[rows][:, None], others).amin(1))
            else:
                placed = self.frame.place(self.points[rows])
                for start in range(first, self.count, COLUMNS):
                    near = self.frame.within(placed, self._there(start), limit)
                    near &= torch.arange(start, start + near.shape[1], device=seen.device) >= seen[:, None]
                    i, j = near.nonzero(as_tuple=True)
                    exact.scatter_reduce_(0, i, self._distances(rows[i], j + start), "amin")
                    limit = torch.minimum(limit, exact)
            self.bound[rows], self.seen[rows] = exact, self.count

    def _there(self, start: int) -> tuple[Tensor, Tensor]:
        """Return a block of the placed centers and their squared norms."""
        block = slice(start, min(start + COLUMNS, self.count))
        return self.placed[block], self.norms[block]

    def _distances(self, rows: Tensor, centers: Tensor) -> Tensor:
        """Return the squared distances of pairs of points and centers, by number ``(P,)``, the given centers first."""
        distances = self.bound.new_empty(len(rows))
        given = centers < len(self.given)
        for some, others, places in (
            (given, self.given, centers[given]),
            (~given, self.points, self.picks[centers[~given] - len(self.given)]),
        ):
            distances[some] = pair_distances(self.points, others, (rows[some], places))
        return distances
