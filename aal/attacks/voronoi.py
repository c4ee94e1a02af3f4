"""The points of a training set as the sites of Voronoi cells, and the cells as seen from one sample."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from aal.attacks.training_set import TrainingSet

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

DIRECT = 32  # up to so many features distances are sums of squared differences, beyond they are made of products
NEAR, ENTRIES = 32, 1024  # rows of so many of the nearest blocking sites are kept at hand; more where they are short
EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
SINGLE = float(np.finfo(np.float32).eps)

DUAL = {"linf": "cityblock", "l2": "euclidean"}  # the norms of rows that go with those of moves


@dataclass(frozen=True)
class Side:
    """Some of the sites: as few slices of them as there are, and their indices ``(S,)``."""

    parts: tuple[slice, ...]
    indices: Indices

    def of(self, values: Array) -> Array:
        """Return the entries of these sites."""
        return values[self.parts[0]] if len(self.parts) == 1 else np.concatenate([values[part] for part in self.parts])


class Sites:
    """Training points in double precision, sorted by class, in units in which squares neither overflow nor vanish.

    Features in which all points agree are left out: the borders of cells do not depend on them, and no least move needs
    them. A feature that is far from 0 beside its own range is moved to 0 first: squares are expanded, and nothing is
    lost.

    Attributes:
        features: The features in which points differ ``(D,)``, at least one.
        points: ``(N, D)``.
        order: The row of the training set that each was ``(N,)``.
        labels: Their classes ``(N,)``.
        center: What was taken from the points ``(D,)``.
        unit: What they were divided by then, a power of 2.
    """

    def __init__(self, known: TrainingSet) -> None:
        labels = known.labels.cpu().numpy()
        self.order = labels.argsort(kind="stable")
        self.labels = labels[self.order]
        whole: Array = known.points.detach().flatten(1).cpu().double().numpy()
        self.features: Indices = np.flatnonzero((whole != whole[0]).any(0))
        if not len(self.features):
            self.features = np.zeros(1, np.intp)
        points = whole[np.ix_(self.order, self.features)]
        mean = points.mean(0)
        self.center: Array = np.where(np.abs(mean) > 3 * np.ptp(points, axis=0), mean, 0.0)
        points -= self.center
        self.unit = 2.0 ** float(np.frexp(np.abs(points).max())[1])
        points /= self.unit
        self.points = points
        self.squares: Array = np.einsum("nd,nd->n", points, points)
        self.largest = float(self.squares.max())
        self._sides: dict[tuple[int, bool], tuple[Side, Side]] = {}

    @cached_property
    def places(self) -> Indices:
        """A number for the place of every site ``(N,)``: the same for those at one place."""
        numbers: dict[bytes, int] = {}
        found = (numbers.setdefault((point + 0.0).tobytes(), len(numbers)) for point in self.points)  # no minus 0
        return np.fromiter(found, np.intp, len(self.points))

    @cached_property
    def singles(self) -> NDArray[np.float32]:
        """The points in single precision ``(N, D)``, half the memory to go through."""
        return self.points.astype(np.float32)

    def sides(self, label: int, targeted: bool) -> tuple[Side, Side]:
        """Return the sites that must not be nearest, and those of the goal: any other class, or the target's."""
        if (label, targeted) not in self._sides:
            low, high = (int(end) for end in np.searchsorted(self.labels, [label, label + 1]))
            own = self._side(slice(low, high))
            others = self._side(slice(0, low), slice(high, len(self.labels)))
            self._sides[label, targeted] = (others, own) if targeted else (own, others)
        return self._sides[label, targeted]

    def _side(self, *parts: slice) -> Side:
        parts = tuple(part for part in parts if part.stop > part.start) or parts[:1]
        return Side(parts, np.concatenate([np.arange(part.start, part.stop) for part in parts]))


@dataclass(frozen=True)
class Region:
    """Where none of some sites is farther than any blocking site; for a single one that is its Voronoi cell.

    Args:
        inside: The sites ``(K,)``.
        let_in: Blocking sites that need not be farther ``(M,)``.
        margin: By how much each site must be nearer, measured across the border between it and a blocking one.
    """

    inside: Indices
    let_in: Indices = field(default_factory=lambda: np.empty(0, np.intp))
    margin: float = 0.0


class Outlook:
    """A training set as seen from one sample: points are moves from it, in the units of the sites.

    Args:
        sites: The training set.
        x: The sample ``(D,)``, in the sites' units.
        label: The class to leave, or to reach.
        targeted: Whether to reach it.

    Attributes:
        blocking: The sites that must not be nearest.
        goals: Those of which one must be.
        halves: Half the squared distances of all sites ``(N,)``, none farther off than ``error``.
    """

    def __init__(self, sites: Sites, x: Array, label: int, targeted: bool) -> None:
        self.sites, self.x, self.targeted, points = sites, x, targeted, sites.points
        self.blocking, self.goals = sites.sides(label, targeted)
        if points.shape[1] <= DIRECT:
            self._exact: Array = points - x
            self._seen: Array | NDArray[np.float32] = self._exact
            self.halves: Array = 0.5 * np.einsum("nd,nd->n", self._exact, self._exact)
            self.error = 0.0
        else:
            self._exact, self._seen, own = points, sites.singles, float(x @ x)
            self.halves = 0.5 * (sites.squares + own) - points @ x
            self.error = 0.5 * (len(x) + 8) * EPS * (sites.largest + own)
        self.to_blocking, self.to_goals = self.blocking.of(self.halves), self.goals.of(self.halves)
        self.near = self._nearest_blocking()
        self.near_points = points[self.near]
        self.near_moves = self.near_points - x

    def _nearest_blocking(self) -> Indices:
        """Return the blocking sites at hand, the nearest first."""
        many = max(NEAR, ENTRIES // len(self.x))
        order = np.arange(len(self.to_blocking))
        if len(order) > many:
            order = np.argpartition(self.to_blocking, many - 1)[:many]
        return self.blocking.indices[order[self.to_blocking[order].argsort(kind="stable")]]

    def moves(self, sites: Indices) -> Array:
        """Return the moves to some sites ``(K, D)``."""
        return self.sites.points[sites] - self.x

    def exact_halves(self, sites: Indices) -> Array:
        """Return half the squared distances of some sites ``(K,)``, summed from squared differences."""
        moves = self.moves(sites)
        halves: Array = 0.5 * np.einsum("nd,nd->n", moves, moves)
        return halves

    def tied(self, among: Indices) -> Indices | None:
        """Return which of some goals ``(1,)`` is as near to the sample as any blocking site; ``None``: none is."""
        if not len(among):
            return None
        halves, least = self.halves[among], self.to_blocking.min() if len(self.to_blocking) else np.inf
        close = among[halves <= min(halves.min(), least) + 4 * self.error]
        if not len(close):
            return None
        blocking = self.blocking.indices[self.to_blocking <= least + 4 * self.error]
        exact = self.exact_halves(close)
        tied = not len(blocking) or exact.min() <= self.exact_halves(blocking).min()
        return close[[int(exact.argmin())]] if tied else None

    def rows(self, inside: int, blocking: Indices) -> tuple[Array, Array]:
        """Return ``w`` ``(K, D)`` and ``b`` ``(K,)``: a site is no farther than others ``(K,)`` where ``w v <= b``."""
        own, others = self.sites.points[inside], self.sites.points[blocking]
        weights = others - own
        return weights, 0.5 * np.einsum("kd,kd->k", (others - self.x) + (own - self.x), weights)

    def near_rows(self, inside: int, near: Indices | slice) -> tuple[Array, Array]:
        """Return the :meth:`rows` of a site and some of the blocking ones at hand."""
        own = self.sites.points[inside]
        weights = self.near_points[near] - own
        return weights, 0.5 * np.einsum("kd,kd->k", self.near_moves[near] + (own - self.x), weights)

    def violated(self, move: Array, region: Region) -> tuple[int, Indices]:
        """Return an inside site, and the blocking ones ``(K,)`` that may be nearer than it after a move.

        Of several inside sites it is the farthest.
        """
        exact, seen = self._exact, self._seen
        own = exact[region.inside] @ move - self.halves[region.inside]
        worst = int(own.argmin())
        move = move.astype(seen.dtype)
        parts = [seen[part] @ move for part in self.blocking.parts]
        scores = (parts[0] if len(parts) == 1 else np.concatenate(parts)) - self.to_blocking
        slack = 2 * self.error
        if seen is not exact:  # products of numbers rounded to single precision
            slack += 2 * (len(move) + 8) * SINGLE * np.sqrt(self.sites.largest * float(move @ move))
        if region.margin > 0:  # times the longest row that there can be
            slack += region.margin * (np.sqrt(self.sites.largest) + np.sqrt(self.sites.squares[region.inside].max()))
        suspects = self.blocking.indices[scores > own[worst] - slack]
        suspects = suspects[~np.isin(suspects, region.let_in)] if len(region.let_in) else suspects
        return int(region.inside[worst]), suspects

    def goal_sizes(self, norm: str) -> Array:
        """Return how far the goals themselves are in a norm ``(O,)``."""
        if norm == "l2":
            sizes: Array = np.sqrt(2 * self.to_goals.clip(0))
            return sizes
        parts = [np.abs(self.sites.points[part] - self.x).max(1) for part in self.goals.parts]
        return np.concatenate(parts)

    def shared(self, goals: Indices) -> NDArray[np.bool_]:
        """Tell which goals ``(K,)`` are at one place with a blocking site."""
        places = self.sites.places
        return np.isin(places[goals], places[self.blocking.indices])

    def first_bounds(self, norm: str) -> Array:
        """Return for every goal how far its cell is at least ``(O,)``, by the row of the nearest blocking site."""
        points, nearest = self.sites.points, self.near[0]
        there = points[nearest]
        if norm == "linf" or len(self.x) <= DIRECT:
            parts = [cdist(points[part], there[None], DUAL[norm])[:, 0] for part in self.goals.parts]
            sizes = parts[0] if len(parts) == 1 else np.concatenate(parts)
        else:
            squares, singles = self.sites.squares, self.sites.singles
            products = np.concatenate([singles[part] @ singles[nearest] for part in self.goals.parts])
            slack = 4 * (len(there) + 8) * SINGLE * self.sites.largest
            sizes = np.sqrt((self.goals.of(squares) + squares[nearest] - 2 * products).clip(0) + slack)
        lowest: Array = (self.to_goals - self.halves[nearest] - 2 * self.error) / np.maximum(sizes, TINY)
        return lowest

    def bounds(self, goals: Indices, norm: str) -> Array:
        """Return for some goals how far their cells are at least ``(K,)``, by the rows of all sites at hand."""
        there = self.sites.points[goals]
        if norm == "linf" or len(self.x) <= DIRECT:
            sizes = cdist(there, self.near_points, DUAL[norm])
        else:
            squares = self.sites.squares
            gaps = squares[goals, None] + squares[self.near] - 2 * there @ self.near_points.T
            sizes = np.sqrt(gaps.clip(0) + 4 * self.error)
        rises = self.halves[goals, None] - self.halves[self.near] - 2 * self.error
        lowest: Array = (rises / np.maximum(sizes, TINY)).max(1)
        return lowest
