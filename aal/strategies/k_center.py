"""Greedy k-center: again and again the point that is farthest from all centers so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.distances import (
    COLUMNS,
    ROWS,
    Frame,
    full,
    root,
    squares_of_pairs,
    whole_float32,
)

FEW = 16  # points that are looked at first for the farthest one
DIRECT = 2**18  # coordinates of so few pairs are compared without ruling any out


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
    a block of distances, some numbers a point, and two copies of the centers.

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
    picked = [traversal.pick() for _ in range(n)]
    return Cover(
        torch.tensor([place for place, _ in picked], dtype=torch.int64),
        root(torch.tensor([squared for _, squared in picked], dtype=torch.float64)),
        math.sqrt(max(0.0, traversal.farthest()[1])),
    )


class _Traversal:
    """Points, each with the squared distance to the nearest of the first centers that it has seen, or a bound of it."""

    def __init__(self, points: Tensor, centers: Tensor, n: int) -> None:
        size, device = (len(centers) + n, points.shape[1]), points.device
        self.points, self.frame, self.count = points, Frame.of(points, centers), 0
        self.centers = torch.cat([centers, points.new_empty(n, points.shape[1])])
        self.placed = torch.empty(size, device=device)
        self.norms = torch.empty(size[0], dtype=torch.float64, device=device)
        self.bound = torch.full((len(points),), math.inf, dtype=torch.float64, device=device)
        self.seen = torch.zeros(len(points), dtype=torch.int64, device=device)
        self._add(centers)

    def pick(self) -> tuple[int, float]:
        """Make the farthest point a center; return its place and its squared distance to those before."""
        place, squared = self.farthest()
        self._add(self.points[place : place + 1])
        self.bound[place], self.seen[place] = -1.0, 2**62  # below all distances for good, whatever centers come
        return place, squared

    def farthest(self) -> tuple[int, float]:
        """Return the place of the farthest point, and its squared distance."""
        width = FEW
        while True:
            bounds, top = self.bound.topk(min(width, len(self.points)))
            if not self.count or not bounds[0] > 0:  # nothing tells the points apart
                return int((self.bound == bounds[0]).nonzero()[0]), float(bounds[0])
            if bool((self.seen[top] == 0).any()):  # far more to see than the others: apart, and more of them at once
                soon = self.bound.topk(min(4 * width, len(self.points))).indices
                self._settle(soon[self.seen[soon] == 0])
            self._settle(top[self.seen[top] < self.count])
            distances = self.bound[top]
            farthest = distances.max()
            if width >= len(self.points) or bounds[-1] < farthest:
                return int(top[distances == farthest].min()), float(farthest)
            width *= 4

    def _add(self, centers: Tensor) -> None:
        """Add centers ``(C, D)``; the first ones bound the distances of all points."""
        more = slice(self.count, self.count + len(centers))
        self.centers[more], (self.placed[more], self.norms[more]) = centers, self.frame.place(centers)
        self.count += len(centers)
        if self.count == len(centers):
            for points, bound in zip(self.points.split(ROWS), self.bound.split(ROWS), strict=True):
                placed = self.frame.place(points)
                for start in range(0, self.count, COLUMNS):
                    end = min(start + COLUMNS, self.count)
                    torch.minimum(
                        bound, self.frame.at_most(placed, (self.placed[start:end], self.norms[start:end])), out=bound
                    )

    def _settle(self, stale: Tensor) -> None:
        """Make the distances of points ``(B,)`` exact with respect to all centers."""
        for rows in stale.split(ROWS) if len(stale) else ():
            seen, limit = self.seen[rows], self.bound[rows]
            exact, first = torch.where(seen > 0, limit, math.inf), int(seen.min())
            if len(rows) * (self.count - first) * self.points.shape[1] <= DIRECT:
                apart = self.points[rows][:, None].double() - self.centers[first : self.count].double()
                exact = torch.minimum(exact, apart.square().sum(-1).amin(1))
            else:
                placed = self.frame.place(self.points[rows])
                for start in range(first, self.count, COLUMNS):
                    end = min(start + COLUMNS, self.count)
                    near = self.frame.within(placed, (self.placed[start:end], self.norms[start:end]), limit)
                    near &= torch.arange(start, end, device=seen.device) >= seen[:, None]
                    i, j = near.nonzero(as_tuple=True)
                    exact.scatter_reduce_(
                        0, i, squares_of_pairs(self.points, self.centers, (rows[i], j + start)), "amin"
                    )
                    limit = torch.minimum(limit, exact)
            self.bound[rows], self.seen[rows] = exact, self.count
