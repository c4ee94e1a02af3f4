"""Exact Euclidean distances at nearly the speed of float32: a product rules out most pairs, float64 settles the rest.

``|a - b|^2 = |a|^2 + |b|^2 - 2 ab`` is one matrix product, but what it loses grows with the points' norms and not with
their distance. Points are therefore moved to their mean, and each distance gets a bound of what may be lost; pairs that
the bounds cannot tell apart are computed again by differences.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from aal.checks import refuse

ROWS, COLUMNS = 4096, 1024  # of a block of distances: 16 MiB in float32
FARTHEST = 1e150  # squares of longer distances are no numbers of float64
ELEMENTS = 2**21  # of a block of differences: 16 MiB in float64


@contextmanager
def whole_float32() -> Iterator[None]:
    """Keep float32 products in float32, which a user or autocast may have set otherwise: the bounds are of that."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class Frame:
    """Where points are moved to so that float32 loses little.

    Attributes:
        scale: What points are multiplied by: a power of two, so that nothing is lost and no square overflows.
        origin: What is taken from them then ``(D,)``.
        loss: Most that a squared distance in the frame may be wrong by, as a share of the sum of the squared norms. A
            sum of ``k`` products in any order is wrong by at most ``ku / (1 - ku)`` of the sum of their sizes, ``u``
            the unit of float32 (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); that sum is at
            most twice the norms' in the product, and the norms' in the norms. Rounding the points themselves adds a few
            ``u``.
        least: Most that it may be wrong by because of numbers below the least of float32.
    """

    scale: float
    origin: Tensor
    loss: float
    least: float

    @classmethod
    def of(cls, *sets: Tensor) -> Self:
        """Return the frame around about the mean of the first of some sets of points ``(N, D)``, float32 or float64.

        Raises:
            ValueError: A coordinate is NaN or infinite, or points are 1e150 apart.
        """
        ends = [end.double() for points in sets if points.numel() for end in torch.aminmax(points)]
        span = float(torch.stack(ends).max() - torch.stack(ends).min()) if ends else 0.0
        refuse(not span < FARTHEST, f"points must be finite and less than {FARTHEST:.0e} apart", ValueError)
        scale, some = 2.0 ** min(500, -math.frexp(span)[1]), sets[0][:: max(1, len(sets[0]) // ROWS)]
        size = sets[0].shape[1]
        lost = (size + 8) * 2.0**-24
        return cls(scale, some.mul(scale).mean(0), 3.3 * lost / (1 - lost), size * 2.0**-120)

    def place(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return points ``(B, D)`` in the frame, in float32, and about their squared norms ``(B,)`` there."""
        placed = points.mul(self.scale).sub_(self.origin).float()
        return placed, torch.linalg.vector_norm(placed, dim=1).double().square()

    def at_most(
        self, points: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], apart: Tensor | None = None
    ) -> Tensor:
        """Return bounds from above of the squared distances to the nearest of some points.

        Args:
            points: Placed points ``(B, D)`` and their squared norms ``(B,)``.
            others: The points to be near, ``(C, D)`` and ``(C,)``.
            apart: Which pairs count, bool ``(B, C)``; ``None`` for all.

        Returns:
            The bounds ``(B,)`` in float64, in the units of the points; infinite where no pair counts.
        """
        (placed, norms), (there, norms_there) = points, others
        partial = torch.addmm(((1 + self.loss) * norms_there).float(), placed, there.T, alpha=-2)
        if apart is not None:
            partial.masked_fill_(~apart, math.inf)
        return (partial.amin(1) + (1 + self.loss) * norms + self.least) / self.scale**2

    def within(self, points: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], limit: Tensor) -> Tensor:
        """Return which pairs may have a squared distance of at most ``limit`` ``(B,)``, bool ``(B, C)``.

        Args:
            points: Placed points ``(B, D)`` and their squared norms ``(B,)``.
            others: Likewise ``(C, D)`` and ``(C,)``.
            limit: In the units of the points.
        """
        (placed, norms), (there, norms_there) = points, others
        partial = torch.addmm(((1 - self.loss) * norms_there).float(), placed, there.T, alpha=-2)
        most = (limit * self.scale**2 - (1 - self.loss) * norms + self.least).float()
        return partial <= most.nextafter(most.new_tensor(math.inf))[:, None]  # never below what float64 would say


def squares_of_pairs(points: Tensor, others: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
    """Return squared distances in the memory of a block.

    Args:
        points: ``(N, D)``.
        others: ``(M, D)``.
        pairs: Rows of ``points`` and of ``others``, ``(P,)`` each.

    Returns:
        Their squared distances ``(P,)``, by differences in float64.
    """
    size = max(1, ELEMENTS // max(1, points.shape[1]))
    parts = zip(pairs[0].split(size), pairs[1].split(size), strict=True)
    return torch.cat([(points[i].double() - others[j].double()).square().sum(-1) for i, j in parts])


@whole_float32()
def nearest(points: Tensor, others: Tensor, classes: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the exact distance from every point to the nearest of some others.

    Args:
        points: Points ``(N, D)``, finite.
        others: The points to be near, ``(M, D)``.
        classes: A class for every point ``(N,)`` and every other ``(M,)``: then only others of another class count.

    Returns:
        Distances ``(N,)`` in float64; infinite where there is no point to be near.

    Raises:
        ValueError: A coordinate is NaN or infinite.
    """
    points, others = full(points), full(others)
    frame, columns = Frame.of(points, others), [slice(k, k + COLUMNS) for k in range(0, len(others), COLUMNS)]
    squared = torch.full((len(points),), math.inf, dtype=torch.float64, device=points.device)
    for start in range(0, len(points), ROWS):
        rows = slice(start, start + ROWS)
        placed, exact, bound = frame.place(points[rows]), squared[rows], squared[rows].clone()
        for block in columns:
            apart = None if classes is None else classes[0][rows, None] != classes[1][block]
            bound = torch.minimum(bound, frame.at_most(placed, frame.place(others[block]), apart))
        for block in columns:
            near = frame.within(placed, frame.place(others[block]), torch.minimum(bound, exact))
            if classes is not None:
                near &= classes[0][rows, None] != classes[1][block]
            i, j = near.nonzero(as_tuple=True)
            exact.scatter_reduce_(0, i, squares_of_pairs(points[rows], others[block], (i, j)), "amin")
    return root(squared)


def root(squared: Tensor) -> Tensor:
    """Return square roots, correctly rounded, so that equal distances stay equal: torch's on a CPU are not."""
    return torch.from_numpy(np.sqrt(squared.cpu().numpy())).to(squared.device)


def faults(points: Tensor) -> Tensor:
    """Return NaN for each of some points ``(N, D)`` with a coordinate that is NaN or infinite, else 0, ``(N,)``."""
    span = points.amax(1).double() - points.amin(1).double()
    return span - span


def full(points: Tensor) -> Tensor:
    """Return points ``(N, ...)`` as float32 ``(N, D)``, or float64 where they are that."""
    points = points.flatten(1)
    return points if points.dtype == torch.float64 else points.float()
