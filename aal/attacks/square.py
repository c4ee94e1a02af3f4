"""Square Attack: a black box's margin, lowered by random squares that are kept where they help, a batch at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_2, Adversarial, Task, WithinRadius, column, divisor
from aal.attacks.draws import uniform
from aal.attacks.margins import lead
from aal.checks import positive, refuse

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # when the squares' area is halved, of so many queries:
PERIOD = 10_000
TILES = 5  # along each side of the image
NOTHING = 1e-5  # what is left of 1 where there is nothing left but for rounding


@dataclass(frozen=True, kw_only=True)
class Square(WithinRadius):
    """Change a square of the image at random, and keep the change where it brings the sample nearer to the goal.

    A black box: only the model's outputs are used, no gradient. A sample is finished once it is fooled.

    Samples need be no images: of ``(B, C, ..., W)`` what is between channels and the last dimension is taken as the
    height; ``(B, T)`` is one row of one channel, and the squares are intervals of it.

    Source: Andriushchenko, Croce, Flammarion and Hein, "Square Attack", Algorithms 1 to 3, and the schedule of its
    section 5. In L-inf a square that would change nothing has the other signs.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        queries: Most queries of the model for a sample, at least 2; the first is for the sample itself.
        area: Share of the image that the first squares take up, above 0 and at most 1.

    Raises:
        UserError: A value outside its range.
    """

    queries: int = 5000
    area: float = 0.8
    ranges = WithinRadius.ranges | {"queries": FROM_2, "area": positive}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(self.area > 1, f"area: must be at most 1, got {self.area}")

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (the point that fools the model, or else the one nearest to it; where the goal is reached to begin
            with, the sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``margin`` by which
            the goal is reached, below 0 where it is not.
        """
        rows, found, queries = task.rows, task.x.clone(), torch.zeros_like(task.rows)
        success = torch.zeros_like(queries, dtype=torch.bool)
        margins = task.x.new_full((len(found),), -torch.inf)
        origin = best = task.x[rows]
        for query in range(self.queries):
            x = best if query == 0 else self._proposal(task, rows, origin, best, query)
            logits = task.predict(x, rows)
            queries[rows] += 1
            value, fooled = lead(task, logits, rows), task.reached(logits, task.labels[rows])
            # The first perturbed point is taken in any case: squares change a perturbation, not the sample.
            better = fooled | (value > margins[rows]) | (query == 1)
            best = torch.where(column(better, x), x, best)
            margins[rows] = torch.where(better, value, margins[rows])
            left = (~fooled).nonzero().squeeze(1)  # the one thing in a step that waits for the device
            if len(left) < len(rows):
                found[rows], success[rows] = best, fooled
                rows, origin, best = rows[left], origin[left], best[left]
            if len(rows) == 0:
                break
        found[rows] = best
        return Adversarial(found, success, self.ball.size(found - task.x), queries, {"margin": margins})

    def _proposal(self, task: Task, rows: Tensor, origin: Tensor, best: Tensor, query: int) -> Tensor:
        """Return the points ``(N, ...)`` to try next, within ball and bounds."""
        x, now, seeds = as_image(origin), as_image(best), task.seeds[rows]
        size = window_size(self.area, query, self.queries, *x.shape[2:])
        if self.norm == "linf":
            if query == 1:
                new = x + stripes(x, self.radius, seeds)
            else:
                new = linf_square(x, now, self.radius, task.low, task.high, seeds, query, size)
        else:
            d = tiles(x, self.radius, seeds) if query == 1 else l2_square(x, now, self.radius, seeds, query, size)
            new = x + self.ball.project(d, self.radius)
        return new.clamp_(task.low, task.high).reshape(origin.shape)


def as_image(x: Tensor) -> Tensor:
    """View samples ``(B, ...)`` as images ``(B, C, H, W)``.

    ``(B, C, ..., W)`` has what is between C and W as its height, ``(B, C, W)`` the height 1; ``(B, W)`` is one row of
    one channel.
    """
    channels = x.shape[1] if x.ndim > 2 else 1
    width = x.shape[-1] if x.ndim > 1 else 1
    return x.reshape(len(x), channels, -1, width)


def window_size(area: float, query: int, queries: int, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the squares at a query.

    Args:
        area: Share of the image that the first take up; it is halved as the queries go on.
        query: Which query, 1 to ``queries``.
        queries: How many there are; the schedule spreads over them.
        height: The image's.
        width: The image's; where a square does not fit into the image, it is a rectangle of the same area.
    """
    halvings = sum(query * PERIOD > after * queries for after in HALVINGS)
    elements = area / 2**halvings * height * width
    rows = min(math.sqrt(elements), height)
    columns = min(elements / rows, width)
    rows = min(elements / columns, height)
    return max(round(rows), 1), max(round(columns), 1)


def stripes(x: Tensor, radius: float, seeds: Tensor) -> Tensor:
    """Return vertical stripes of ``-radius`` and ``radius``, one column wide; arguments as of :func:`linf_square`."""
    signs = _signs(uniform(seeds, 1, (x.shape[1], 1, x.shape[3]), torch.float64))
    return (radius * signs.to(x.dtype)).expand_as(x)


def linf_square(
    x: Tensor, now: Tensor, radius: float, low: float, high: float, seeds: Tensor, query: int, size: tuple[int, int]
) -> Tensor:
    """Set each channel of a square at random to its lowest or highest values (Algorithm 2).

    Where that is what they are, the other end is taken: nothing would be learnt from the same point again.

    Args:
        x: Images ``(B, C, H, W)``.
        now: The best points so far ``(B, C, H, W)``.
        radius: Of the ball around ``x``.
        low: The lower end of the range.
        high: The upper end of the range.
        seeds: int64 ``(B,)``.
        query: Number of the draw, from 2 on.
        size: Height and width of the square.
    """
    values = uniform(seeds, query, (2 + x.shape[1],), torch.float64)
    inside = _inside(*_window(values[:, :2], size, x), size)
    change = radius * _signs(values[:, 2:])[:, :, None, None].to(x.dtype)
    new = (x + change).clamp_(low, high)
    same = ((new == now) | ~inside).flatten(1).all(1)
    new = torch.where(column(same, x), (x - change).clamp_(low, high), new)
    return torch.where(inside, new, now)


def tiles(x: Tensor, radius: float, seeds: Tensor) -> Tensor:
    """Return 5 x 5 tiles, each a square of Algorithm 3 with a random sign a channel; arguments as of ``l2_square``."""
    height, width = x.shape[2:]
    rows, columns = min(TILES, height), min(TILES, width)
    size = height // rows, width // columns
    r, c = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    shape = torch.zeros(height, width, dtype=x.dtype, device=x.device)
    shape[: rows * size[0], : columns * size[1]] = _shapes(size, x)[0].repeat(rows, columns)
    signs = _signs(uniform(seeds, 1, (x.shape[1], rows, columns), torch.float64)).to(x.dtype)
    signs = signs[:, :, (r // size[0]).clamp_max_(rows - 1)][:, :, :, (c // size[1]).clamp_max_(columns - 1)]
    d = signs * shape
    return d * column(radius / divisor(_norms(d, (1, 2, 3))).flatten(), d)


def l2_square(x: Tensor, now: Tensor, radius: float, seeds: Tensor, query: int, size: tuple[int, int]) -> Tensor:
    """Return the perturbation with what is in one square moved to another (Algorithm 3).

    The second square's share of the squared norm, and what of the radius was not used, go to the first square, each
    channel of which gets a random sign of a fixed shape, added to the direction it had. Where the two cancel, as they
    often do in a single element, rounding would decide what is left; there it is the shape alone.

    Args:
        x: Images ``(B, C, H, W)``.
        now: The best points so far ``(B, C, H, W)``.
        radius: Of the ball around ``x``.
        seeds: int64 ``(B,)``.
        query: Number of the draw, from 2 on.
        size: Height and width of the squares.
    """
    channels = x.shape[1]
    values = uniform(seeds, query, (5 + channels,), torch.float64)
    r, c = _window(values[:, :2], size, x)
    gets, gives = _inside(r, c, size), _inside(*_window(values[:, 2:4], size, x), size)
    which = (values[:, 4] < 0.5).long()[:, None, None]
    shapes = _shapes(size, x)
    shape = shapes[which, r.clamp(0, size[0] - 1)[:, :, None], c.clamp(0, size[1] - 1)[:, None, :]][:, None]
    d = now - x
    unused = radius**2 - _norms(d, (1, 2, 3)) ** 2
    unused = torch.where(unused > NOTHING * radius**2, unused, 0)
    available = (_norms(d * (gets | gives), (2, 3)) ** 2 + unused / channels).sqrt_()
    old = d * gets
    added = _signs(values[:, 5:])[:, :, None, None].to(x.dtype) * shape * gets
    new = added + old / divisor(_norms(old, (2, 3)))
    new = torch.where(_norms(new, (2, 3)) < NOTHING, added, new)
    new = new * (available / divisor(_norms(new, (2, 3))))
    return torch.where(gets, new, torch.where(gives, 0, d))


def _signs(values: Tensor) -> Tensor:
    return (values < 0.5) * 2 - 1


def _norms(d: Tensor, over: tuple[int, ...]) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(d, dim=over, keepdim=True)
    return norms


def _window(places: Tensor, size: tuple[int, int], x: Tensor) -> tuple[Tensor, Tensor]:
    """Place a window by two numbers in [0, 1) ``(B, 2)``: rows ``(B, H)`` and columns ``(B, W)`` from its corner on."""
    r, c = (
        torch.arange(length, device=x.device) - (place * (length - taken + 1)).long()[:, None]
        for length, taken, place in zip(x.shape[2:], size, places.unbind(1), strict=True)
    )
    return r, c


def _inside(r: Tensor, c: Tensor, size: tuple[int, int]) -> Tensor:
    """Tell which elements ``(B, 1, H, W)`` are in windows of this size."""
    rows, columns = (r >= 0) & (r < size[0]), (c >= 0) & (c < size[1])
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _shapes(size: tuple[int, int], x: Tensor) -> Tensor:
    """Return the two shapes ``(2, h, w)`` of an L2 square: pyramids of opposite sign, one over or beside the other."""
    h, w = size
    over = torch.cat([_pyramid(h // 2, w, x), -_pyramid(h - h // 2, w, x)], dim=0)
    beside = torch.cat([_pyramid(h, w // 2, x), -_pyramid(h, w - w // 2, x)], dim=1)
    shapes = torch.stack([over, beside])
    return shapes / _norms(shapes, (1, 2))


def _pyramid(h: int, w: int, x: Tensor) -> Tensor:
    """Return nested squares around a centre added up, the j-th of them weighing ``1 / j ** 2`` (Equation 2)."""
    r, c = ((torch.arange(length, device=x.device) - length // 2).abs() for length in (h, w))
    steps = torch.arange(max(h, w) // 2 + 1, 0, -1, dtype=x.dtype, device=x.device)
    heights = (1 / steps**2).cumsum(0).flip(0)  # by distance from the centre
    return heights[torch.maximum(r[:, None], c[None, :])]
