"""The least move into a region of Voronoi cells: the rows known of it, and the bound that factors of them prove."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from aal.attacks.voronoi import TINY, Array, Indices, Outlook, Region

TOLERANCE = 1e-12  # of the move's length, by which a site of the region may be farther than a blocking one
MORE = 5  # rows that are taken in at a time


@dataclass(frozen=True)
class Box:
    """How far a sample may move.

    Args:
        down: By how much each feature may fall ``(D,)``, at least 0; may be infinite.
        up: By how much it may rise.
    """

    down: Array
    up: Array

    def holds(self, move: Array) -> bool:
        """Whether a move stays inside."""
        return bool((move >= -self.down).all() and (move <= self.up).all())


@dataclass(frozen=True)
class Nearest:
    """What is known of a region.

    Args:
        bound: How far it is at least; infinite where it is empty.
        move: The least move into it ``(D,)``; ``None`` where it was found to be no nearer than asked for.
        size: The length of the move.
    """

    bound: float
    move: Array | None = None
    size: float = np.inf


class RegionRows:
    """The rows ``w v <= b`` of a region that are known so far: those of the blocking sites at hand to begin with.

    Two sites at one place are equally near everywhere, which is no row.

    Args:
        look: The sample's outlook.
        region: The region.
        norm: The norm of moves.

    Attributes:
        weights: ``(R, D)``.
        limits: ``(R,)``.
        sizes: The dual norms of the weights ``(R,)``, above 0.
    """

    def __init__(self, look: Outlook, region: Region, norm: str) -> None:
        self.look, self.region, self.norm = look, region, norm
        near = np.flatnonzero(~np.isin(look.near, region.let_in)) if len(region.let_in) else slice(None)
        parts = [self._made(site, look.near[near], *look.near_rows(site, near)) for site in region.inside.tolist()]
        self.weights, self.limits, self.sizes, self._numbers = parts[0] if len(parts) == 1 else _joined(parts)

    def _made(self, inside: int, blocking: Indices, weights: Array, limits: Array) -> "Parts":
        """Return the weights, limits, sizes and numbers of the rows of a site and some blocking ones."""
        lengths = np.sqrt(np.einsum("rd,rd->r", weights, weights))
        sizes = np.abs(weights).sum(1) if self.norm == "linf" else lengths
        if self.region.margin > 0:
            limits = limits - self.region.margin * lengths
        numbers = inside * len(self.look.halves) + blocking
        apart = sizes > TINY
        return (weights, limits, sizes, numbers) if apart.all() else _at((weights, limits, sizes, numbers), apart)

    def excess(self, move: Array) -> Array:
        """Return by how much a move violates each row, as lengths ``(R,)``."""
        excess: Array = (self.weights @ move - self.limits) / self.sizes
        return excess

    def lacking(self, move: Array, tolerance: float) -> bool:
        """Whether a move violates rows that were not among these; the worst of them now are."""
        site, suspects = self.look.violated(move, self.region)
        if not len(suspects):
            return False
        made = self._made(site, suspects, *self.look.rows(site, suspects))
        excess = (made[0] @ move - made[1]) / made[2]
        above = np.flatnonzero(excess > tolerance)
        above = above[~(made[3][above, None] == self._numbers).any(1)]
        worst = above[most(excess[above], MORE, tolerance)]
        if len(worst):
            known = (self.weights, self.limits, self.sizes, self._numbers)
            self.weights, self.limits, self.sizes, self._numbers = _joined([known, _at(made, worst)])
        return len(worst) > 0


Parts = tuple[Array, Array, Array, Indices]


def _at(made: Parts, rows: Indices | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Parts:
    return made[0][rows], made[1][rows], made[2][rows], made[3][rows]


def _joined(parts: list[Parts]) -> Parts:
    weights, limits, sizes, numbers = (np.concatenate(part) for part in zip(*parts, strict=True))
    return weights, limits, sizes, numbers


def most(values: Array, many: int, above: float) -> Indices:
    """Return where the largest of some values are, at most so many of those that are above a value."""
    if len(values) > many:
        largest = np.argpartition(-values, many)[:many]
        return largest[values[largest] > above]
    return np.flatnonzero(values > above)


class Projection(ABC):
    """Finds the least move into regions, in one norm.

    Args:
        box: How far the sample may move; ``None``: anywhere.

    Attributes:
        norm: The norm of moves.
    """

    norm: str

    def __init__(self, box: Box | None = None) -> None:
        self.box = box

    @abstractmethod
    def nearest(self, look: Outlook, region: Region, best: float) -> Nearest:
        """Return the least move into a region, if it is below ``best``, which is finite."""

    def size(self, move: Array) -> float:
        """Return the length of a move."""
        return float(np.abs(move).max() if self.norm == "linf" else np.sqrt(move @ move))

    def bound(self, rows: RegionRows, chosen: list[int], factors: Array) -> float:
        """Return how far a region is at least, which factors ``(K,)`` of some of its rows prove."""
        factors = factors.clip(0)
        return bound_of(factors @ rows.weights[chosen], float(factors @ rows.limits[chosen]), self.norm, self.box)


def bound_of(weights: Array, limit: float, norm: str, box: Box | None) -> float:
    """Return the least length of a move with ``w v <= b`` for a single row; infinite if there is none.

    A sum of a region's rows, each by a factor of at least 0, holds in all of the region: this is a bound for it.

    Args:
        weights: w ``(D,)``.
        limit: b.
        norm: The norm of moves.
        box: How far each feature may move.
    """
    if limit >= 0:
        return 0.0
    steep = np.abs(weights)
    if box is None:
        size = float(steep.sum() if norm == "linf" else np.sqrt(steep @ steep))
        return -limit / size if size > 0 else np.inf
    moving = steep > 0
    # all features move at one speed (linf), or each at its weight's (l2), until their room is used up
    steep, room = steep[moving], np.where(weights > 0, box.down, box.up)[moving]
    speeds = np.ones_like(steep) if norm == "linf" else steep
    order = (room / speeds).argsort()
    steep, room, speeds = steep[order], room[order], speeds[order]
    going = (steep * speeds)[::-1].cumsum()[::-1]
    stopped = np.where(np.isfinite(room), room, 0.0)
    before = np.concatenate([[0.0], (steep * stopped).cumsum()[:-1]])
    times = (-limit - before) / going  # until all is done, if those before have stopped and the others have not
    fits = np.flatnonzero(times <= room / speeds)
    if not len(fits):
        return np.inf
    k, time = int(fits[0]), float(times[fits[0]])
    return time if norm == "linf" else float(np.sqrt((stopped[:k] ** 2).sum() + time**2 * (speeds[k:] ** 2).sum()))
