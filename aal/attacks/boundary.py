"""Ways to a decision boundary: the shortest one to a linear one; straight ones, turned and shortened to end at it."""

import torch
from torch import Tensor

from aal.attacks.base import PerSample, Task, column, divisor, gradient_of
from aal.attacks.margins import beyond
from aal.attacks.norms import NORMS, Norm

PRECISION = 1e-3  # share of a way within which the boundary is before its end
TURNS = (0.7, 0.2)  # how far a way is turned; where the boundary is curved the other way, all the way is too far
TRIES = 2  # points looked at on a way before a shorter one is looked for
LAST_TRIES = 20  # most points looked at on the last way; nearly always a few do
PATIENCE = 5  # points looked at on a way after which the search may be slow


class Ways(PerSample):
    """Straight ways from the samples, and between which two points of each the boundary lies.

    Attributes:
        far: Where the ways end ``(B, ...)``.
        low: The share of each way at which the goal is not reached ``(B,)``.
        high: The share of each way at which it is ``(B,)``.
        under: By how much it is reached at ``low``, below 0; it may be a guess, and serves only for guesses.
        over: By how much it is reached at ``high``, likewise.
        queries: Points looked at, int64 ``(B,)``.
    """

    @classmethod
    def none(cls, x: Tensor) -> "Ways":
        """Return ways that end where they begin, ``x`` ``(B, ...)``."""
        low, high, under, over = (x.new_zeros(len(x)) for _ in range(4))
        return cls(far=x.clone(), low=low, high=high, under=under, over=over, queries=torch.zeros_like(low).long())

    def lead(self, rows: Tensor, far: Tensor, under: Tensor, over: Tensor) -> None:
        """Let the ways of ``rows`` ``(N,)`` end at ``far`` ``(N, ...)``; ``under`` is at the sample, ``over`` there."""
        self.far[rows], self.low[rows], self.high[rows] = far, 0, 1
        self.under[rows], self.over[rows] = under.clamp_max(0), over

    def ends(self, task: Task, rows: Tensor) -> Tensor:
        """Return the nearest points known to reach the goal, of ``rows`` ``(N,)``."""
        return self._at(task, rows, self.high[rows])

    def shorten(self, task: Task, rows: Tensor, tries: int) -> None:
        """Search for the boundary along the ways of ``rows`` ``(N,)``, looking at up to ``tries`` points each.

        The margin is interpolated between the two ends. What is looked at is a little beyond where it is 0, and next a
        little before, so that two good guesses end the search; where it takes longer, it is the middle every other
        time.
        """
        for turn in range(tries):
            low, high = self.low[rows], self.high[rows]
            left = (high - low > PRECISION * high).nonzero().squeeze(1)  # waits for the device
            if len(left) == 0:
                break
            rows, low, high = rows[left], low[left], high[left]
            under, over = self.under[rows], self.over[rows]
            little = PRECISION / 2.1 * high
            guess = low + (high - low) * (under / (under - over))
            share = torch.where(guess + 1.5 * little < high, guess + little, guess - little)
            share = share.maximum(low + little / 2).minimum(high - little / 2)
            if turn >= PATIENCE and turn % 2:
                share = (low + high) / 2
            value = beyond(task, task.predict(self._at(task, rows, share), rows), rows)
            self.queries[rows] += 1
            reached = value > 0
            self.low[rows], self.high[rows] = torch.where(reached, low, share), torch.where(reached, share, high)
            self.under[rows] = torch.where(reached, under, value)
            self.over[rows] = torch.where(reached, value, over)

    def _at(self, task: Task, rows: Tensor, share: Tensor) -> Tensor:
        x = task.x[rows]
        return x.lerp(self.far[rows], column(share, x)).clamp_(task.low, task.high)


def onto_hyperplane(x: Tensor, slope: Tensor, rise: Tensor, norm: str, low: float, high: float) -> Tensor:
    """Return the smallest ``d`` along which a linear function rises as wanted and ``x + d`` stays within the range.

    Where the range does not reach so far, ``d`` rises as far as it does. Where the range has no ends and numbers do not
    reach so far, such as along a slope that all but vanishes, ``d`` is 0.

    An element gains ``|slope|`` per unit, and there is room for so much until it meets the end of the range. In L-inf
    all elements move alike until then, in L2 in proportion to their slope: for a time t the element moves
    ``min(t * speed, room)``. What is gained by then grows with t in pieces that are linear, from one element's meeting
    the end to the next one's; the piece in which it is enough gives t.

    Source: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", section
    2.1 (the problem; it is solved here by sorting the elements by when they meet the end).

    Args:
        x: Points ``(B, ...)`` within the range.
        slope: The linear function's gradient ``(B, ...)``.
        rise: By how much it must rise, or fall where negative, ``(B,)``.
        norm: In which norm ``d`` is smallest: ``linf`` or ``l2``.
        low: The lower end of the range.
        high: The upper end of the range.
    """
    scale = divisor(slope.flatten(1).abs().amax(1))  # squares of tiny slopes vanish in single precision
    w = slope.flatten(1) / scale[:, None] * rise.sign()[:, None]
    wanted = rise.abs() / scale
    room = torch.where(w > 0, high - x.flatten(1), x.flatten(1) - low).masked_fill_(w == 0, 0)
    gain = w.abs()
    speed = torch.where(w == 0, 1, gain) if norm == "l2" else torch.ones_like(w)
    ends, order = (room / speed).sort(1)
    moving = (gain * speed).gather(1, order).flip(1).cumsum(1).flip(1)  # gained per unit of time from here on
    gained = (gain * room).gather(1, order).cumsum(1)
    before = torch.cat([torch.zeros_like(gained[:, :1]), gained[:, :-1]], dim=1)  # by the elements that do not move
    times = torch.where(moving > 0, (wanted[:, None] - before) / moving, torch.inf)
    piece = (times > ends).sum(1, keepdim=True)
    last = times.shape[1] - 1
    time = times.gather(1, piece.clamp_max(last)).masked_fill_(piece > last, torch.inf)
    d = (time * speed).minimum(room).mul_(w.sign())
    # squares of what is farther are infinite, and so may be what a model makes of it
    farthest = torch.finfo(x.dtype).max ** 0.5 * x.flatten(1).abs().amax(1, keepdim=True).clamp_min(1)
    return d.masked_fill_(~(d.abs().amax(1, keepdim=True) < farthest), 0).view_as(x)


def refine(task: Task, norm: str, ways: Ways, rows: Tensor, times: int) -> None:
    """Turn ways towards the nearest point of the boundary while that makes them shorter, and end them at the boundary.

    The boundary is linearised at the end of each way, and the way turned towards its point nearest to the sample: where
    the two agree, no point of the boundary nearby is nearer.

    Args:
        task: The task.
        norm: The norm of distances, ``linf`` or ``l2``.
        ways: The ways, some of which end beyond the boundary.
        rows: The rows ``(N,)`` of those.
        times: How often each is turned at most.
    """
    turning = rows
    for _ in range(times):
        if len(turning) == 0:
            break
        ways.shorten(task, turning, TRIES)
        x, (end, logits) = task.x[turning], task.look(ways.ends(task, turning), turning)
        over = beyond(task, logits, turning)
        ways.queries[turning] += 1
        slope = finite(gradient_of(over, end, torch.ones_like(over)))
        way = end.detach() - x
        nearest = onto_hyperplane(x, slope, _along(slope, way) - over.detach(), norm, task.low, task.high)
        turning = _turn(task, NORMS[norm], ways, turning, way, nearest, slope)
    ways.shorten(task, rows, LAST_TRIES)


def _turn(task: Task, norm: Norm, ways: Ways, rows: Tensor, way: Tensor, to: Tensor, slope: Tensor) -> Tensor:
    """Turn ways, of ``rows`` ``(N,)``, where one that is a little shorter then leads beyond the boundary too.

    Args:
        task: The task.
        norm: The norm of distances.
        ways: Where to put the turned ways.
        rows: The rows.
        way: The perturbations so far ``(N, ...)``.
        to: The perturbations to turn to ``(N, ...)``.
        slope: The gradient at the ends ``(N, ...)``, from which the search along the new ways starts.

    Returns:
        The rows that were turned.
    """
    turned = []
    for share in TURNS:
        x, d = task.x[rows], way.lerp(to, share)
        shorter = (1 - 2 * PRECISION) * norm.size(way)
        far = d.mul_(column(shorter / divisor(norm.size(d)), d)).add_(x).clamp_(task.low, task.high)
        over = beyond(task, task.predict(far, rows), rows)
        ways.queries[rows] += 1
        under = over - _along(slope, far - x)  # a guess: what it would be at the sample if nothing were curved
        better, left = (over > 0).nonzero().squeeze(1), (over <= 0).nonzero().squeeze(1)  # waits for the device
        ways.lead(rows[better], far[better], under[better], over[better])
        turned.append(rows[better])
        rows, way, to, slope = (t[left] for t in (rows, way, to, slope))
        if len(rows) == 0:
            break
    return torch.cat(turned)


def finite(slope: Tensor) -> Tensor:
    """Return a gradient with 0 for what is not finite: nothing is to be gained by following that."""
    return slope.nan_to_num(0, 0, 0)


def _along(slope: Tensor, d: Tensor) -> Tensor:
    """Return by how much linear functions with slopes ``(N, ...)`` rise along ``d`` ``(N, ...)``."""
    return (slope * d).flatten(1).sum(1)
