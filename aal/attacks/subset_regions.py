"""k-NN with k above 1: regions in which some k points are the nearest, found on the ways to the nearest goals."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from aal.attacks.cell_projection import Projection
from aal.attacks.cell_search import NearRegion
from aal.attacks.voronoi import DIRECT, DUAL, TINY, Array, Indices, Outlook, Region, Sites

WAYS, PARTS, HALVINGS = 20, 16, 40  # goals that ways lead to, where the vote is looked at on each, halvings of a part
FAR = 10.0  # of the farthest point's distance: no region is looked for beyond
STEPS = 10  # from a region to one that it meets and that is nearer
BEFORE = 1e-6  # of a distance: what lies so much before, or behind, a region's nearest point
VOTES = 1 << 22  # distances in memory at once


class Vote:
    """The vote of the ``k`` nearest sites, of which the lowest class wins a tie.

    Args:
        sites: The training set.
        k: Neighbours; all where there are fewer.
    """

    def __init__(self, sites: Sites, k: int) -> None:
        self.sites, self.k = sites, min(k, len(sites.points))
        self.classes, self._codes = np.unique(sites.labels, return_inverse=True)

    def members(self, points: Array) -> Indices:
        """Return the nearest sites of points ``(Q, D)``, ``(Q, k)``."""
        found = [np.empty((0, self.k), np.intp)]
        for start in range(0, len(points), max(1, VOTES // len(self.sites.points))):
            part = points[start : start + max(1, VOTES // len(self.sites.points))]
            if part.shape[1] <= DIRECT:
                gaps = cdist(part, self.sites.points, "sqeuclidean")
            else:
                gaps = self.sites.squares - 2 * part @ self.sites.points.T
            found.append(np.argpartition(gaps, self.k - 1, axis=1)[:, : self.k])
        return np.concatenate(found)

    def winners(self, points: Array) -> NDArray[np.int64]:
        """Return the class that wins at points ``(Q, D)``, ``(Q,)``."""
        codes = self._codes[self.members(points)]
        counts = np.zeros((len(points), len(self.classes)), np.int64)
        np.add.at(counts, (np.arange(len(points))[:, None], codes), 1)
        winners: NDArray[np.int64] = self.classes[counts.argmax(1)]
        return winners


def nearest_subset(look: Outlook, vote: Vote, project: Projection, ways: int | None) -> NearRegion:
    """Find a near region in which the vote is won by a goal's class.

    On the straight ways to the nearest goals the first point with such a vote is sought; the sample is projected on the
    region of that point's neighbours, and then on every nearer one that is met.

    Args:
        look: The sample's outlook.
        vote: The vote.
        project: What projects on a region.
        ways: Number of ways; ``None`` for ``WAYS``.

    Returns:
        The nearest region met; the certificate is what is known of all.
    """
    lowest = _certificate(look, vote, project.norm)
    search = _Search(look, vote, project)
    if search.won(np.zeros((1, len(look.x))))[0]:
        return NearRegion(0.0, 0.0, np.zeros_like(look.x))
    for look_there, region in search.starts(ways or WAYS):
        search.descend(look_there, region)
    found = search.found
    return NearRegion(found.distance, min(lowest, found.distance), found.move, found.region, None, search.count)


class _Search:
    """One sample's search among the regions of subsets."""

    def __init__(self, look: Outlook, vote: Vote, project: Projection) -> None:
        self.look, self.vote, self.project = look, vote, project
        self.found, self.count = NearRegion(np.inf, 0.0, np.zeros_like(look.x)), 0
        self._aims = np.unique(look.sites.labels[look.goals.indices])
        self._looks: dict[int, Outlook] = {}
        far = np.abs(look.sites.points - look.x).max(0)
        self._farthest = FAR * project.size(far)

    def won(self, moves: Array) -> NDArray[np.bool_]:
        """Tell whether a goal's class wins the vote after moves ``(Q, D)``, ``(Q,)``."""
        won: NDArray[np.bool_] = np.isin(self.vote.winners(self.look.x + moves), self._aims)
        return won

    def starts(self, ways: int) -> Iterator[tuple[Outlook, Region]]:
        """Give the regions to begin with: those that the ways meet, the nearest first, and those of goals in a row."""
        order = self.look.goal_sizes(self.project.norm).argsort(kind="stable")[:ways]
        goals = self.look.goals.indices[order]
        for move in self._ways(self.look.moves(goals)):
            yield self._region(move)
        known: set[bytes] = set()
        for goal in goals.tolist():
            for look, region in self._groups(goal):
                if (name := np.sort(region.inside).tobytes() + np.sort(region.let_in).tobytes()) not in known:
                    known.add(name)
                    yield look, region

    def _groups(self, goal: int) -> Iterator[tuple[Outlook, Region]]:
        """Give regions of a majority of one class, a goal among them, and of the blocking sites that are let in.

        Both are the nearest to the sample, or to the goal and to the middle of the group.
        """
        look, points, majority = (
            self._outlook(int(self.look.sites.labels[goal])),
            self.look.sites.points,
            self.vote.k // 2 + 1,
        )
        kin, blocking = look.goals.indices, look.blocking.indices
        for end in (points[goal], look.x):
            gaps = cdist(end[None], points[kin], "sqeuclidean")[0]
            gaps[kin == goal] = -1.0
            inside = kin[gaps.argsort(kind="stable")[:majority]]
            for middle in (look.x, points[inside].mean(0)):
                gaps = cdist(middle[None], points[blocking], "sqeuclidean")[0]
                if len(inside) == majority:
                    yield look, Region(inside, blocking[gaps.argsort(kind="stable")[: self.vote.k - majority]])

    def _ways(self, ends: Array) -> Array:
        """Return the first moves that win on the ways to some ends ``(Q, D)``, the shortest first."""
        shares = np.arange(1, PARTS + 1) / PARTS
        won = self.won((shares[:, None, None] * ends).reshape(-1, len(self.look.x))).reshape(PARTS, -1)
        ends, first = ends[won.any(0)], won.argmax(0)[won.any(0)]
        low, high = first / PARTS, (first + 1) / PARTS
        for _ in range(HALVINGS if len(ends) else 0):
            middle = 0.5 * (low + high)
            wins = self.won(middle[:, None] * ends)
            low, high = np.where(wins, low, middle), np.where(wins, middle, high)
        moves = (high * (1 + BEFORE)).clip(max=1)[:, None] * ends
        order = np.argsort([self.project.size(move) for move in moves], kind="stable")
        sorted_moves: Array = moves[order] if len(moves) else moves
        return sorted_moves

    def descend(self, look: Outlook, region: Region) -> None:
        """Project on a region, and then on those that it meets nearer to the sample."""
        for _ in range(STEPS):
            best = min(self.found.distance, self._farthest)
            nearest = self.project.nearest(look, region, best)
            self.count += 1
            if nearest.move is None or nearest.size >= best:
                return
            inside = self.project.nearest(look, replace(region, margin=BEFORE * nearest.size), 2 * best).move
            if inside is None or not self.won(inside[None])[0]:
                return
            self.found = NearRegion(nearest.size, 0.0, nearest.move, region)
            before = nearest.move * (1 - BEFORE)
            if not self.won(before[None])[0]:
                return
            look, region = self._region(before)

    def _outlook(self, winner: int) -> Outlook:
        """Return the outlook to a class."""
        if winner not in self._looks:
            self._looks[winner] = Outlook(self.look.sites, self.look.x, winner, True)
        return self._looks[winner]

    def _region(self, move: Array) -> tuple[Outlook, Region]:
        """Return the region of the neighbours after a move, and the outlook to the class that wins there."""
        vote, point = self.vote, self.look.x + move
        members = vote.members(point[None])[0]
        winner = int(vote.winners(point[None])[0])
        look, sites, labels = self._outlook(winner), self.look.sites.points, self.look.sites.labels
        own, others = members[labels[members] == winner], members[labels[members] != winner]
        majority = vote.k // 2 + 1
        if len(own) >= majority:  # these are enough, whoever the others are
            own = own[cdist(point[None], sites[own], "sqeuclidean")[0].argsort(kind="stable")[:majority]]
            blocking = look.blocking.indices
            gaps = cdist(point[None], sites[blocking], "sqeuclidean")[0]
            others = blocking[gaps.argsort(kind="stable")[: vote.k - majority]]
        return look, Region(own, others)


def _certificate(look: Outlook, vote: Vote, norm: str) -> float:
    """Return how far any vote for a goal's class is at least.

    Of ``k`` neighbours at least ``g`` are goals then, so that one is a goal but for the ``g - 1`` nearest, and no
    farther than one of the ``k - g + 1`` nearest blocking sites.
    """
    needed = -(-vote.k // (2 if not look.targeted else len(vote.classes)))
    goals = look.goals.indices[look.to_goals.argsort(kind="stable")[needed - 1 :]]
    blocking = look.blocking.indices[look.to_blocking.argsort(kind="stable")[: vote.k - needed + 1]]
    if not len(goals):
        return np.inf
    if len(blocking) <= vote.k - needed:
        return 0.0
    points = look.sites.points
    sizes = cdist(points[goals], points[blocking], DUAL[norm])
    rises = look.halves[goals, None] - look.halves[blocking] - 2 * look.error
    return max(0.0, float((rises / np.maximum(sizes, TINY)).min()))
