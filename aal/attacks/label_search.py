"""The steps that searches by labels alone consist of: first points, ways to the boundary, estimates of its normal."""

from collections.abc import Callable

import torch
from torch import Tensor

from aal.attacks.base import PerSample, Task, column, divisor
from aal.attacks.black_box import BlackBox
from aal.attacks.draws import uniform
from aal.attacks.noise_table import NoiseTable
from aal.attacks.norms import Norm
from aal.attacks.tensors import Ends

BLOCK = 100  # directions that are looked up at once; more would only take more memory
ROUGH = 0.01  # share of a way within which the boundary is found on the way to a first point
HALVINGS = 60  # of a way, at most
FIRST = 1 << 40  # draws of first points, apart from those of directions
GROUP = 10  # first points tried at once
MORE = 10  # times as many random points where none of those that are asked for reaches the goal
SCALES = 4  # of steps to first points where the data's range has ends, 8**0 to 8**-3 of it
SIZES = 9  # of steps to first points where the data's range has no ends, 8**-1 to 8**7 of the sample's largest number

Between = Callable[[Tensor, Tensor, Tensor], Tensor]
Perturbed = Callable[[Tensor, Tensor, Tensor], Tensor]


class _Firsts(PerSample):
    """First points.

    Attributes:
        rows: The samples ``(N,)``.
        points: The points ``(N, ...)``.
        size: How far they are away ``(N,)``, infinite where there is none.
    """


class LabelSearch:
    """One call of a hard-label attack.

    Args:
        task: The task.
        norm: The norm that is minimized.
        queries: Most queries for a sample.
        chunk: Most points the model is asked about at once.
        between: Returns points at shares ``(N,)`` of ways from samples to points ``(N, ...)``.

    Attributes:
        task: The task.
        norm: The norm that is minimized.
        box: Answers, counts and grants queries.
        best: The nearest points that reach the goal so far.
        noise: Random directions.
    """

    def __init__(self, task: Task, norm: Norm, queries: int, chunk: int, between: Between) -> None:
        self.task, self.norm, self._between = task, norm, between
        self.box = BlackBox(task, queries, chunk)
        self.best, self.noise = Ends.none(task.x), NoiseTable(task.x)

    def keep(self, rows: Tensor, points: Tensor, reached: Tensor) -> None:
        """Keep the points ``(N, ...)`` of ``rows`` ``(N,)`` that reach the goal, where they are the nearest so far."""
        self.best.improve(rows, points, reached, self.norm.size(points - self.task.x[rows]))

    def able(self, rows: Tensor, entries: Tensor) -> Tensor:
        """Return those of the ``entries`` ``(K,)`` of ``rows`` ``(N,)`` that have queries left."""
        return entries[self.box.left(rows[entries]) > 0]

    def first(self, rows: Tensor, given: Tensor | None, starts: int, draw: int) -> tuple[Tensor, Tensor]:
        """Look for first points that reach the goal.

        Once there is one, others are looked at as near as the best so far, or nearer, so that what is no better costs
        one query.

        Args:
            rows: The samples ``(N,)``.
            given: Points to try first ``(B, S, ...)``, if there are any.
            starts: Random points to try where none of those reaches it; :data:`MORE` times as many where none does.
            draw: Number of the first random one; another has others.

        Returns:
            The rows ``(K,)`` for which there is one, and the points ``(K, ...)``.
        """
        x = self.task.x[rows]
        firsts = _Firsts(rows=rows, points=x.clone(), size=x.new_full((len(rows),), torch.inf))
        entries = torch.arange(len(rows), device=rows.device)
        for far in () if given is None else given[rows].split(GROUP, dim=1):
            entries = self.able(rows, entries)
            distance = self._sizes(far[entries] - x[entries, None])
            self._try(firsts, entries, far[entries], distance, distance.minimum(firsts.size[entries, None]))
        entries = entries[firsts.size[entries] == torch.inf]
        for begin in (*range(0, starts, GROUP), *range(starts, MORE * starts, GROUP)):
            entries = entries if begin < starts else entries[firsts.size[entries] == torch.inf]
            entries = self.able(rows, entries)
            if len(entries) == 0:
                break
            turns = torch.arange(begin, begin + GROUP, device=rows.device)
            turns = turns[turns < (starts if begin < starts else MORE * starts)]
            far, nearer = self._random(rows[entries], draw + begin, turns)
            distance, size = self._sizes(far - x[entries, None]), firsts.size[entries, None]
            self._try(firsts, entries, far, distance, torch.where(size.isfinite(), nearer * size, distance))
        found = firsts.size.isfinite()
        return rows[found], firsts.points[found]

    def _sizes(self, ways: Tensor) -> Tensor:
        """Return the norms ``(N, M)`` of ways ``(N, M, ...)``."""
        return self.norm.size(ways.flatten(0, 1)).view(ways.shape[:2])

    def _try(self, firsts: _Firsts, entries: Tensor, far: Tensor, distance: Tensor, size: Tensor) -> None:
        """Ask about points on ways to others, and search before the nearest of those that reach the goal.

        Args:
            firsts: What is known so far, of N samples.
            entries: Which of them ``(K,)``.
            far: Where ways lead ``(K, M, ...)``.
            distance: How far that is ``(K, M)``.
            size: How far to go ``(K, M)``.
        """
        x = self.task.x[firsts.rows[entries]]
        share = torch.where(size == distance, 1, size / divisor(distance))
        points = x[:, None].lerp(far, rowwise(share, x)).clamp_(self.task.low, self.task.high)
        reached, _ = self.box.ask(points, firsts.rows[entries])
        nearest = torch.where(reached, size, torch.inf).argmin(1)
        some = reached.any(1)
        rows, points = firsts.rows[entries[some]], points[some, nearest[some]]
        ends = self.shorten(rows, points, ROUGH)
        sizes = self.norm.size(ends - self.task.x[rows])
        firsts.put(entries[some], _Firsts(rows=rows, points=ends, size=sizes))

    def _random(self, rows: Tensor, draw: int, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Return random points ``(N, M, ...)``, and how near to look, as shares of the best so far, ``(N, M)``.

        They are around the samples, and where the range has ends, anywhere in it as well; noise all over the range is
        of one class to many models, hence some are of nearly one color, at any level. Every other two are looked at
        nearer than the best, since there may be something small.

        Args:
            rows: The samples ``(N,)``.
            draw: Number of the draw.
            turns: Numbers of the points ``(M,)``, which say of which kind they are.
        """
        x, low, high, seeds = self.task.x[rows], self.task.low, self.task.high, self.task.seeds[rows]
        u = self.noise.directions(seeds, FIRST + draw, len(turns))[0]
        nearer, level, width = uniform(seeds, 2 * FIRST + draw, (3, len(turns)), x.dtype).unbind(1)
        nearer = torch.where(turns % 4 > 1, nearer, 1)
        if not high - low < torch.inf:
            largest = x.flatten(1).abs().amax(1)
            scale = torch.where(largest > 0, largest, 1)[:, None] * 8.0 ** (turns % SIZES - 1)
            return x[:, None] + rowwise(scale, x) * u, nearer
        anywhere = turns % 2 == 1
        scale = (high - low) * torch.where(anywhere, width, 8.0 ** -(turns // 2 % SCALES).to(x.dtype))
        middle = torch.where(rowwise(anywhere[None], x), low + (high - low) * rowwise(level, x), x[:, None])
        return (middle + rowwise(scale, x) * u).clamp_(low, high), nearer

    def shorten(self, rows: Tensor, far: Tensor, precision: float, first: float = 1.0) -> Tensor:
        """Search for the boundary between samples and points that reach the goal.

        Args:
            rows: The samples ``(N,)``.
            far: The points ``(N, ...)``.
            precision: Share of the way from a sample to the boundary within which this is found.
            first: Share of the way that is gone back first, and four times as much each time that it is too little.

        Returns:
            The nearest points seen that reach the goal ``(N, ...)``.
        """
        low, high, points = far.new_zeros(len(far)), far.new_ones(len(far)), far.clone()
        entries = torch.arange(len(rows), device=rows.device)
        for _ in range(HALVINGS):
            entries = self.able(rows, entries[high[entries] - low[entries] > precision * high[entries]])
            if len(entries) == 0:
                break
            under, over, of = low[entries], high[entries], rows[entries]
            share = (under + over) / 2
            if first < 0.5:
                share = torch.where(under > 0, share, over * (1 - first))
            point = self._between(self.task.x[of], far[entries], share).clamp_(self.task.low, self.task.high)
            reached = self.box.reaches(point, of)
            low[entries], high[entries] = torch.where(reached, under, share), torch.where(reached, share, over)
            points[entries] = torch.where(column(reached, point), point, points[entries])
            first *= 4
        self.keep(rows, points, torch.ones_like(rows, dtype=torch.bool))
        return points

    def votes(self, rows: Tensor, centre: Tensor, n: int, draw: int, perturbed: Perturbed) -> Tensor:
        """Estimate which way the goal lies from points on the boundary, by whether points around them reach it.

        The answers, 1 or -1, less their mean, weigh the perturbations; where all are the same, they themselves do. A
        fifth of a sample's queries is left for what is done with the estimate.

        Args:
            rows: The samples ``(N,)``.
            centre: The points ``(N, ...)``.
            n: Points around each; fewer are asked about where the budget is nearly spent.
            draw: Number of the first draw of directions; each gives :data:`BLOCK`.
            perturbed: Makes new points ``(K, M, ...)`` of entries ``(K,)``, directions and their scales.

        Returns:
            The way ``(N, ...)``, of length 1 in L2, or 0 where nothing is known.
        """
        allowed = self.box.left(rows) * 4 // 5
        sums, total = centre.new_zeros(len(rows), 2, centre[:1].numel()), centre.new_zeros(len(rows), 2)
        for part in torch.arange(len(rows), device=rows.device).split(max(self.box.chunk // BLOCK, 1)):
            for block, begin in enumerate(range(0, n, BLOCK)):
                turns = torch.arange(begin, min(begin + BLOCK, n), device=rows.device)
                u, scale = self.noise.directions(self.task.seeds[rows[part]], draw + block, len(turns))
                points = perturbed(part, u, scale)
                reached, asked = self.box.ask(points, rows[part], turns < allowed[part, None])
                weights = torch.stack([torch.where(reached, 1, -1) * asked, asked], dim=1).to(centre.dtype)
                sums[part] += weights @ points.sub_(centre[part][:, None]).flatten(2)
                total[part] += weights.sum(2)
        mean = total[:, :1] / total[:, 1:].clamp_min(1)
        way = sums[:, 0] - torch.where(mean.abs() == 1, 0, mean) * sums[:, 1]
        return unit(way).view_as(centre)


def unit(ways: Tensor) -> Tensor:
    """Return ways ``(N, D)`` of length 1 in L2; what is 0 stays 0."""
    longest = ways / divisor(ways.abs().amax(1))[:, None]  # the squares of tiny numbers vanish in single precision
    return longest / divisor(torch.linalg.vector_norm(longest, dim=1))[:, None]


def rowwise(values: Tensor, x: Tensor) -> Tensor:
    """Shape values ``(N, M)`` so that they multiply points ``(N, M, ...)`` around samples ``x`` ``(N, ...)``."""
    return values.view(*values.shape, *[1] * (x.ndim - 1))
