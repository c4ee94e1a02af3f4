"""What OPT and Sign-OPT share: the way from a sample is turned so that the boundary comes nearer along it."""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from aal.attacks.base import FROM_0, FROM_1, PerSample, column, divisor
from aal.attacks.hard_label import HardLabel
from aal.attacks.label_search import MORE, LabelSearch, rowwise
from aal.checks import positive

TURN = 0.2  # the first turn, in radians as long as it is small
TRIES = 6  # turns tried down one slope
BACK = 0.01  # share of a way that is gone back first where a turn is better
FINER, FINEST = 0.1, 1e-3  # of the smoothing: what is left of it where no turn is better; the least there is
PRECISION = 0.02  # of the smoothing: share of a way within which its length is known
DRAWS, TURNS = 128, 1 << 28  # draws of directions for a slope, and for a restart


class Rays(PerSample):
    """Straight ways from samples to the boundary.

    Attributes:
        rows: The samples ``(N,)``.
        ends: Points that reach the goal, hardly beyond the boundary ``(N, ...)``.
        turn: By how much to turn next ``(N,)``.
        smoothing: How far around the slope is taken ``(N,)``, as a share of the ways' lengths.
    """


@dataclass(frozen=True, kw_only=True)
class RayDescent(HardLabel):
    """The attacks that minimize the boundary's distance over directions.

    In L-inf, for which the papers do not say how, directions around a way are projected onto the ball that it ends at,
    and turns follow the slope's signs.

    Args:
        restarts: How often the search begins anew where no turn makes a way shorter, while queries are left; at least
            0.
        directions: Directions around a way from which the slope is estimated, at least 1.
        smoothing: How far around, as a share of the way's length, above 0.

    Raises:
        UserError: A value outside its range.
    """

    restarts: int = 10
    directions: int = 200
    smoothing: float = 0.001
    ranges = HardLabel.ranges | {"restarts": FROM_0, "directions": FROM_1, "smoothing": positive}

    @property
    def precision(self) -> float:
        """Share of a way within which its length is known."""
        return PRECISION * self.smoothing

    def search(self, search: LabelSearch, rows: Tensor) -> None:
        """Descend from the best of some first directions, and again from others."""
        for restart in range(self.restarts + 1):
            rows = rows[search.box.left(rows) > 0]
            if len(rows) == 0:
                break
            given = search.task.start if restart == 0 else None
            found, ends = search.first(rows, given, self.starts, restart * MORE * self.starts)
            rows = found if restart == 0 else rows  # what no point reaches is given up
            self._descend(search, found, ends, restart * TURNS)

    def _descend(self, search: LabelSearch, rows: Tensor, ends: Tensor, draw: int) -> None:
        """Turn the ways from ``rows`` ``(N,)`` to ``ends`` ``(N, ...)`` until no turn makes them shorter."""
        ends = search.shorten(rows, ends, self.precision)
        turn = ends.new_full((len(rows),), TURN)
        rays = Rays(rows=rows, ends=ends, turn=turn, smoothing=torch.full_like(turn, self.smoothing))
        for step in count():
            left = (search.box.left(rays.rows) > 1) & (rays.smoothing >= FINEST * self.smoothing)
            rays = rays.take(left)
            if len(rays.rows) == 0:
                break
            self._turn(search, rays, self.slope(search, rays, draw + step * DRAWS))

    @abstractmethod
    def slope(self, search: LabelSearch, rays: Rays, draw: int) -> Tensor:
        """Return which ways to turn the boundary is farther ``(N, ...)``, of length 1 in L2."""

    def around(self, search: LabelSearch, rays: Rays, u: Tensor, scale: Tensor) -> Tensor:
        """Return points on ways around the rays ``(N, M, ...)``, no farther than their ends.

        Args:
            search: The search.
            rays: Of N samples.
            u: Directions ``(N, M, ...)``.
            scale: What makes them of length 1 in L2 ``(N, M)``.
        """
        way = rays.ends - search.task.x[rays.rows]
        reach = rays.smoothing * torch.linalg.vector_norm(way.flatten(1), dim=1)
        return self._onto(search, rays, torch.addcmul(way[:, None], u, rowwise(scale * reach[:, None], way)))

    def _onto(self, search: LabelSearch, rays: Rays, ways: Tensor, share: float = 1.0) -> Tensor:
        """Return points along ``ways`` ``(N, M, ...)`` on the balls that rays end at, or on smaller ones by a share."""
        task, x = search.task, search.task.x[rays.rows]
        size = share * search.norm.size(rays.ends - x)
        if self.norm == "linf":
            reach = column(size, x)[:, None]
            ways = ways.clamp(-reach, reach)
        else:
            sizes = search.norm.size(ways.flatten(0, 1)).view(ways.shape[:2])
            ways = ways * rowwise(size[:, None] / divisor(sizes), x)
        return ways.add_(x[:, None]).clamp_(task.low, task.high)

    def _turn(self, search: LabelSearch, rays: Rays, slope: Tensor) -> None:
        """Turn rays down the slope, twice as far each time that it makes them shorter, or else less and less far."""
        way = rays.ends - search.task.x[rays.rows]
        if self.norm == "linf":
            slope = slope.sign() / slope[:1].numel() ** 0.5
        slope = slope * column(torch.linalg.vector_norm(way.flatten(1), dim=1), slope)
        better = torch.zeros_like(rays.rows, dtype=torch.bool)
        entries = torch.arange(len(better), device=better.device)
        for _ in range(TRIES):
            entries = search.able(rays.rows, entries)
            if len(entries) == 0:
                break
            some = rays.take(entries)
            turned = torch.addcmul(way[entries], slope[entries], column(some.turn, slope), value=-1)
            points = self._onto(search, some, turned[:, None], 1 - self.precision)[:, 0]
            reached = search.box.reaches(points, some.rows)
            won, lost = entries[reached], entries[~reached]
            rays.ends[won] = search.shorten(some.rows[reached], points[reached], self.precision, BACK)
            rays.turn[won] *= 2
            rays.turn[lost] *= torch.where(better[lost], 0.5, 0.25)
            better[won] = True
            entries = torch.cat([won, lost[~better[lost]]])
        rays.turn.copy_(torch.where(better, rays.turn, TURN))
        rays.smoothing.mul_(torch.where(better, 1.0, FINER))
