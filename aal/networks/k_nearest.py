"""The k nearest of many points, exactly: a product in float32 rules out most, differences in float64 settle the rest.

The product goes over the points in stages, each twice as long as all before it, so that the bound that a stage is
judged by is never far from the last one, and what has to be kept beside it is about k points a stage.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aal.distances import COLUMNS, ROWS, Frame, full, squares_of_pairs, whole_float32

FIRST = 32  # points of the first stage, at least, or 2k
SMALL = 2**18  # distances, and coordinates of points, that the first stage may hold for k = 1: more stages take longer
KEPT = 2**22  # numbers that are kept for a block of samples: 100 MB with all that belongs to them


@dataclass(frozen=True)
class Pairs:
    """Pairs of a sample and a point, in the order of the points for each sample.

    Attributes:
        rows: The samples' rows ``(P,)``.
        columns: The points' ``(P,)``.
        least: What the squared distances are at least ``(P,)``, in the units of a frame and without the sample's part.
    """

    rows: Tensor
    columns: Tensor
    least: Tensor

    def where(self, mask: Tensor) -> "Pairs":
        """Return the pairs that a mask ``(P,)`` marks."""
        return Pairs(self.rows[mask], self.columns[mask], self.least[mask])

    @staticmethod
    def joined(parts: list["Pairs"]) -> "Pairs":
        """Return the pairs of some parts, one after the other."""
        return Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in ("rows", "columns", "least")))


@whole_float32()
def k_nearest(x: Tensor, points: Tensor, k: int) -> Tensor:
    """Return which points are nearest to samples.

    Where points at one distance compete for the last places, those win that are left on the heap by which scikit-learn
    does it: each point in turn takes the place of the farthest so far if it is nearer, and of several farthest ones the
    one that is on top of the heap gives way. (scikit-learn itself does so on one thread, and on several where there are
    more samples than points, or 256 points at most.)

    Args:
        x: Samples ``(B, D)``, finite.
        points: The points ``(N, D)``, finite.
        k: How many are sought, from 1.

    Returns:
        Their rows ``(B, min(k, N))``, in no particular order.
    """
    x, points, k = full(x), full(points), min(k, len(points))
    if k == len(points):
        return torch.arange(k, device=x.device).expand(len(x), k)
    frame = Frame.of(points, x)
    size = max(1, min(ROWS, KEPT // (32 * k)))
    parts = [_of_block(frame, part, points, k) for part in x.split(size)]
    return torch.cat(parts) if parts else x.new_empty(0, k, dtype=torch.int64)


def _of_block(frame: Frame, x: Tensor, points: Tensor, k: int) -> Tensor:
    """Return the nearest points of a block of samples, in halves where too much would have to be kept."""
    first = max(FIRST, 2 * k) if k > 1 else max(FIRST, SMALL // max(x.shape))  # a heap takes each point of it in turn
    first = min(first, len(points))
    kept = _candidates(frame, x, points, k, first)
    if kept is None:
        return torch.cat([_of_block(frame, half, points, k) for half in x.tensor_split(2)])
    candidates, limit = kept
    near = candidates.where(candidates.least <= limit[candidates.rows])
    squared = squares_of_pairs(x, points, (near.rows, near.columns))
    order = squared.argsort(stable=True)
    order = order[near.rows[order].argsort(stable=True)]
    begins = torch.searchsorted(near.rows[order], torch.arange(len(x) + 1, device=x.device))
    places = begins[:-1, None] + torch.arange(k, device=x.device)
    found = near.columns[order[places]]
    if k > 1:
        squared = squared[order]
        last, more = places[:, -1], begins[1:] - begins[:-1] > k
        rows = (more & (squared[last] == squared[last + more])).nonzero()[:, 0]
        if len(rows):
            found[rows] = _left_on_heap(x, points, k, first, candidates, rows)
    return found


def _candidates(frame: Frame, x: Tensor, points: Tensor, k: int, first: int) -> tuple[Pairs, Tensor] | None:
    """Return what may be among the k nearest of all points up to it, and what the nearest of all points are at most.

    Returns:
        The pairs, of the first stage only those that may be among the nearest in the end; and for each sample ``(B,)``
        a bound in the pairs' units. ``None`` where these are too many and there is more than one sample.
    """
    placed, norms = frame.place(x)
    own = 2 * (frame.loss * norms + frame.least)  # what a sample adds to the width of its bounds
    part, widths = _least(frame, placed, points[:first])
    most = part + _float_above(widths)  # in float32, of all pairs; what the sum was rounded by is added to the lowest
    most = most.amin(1, keepdim=True) if k == 1 else most.topk(k, dim=1, largest=False).values
    most = _float_above(most).double()
    limit = _float_above(most.amax(1) + own)
    rows, columns = (part <= limit[:, None]).nonzero(as_tuple=True)
    kept, count, end = [Pairs(rows, columns, part[rows, columns])], len(rows), first
    while end < len(points):
        stage, uppers, begin, end = [], [], end, min(2 * end, len(points))
        for start in range(begin, end, COLUMNS):
            part, widths = _least(frame, placed, points[start : min(start + COLUMNS, end)])
            rows, columns = (part <= limit[:, None]).nonzero(as_tuple=True)
            least = part[rows, columns]
            stage.append(Pairs(rows, columns + start, least))
            uppers.append(least + widths[columns])
            count += len(rows)
            if count > KEPT and len(x) > 1:
                return None
        kept += stage
        most = _lowest(most, torch.cat([pairs.rows for pairs in stage]), torch.cat(uppers))
        limit = _float_above(most.amax(1) + own)
    return Pairs.joined(kept), limit


def _least(frame: Frame, placed: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return what squared distances are at least, in float32, and in float64 the widths of the bounds.

    Both are without what the samples add: the true squares in the frame, less ``(1 - loss)`` times the sample's squared
    norm, are no lower than the one and no higher than the sum, but for twice what ``loss`` makes of that norm.
    """
    there, norms = frame.place(points)
    part = torch.addmm(((1 - frame.loss) * norms).float(), placed, there.T, alpha=-2)
    return part, 2 * frame.loss * norms


def _lowest(most: Tensor, rows: Tensor, more: Tensor) -> Tensor:
    """Return the lowest of some numbers a row ``(B, k)`` and more ``(P,)`` of ``rows`` ``(P,)``, ``(B, k)``."""
    if not len(rows):
        return most
    (size, k), device = most.shape, most.device
    values = torch.cat([most.flatten(), more])
    rows = torch.cat([torch.arange(size, device=device).repeat_interleave(k), rows])
    order = values.argsort()
    order = order[rows[order].argsort(stable=True)]
    begins = torch.searchsorted(rows[order], torch.arange(size, device=device))
    return values[order[begins[:, None] + torch.arange(k, device=device)]]


def _float_above(limit: Tensor) -> Tensor:
    """Return float32 numbers that are no lower."""
    single = limit.float()
    return single.nextafter(single.new_tensor(math.inf))


def _left_on_heap(x: Tensor, points: Tensor, k: int, first: int, candidates: Pairs, rows: Tensor) -> Tensor:
    """Return what is left on the heaps of some samples when the points that may get onto them have been pushed in turn.

    Args:
        x: The samples ``(B, D)``.
        points: The points ``(N, D)``.
        k: Places on a heap.
        first: Points that are pushed in any case.
        candidates: Those that may be nearer than what is on the heap when their turn comes.
        rows: The samples' rows ``(R,)``, ascending.

    Returns:
        Rows of the points ``(R, k)``.
    """
    beyond = candidates.where(torch.isin(candidates.rows, rows) & (candidates.columns >= first))
    number = torch.searchsorted(rows, beyond.rows)
    numbers = torch.cat([torch.arange(len(rows), device=x.device).repeat_interleave(first), number])
    columns = torch.cat([torch.arange(first, device=x.device).repeat(len(rows)), beyond.columns])
    order = numbers.argsort(stable=True)
    numbers, columns = numbers[order], columns[order]
    squared = squares_of_pairs(x[rows], points, (numbers, columns))
    values, pushed = squared.cpu().numpy(), columns.cpu().numpy()
    begins = np.searchsorted(numbers.cpu().numpy(), np.arange(len(rows) + 1))
    heaps = Heaps.empty(len(rows), k)
    for turn in range(int((begins[1:] - begins[:-1]).max())):
        places = begins[:-1] + turn
        going = np.flatnonzero(places < begins[1:])
        heaps.push(going, values[places[going]], pushed[places[going]])
    return torch.from_numpy(heaps.columns.reshape(len(rows), k)).to(x.device)


@dataclass(frozen=True)
class Heaps:
    """Heaps of the lowest numbers so far, one a row, with the highest of them on top; all are pushed onto at once.

    Which of several equal numbers gives way is as in scikit-learn's ``heap_push``.

    Attributes:
        values: The numbers ``(R k,)``, infinite where there are none yet.
        columns: What each belongs to ``(R k,)``.
        size: Numbers on a heap, k.
    """

    values: NDArray[np.float64]
    columns: NDArray[np.int64]
    size: int

    @classmethod
    def empty(cls, rows: int, size: int) -> Self:
        """Return heaps with nothing on them."""
        return cls(np.full(rows * size, math.inf), np.full(rows * size, -1), size)

    def push(self, rows: NDArray[np.int64], values: NDArray[np.float64], columns: NDArray[np.int64]) -> None:
        """Push a number onto each of some heaps, if it is below what is on top.

        Args:
            rows: The heaps, ``(P,)`` different ones.
            values: The numbers ``(P,)``.
            columns: What they belong to ``(P,)``.
        """
        lower = np.flatnonzero(values < self.values[rows * self.size])
        tops, values, columns = rows[lower] * self.size, values[lower], columns[lower]
        at = np.zeros_like(tops)
        down = np.arange(len(tops))  # those that have farther to go
        while len(down):
            left = 2 * at[down] + 1
            down, left = down[left < self.size], left[left < self.size]
            top = tops[down]
            right = np.minimum(left + 1, self.size - 1)
            child = np.where(self.values[top + right] > self.values[top + left], right, left)  # if equal the left one
            farther = self.values[top + child] > values[down]
            down, child, top = down[farther], child[farther], top[farther]
            here, there = top + at[down], top + child
            self.values[here], self.columns[here] = self.values[there], self.columns[there]
            at[down] = child
        self.values[tops + at], self.columns[tops + at] = values, columns
