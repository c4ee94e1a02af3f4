"""Which points are near to each other: all pairs within a distance, exact, in blocks; and distances to choose it by.

A block of pairs gets bounds at once, which decide most of them; the others are decided by differences in float64. In L2
the bounds come from one matrix product (:mod:`aal.distances`), in L-inf from coordinates rounded to levels,
whose differences are as quick as 16 bits can be.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from aal.distances import Frame, full, root, whole_float32

Distance = Literal["l2", "linf"]
Bounds = tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]  # which pairs may be near; which of some surely are

BLOCK = (256, 1024)  # rows and columns: a block in 16 bits stays in a core's cache
LEVELS = 32_640  # most that fit 16 bits and are a multiple of 255: images of 8 bits from 0 to 1 lose nothing
ROUNDING = 1e-6  # levels, far more than float64 loses on the way to them
ASIDE = 64  # coordinates between two looks at how many pairs are left
FEW = 64  # one in so many pairs left: deciding them one by one is quicker than going on with the block
ELEMENTS = 2**17  # of a block of differences: 1 MiB in float64
DRAWN = 100_000  # pairs that a quantile of the distances is taken of


def near_pairs(points: Tensor, gamma: float, norm: Distance, block: tuple[int, int] = BLOCK) -> tuple[Tensor, Tensor]:
    """Return all pairs of points that are no farther apart than ``gamma``.

    Args:
        points: Points ``(N, D)`` on the CPU, finite.
        gamma: The distance, in the units of the points, at least 0.
        norm: ``l2`` or ``linf``; a distance is that of the differences in float64.
        block: Rows and columns of a block of pairs; it bounds the memory beside the pairs and a copy of the points.

    Returns:
        The lower and the higher place of each pair, int32 ``(P,)``.

    Raises:
        ValueError: A coordinate is NaN or infinite.
    """
    points = full(points)
    if len(points) < 2:
        return torch.empty(0, dtype=torch.int32), torch.empty(0, dtype=torch.int32)
    bounds, found = (_Products if norm == "l2" else _Levels)(points, gamma), []
    for top in range(0, len(points), block[0]):
        for left in range(top, len(points), block[1]):
            near, surely = bounds(slice(top, top + block[0]), slice(left, left + block[1]))
            i, j = near.triu_(top - left + 1).nonzero(as_tuple=True)
            sure = surely(i, j)
            i, j = i.add_(top), j.add_(left)
            unsure = (~sure).nonzero()[:, 0]
            sure[unsure] = pair_distances(points, i[unsure], j[unsure], norm) <= gamma
            found.append((i[sure].int(), j[sure].int()))
    return torch.cat([i for i, _ in found]), torch.cat([j for _, j in found])


def pair_distances(points: Tensor, i: Tensor, j: Tensor, norm: Distance) -> Tensor:
    """Return how far points ``(N, D)`` are apart, pairs by their places ``(P,)``, float64 ``(P,)``."""
    size, apart = max(1, ELEMENTS // max(1, points.shape[1])), torch.empty(len(i), dtype=torch.float64)
    for start in range(0, len(i), size):
        part = slice(start, start + size)
        difference = points.index_select(0, i[part]).double().sub_(points.index_select(0, j[part]))
        apart[part] = difference.square_().sum(1) if norm == "l2" else difference.abs_().amax(1)
    return root(apart) if norm == "l2" else apart


def gamma_for(neighbours: float, points: Tensor, labels: Tensor, norm: Distance, generator: torch.Generator) -> float:
    """Return the distance within which points have about so many others of their class, on average.

    It is a quantile of the distances between points of the same class: of all of them, or of 100,000 drawn at random
    where there are more. Where distances tie, points have more neighbours.

    Args:
        neighbours: The mean degree to aim for, above 0.
        points: Points ``(N, D)`` on the CPU, finite.
        labels: Their classes ``(N,)``.
        norm: ``l2`` or ``linf``.
        generator: The source of randomness.

    Returns:
        The distance, in the units of the points; 0 where no class has two points.
    """
    points, order = full(points), labels.argsort(stable=True)
    sizes = labels.unique(return_counts=True)[1]
    ends = (sizes * (sizes - 1)).cumsum(0)  # of the pairs of each class, each pair in both directions
    total = int(ends[-1])
    if not total:
        return 0.0
    every = total <= 2 * DRAWN
    drawn = torch.arange(total) if every else torch.randint(total, (DRAWN,), generator=generator)
    group = torch.searchsorted(ends, drawn, right=True)
    within, others = drawn - (ends - sizes * (sizes - 1))[group], sizes[group] - 1
    i, j = within // others, within % others
    j += j >= i
    first = (sizes.cumsum(0) - sizes)[group]
    if every:
        i, j, first = i[i < j], j[i < j], first[i < j]
    apart = pair_distances(points, order[first + i], order[first + j], norm).sort().values
    near = math.ceil(min(len(apart), neighbours * len(points) * len(apart) / total))
    return float(apart[near - 1])


class _Products:
    """Bounds of L2 distances, from a matrix product in float32."""

    def __init__(self, points: Tensor, gamma: float) -> None:
        self.frame = Frame.of(points)
        self.points, self.norms = self.frame.place(points)
        self.limit = (gamma * self.frame.scale) ** 2 if gamma < 1e150 else math.inf

    @whole_float32()
    def __call__(self, rows: slice, columns: slice) -> Bounds:
        loss, least = self.frame.loss, self.frame.least
        here, there = self.norms[rows], self.norms[columns]
        partial = torch.addmm(((1 - loss) * there).float(), self.points[rows], self.points[columns].T, alpha=-2)
        most = (self.limit + least - (1 - loss) * here).float()
        near = partial <= most.nextafter(most.new_tensor(math.inf))[:, None]
        return (
            near,
            lambda i, j: partial[i, j].double() + 2 * loss * there[j] + (1 + loss) * here[i] + least <= self.limit,
        )


class _Levels:
    """Bounds of L-inf distances, from coordinates in 16 bits.

    Levels are off by ``error`` at most, which is found out and not presumed. Coordinates whose whole range is less than
    ``gamma`` tell nothing and are left out; the others come in the order of their variance.
    """

    def __init__(self, points: Tensor, gamma: float) -> None:
        low, high = (float(end) for end in torch.aminmax(points))
        if not math.isfinite(high - low):
            raise ValueError("points must be finite")
        scale = LEVELS / (high - low) if high > low else 1.0
        levels, error = torch.empty(points.shape[1], len(points), dtype=torch.int16), 0.0
        for start in range(0, len(points), BLOCK[0]):
            exact = (points[start : start + BLOCK[0]].double() - low) * scale
            rounded = exact.round()
            levels[:, start : start + len(exact)] = rounded.T
            error = max(error, float(exact.sub_(rounded).abs_().max()))
        slack = 2 * error + ROUNDING
        self.out = math.floor(min(gamma * scale + slack, LEVELS))  # near pairs differ by so many levels at most
        self.sure = LEVELS if gamma >= high - low else math.floor(gamma * scale - slack)  # those are near for sure
        self.levels = levels[_telling(levels, self.sure)]

    def __call__(self, rows: slice, columns: slice) -> Bounds:
        here, there = self.levels[:, rows, None], self.levels[:, columns]
        apart = torch.empty(here.shape[1], there.shape[1], dtype=torch.int16)
        largest, whole = torch.zeros_like(apart), True
        for k in range(len(here)):
            if k and k % ASIDE == 0 and int((largest <= self.out).sum()) * FEW <= largest.numel():
                whole = False
                break
            torch.sub(here[k], there[k], out=apart)
            torch.maximum(largest, apart.abs_(), out=largest)
        return largest <= self.out, lambda i, j: (largest[i, j] <= self.sure) & whole


def _telling(levels: Tensor, sure: int) -> Tensor:
    """Return the coordinates of levels ``(D, N)`` that may tell pairs apart, about those of high variance first."""
    low, high = levels.aminmax(dim=1)
    telling = (high.int() - low.int() > sure).nonzero()[:, 0]
    if not len(telling):
        return telling
    some = levels[telling, :: max(1, levels.shape[1] // BLOCK[1])].float()
    return telling[some.var(1, correction=0).argsort(descending=True, stable=True)]
