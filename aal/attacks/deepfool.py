"""DeepFool: to the nearest boundary of the linearised classifier, then along the boundary to its nearest point."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from aal.attacks.base import (
    FROM_0,
    FROM_1,
    Adversarial,
    Attack,
    PerSample,
    Task,
    attacking,
    column,
    gradient_of,
    or_none,
)
from aal.attacks.boundary import Ways, finite, onto_hyperplane, refine
from aal.attacks.margins import beyond, note_rounding, rivals, rounding
from aal.attacks.norms import NORMS, Norm, but_l1

SLOPES = {"l2": 2.0, "linf": 1.0}  # the order of the norm that is dual to that of the perturbation
STEEPER = 2.0  # a class that is nearest only with a slope so many times the largest seen is taken for farther


@dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """Look for the smallest perturbation that changes the predicted class.

    Each step goes to the boundary, linearised, that is nearest to the current point, staying within the bounds, until
    the class changes. The point reached is about the nearest only where the classifier is about linear, so the
    perturbation is turned towards the nearest point of the boundary as linearised at its end, while that makes it
    smaller, and shortened to where it crosses the boundary. On an affine classifier with room on all sides the distance
    is ``|f| / ||w||_q``, q = 2 for ``l2`` and 1 for ``linf``, up to 0.1 %.

    Source: Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool deep neural networks",
    Algorithm 2, and section 3.3 for L-inf; paper *dfal*, section 3. Bounds, turning and shortening are our additions,
    and so is that a class which a step towards it brought no nearer waits until all others were tried.

    Args:
        norm: The norm of the perturbation: ``l2`` or ``linf``.
        steps: Most steps to cross a boundary, at least 1.
        overshoot: How far a step goes beyond the linearised boundary, as a share of the perturbation with it, at least
            0. The shortening takes it back.
        refinements: How often the perturbation is turned at most, at least 0.
        classes: How many classes to look at, at least 1: those with the nearest linearised boundaries at the sample;
            ``null`` for all. It saves slopes in later steps, but to tell them from the others takes more at the first.
        exact: Whether to take the slopes of all classes; otherwise those whose gap in the logits is so wide that they
            could be nearest only with more than twice the steepest slope seen are left out.

    Raises:
        UserError: A value outside its range.
    """

    norm: str = "l2"
    steps: int = 50
    overshoot: float = 0.02
    refinements: int = 2
    classes: int | None = None
    exact: bool = False
    ranges = Attack.ranges | {
        "norm": but_l1,
        "steps": FROM_1,
        "overshoot": FROM_0,
        "refinements": FROM_0,
        "classes": or_none(FROM_1),
    }

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples: as they are, with distance 0, where the goal is reached to begin with; where it was not reached,
            the point of the last step, whose distance tells how far was looked. ``success``, ``distance`` in the
            attack's norm, and ``queries``, the points looked at, however often gradients were taken there. In ``info``:
            ``steps`` taken, int64; ``class`` predicted in the end, int64; ``linearised``, the distance to the nearest
            boundary as linearised at the sample, 0 where the goal is reached there and infinite without a slope;
            ``crossing``, the distance of the point that the steps reached. All ``(B,)``.
        """
        norm = NORMS[self.norm]
        ways, crossed, info = self._cross(task, norm)
        info["crossing"] = norm.size(ways.far - task.x)
        refine(task, self.norm, ways, crossed, self.refinements)
        ends = ways.ends(task, task.rows)
        logits = task.predict(ends)
        info["class"] = logits.argmax(1)
        return Adversarial(ends, task.reached(logits, task.labels), norm.size(ends - task.x), ways.queries + 1, info)

    def linearised(self, model: nn.Module, x: Tensor, y: Tensor, *, bounds: tuple[float, float] = (0.0, 1.0)) -> Tensor:
        """Return the distance to the nearest boundary as linearised at each sample: the length of the first step.

        It costs the slopes at the samples and is what a search for the nearest samples can be ordered by.

        Args:
            model: As in a call.
            x: Samples ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``.
            bounds: The data's range (low, high).

        Returns:
            ``(B,)``; 0 where the label is not predicted, infinite where no slope leads to another class.

        Raises:
            UserError: As a call does.
            RunStopped: Likewise.
        """
        with attacking(model, x, y, target=None, bounds=bounds, seeds=None) as task:
            return replace(self, steps=1)._cross(task, NORMS[self.norm])[2]["linearised"]

    def _cross(self, task: Task, norm: Norm) -> tuple[Ways, Tensor, dict[str, Tensor]]:
        """Step from each sample to beyond a boundary.

        Returns:
            The ways to the last points, the rows that one step or more led beyond a boundary, and the numbers of steps
            and the linearised distances.
        """
        ways = Ways.none(task.x)
        steps, linearised = torch.zeros_like(task.rows), torch.zeros_like(ways.high)
        rows, x, aims = task.rows, task.x, None
        stuck = torch.zeros_like(rows, dtype=torch.bool)
        for step in range(self.steps + 1):
            last = step == self.steps
            leaf, logits = task.look(x, rows, slope=not last)
            values = logits.detach()
            aims = aims or _Aims.all(task, values)
            over = beyond(task, values, rows)
            ways.lead(rows, x, over if step == 0 else ways.under[rows], over)
            ways.queries[rows] += 1
            crossed = task.reached(values, task.labels) if step == 0 else over > 0
            left = (~(crossed | stuck)).nonzero().squeeze(1)  # waits for the device, as leaving out classes does
            if last or len(left) == 0:
                break
            slopes = _Slopes(task, leaf, logits, rows)
            slopes.keep(left)
            rows, x, aims = rows[left], x[left], aims.take(left)
            gaps = aims.gaps(task, values[left], rows)
            slope, distances = self._nearest(task, slopes, x, gaps, step == 0)
            distance = aims.choose(distances, gaps)
            if step == 0:
                note_rounding(task, rows, slope, x)
                linearised[rows] = distance
                classes = distances.shape[1]
                nearest = distances.topk(min(self.classes or classes, classes), largest=False).indices
                aims.update(open=aims.open & torch.zeros_like(aims.open).scatter_(1, nearest, True))
            stuck = distance.isinf()
            beyond_it = self.overshoot * norm.size(x - task.x[rows])
            rise = ((1 + self.overshoot) * distance.masked_fill(stuck, 0) + beyond_it) * self._size(slope)
            x = onto_hyperplane(x, slope, rise, self.norm, task.low, task.high).add_(x).clamp_(task.low, task.high)
            steps[rows] += (~stuck).long()
        return ways, ((steps > 0) & (ways.over > 0)).nonzero().squeeze(1), {"steps": steps, "linearised": linearised}

    def _nearest(self, task: Task, slopes: "_Slopes", x: Tensor, gaps: Tensor, first: bool) -> tuple[Tensor, Tensor]:
        """Find the class with the nearest linearised boundary, those with a narrow gap first.

        Args:
            task: The task.
            slopes: The gradients at the points.
            x: The points ``(N, ...)``.
            gaps: By how much the logit of each class is too low ``(N, C)``, infinite where it is not to be aimed at.
            first: Whether the points are the samples, where the nearest ``classes`` are wanted and not only one.

        Returns:
            The slope towards the nearest class ``(N, ...)``, and the distances of all classes ``(N, C)``, infinite
            where no slope leads there or the class was left out.
        """
        wanted = min(self.classes or 1, gaps.shape[1]) if first else 1
        gaps, order = gaps.sort(1)
        best, steepest = torch.zeros_like(x), torch.zeros_like(gaps[:, 0])
        distances = torch.full_like(gaps, torch.inf)
        rows = torch.arange(len(x), device=x.device)
        for place in range(gaps.shape[1] - 1):
            classes, gap = order[rows, place], gaps[rows, place]
            slope = _movable(slopes.towards(classes), x[rows], task)
            size = self._size(slope)
            distance = torch.where((size > 0) & (gap < torch.inf), gap / _above_0(size), torch.inf)
            nearer = distance < distances[rows].amin(1)
            best[rows] = torch.where(column(nearer, slope), slope, best[rows])
            distances[rows, classes] = distance
            steepest[rows] = steepest[rows].maximum(size)
            enough = distances.topk(wanted, largest=False).values[:, -1]
            limit = torch.where(enough.isinf() | self.exact, torch.inf, STEEPER * steepest * enough)
            left = (gaps[:, place + 1] < limit)[rows].nonzero().squeeze(1)
            if len(left) == 0:
                break
            slopes.keep(left)
            rows = rows[left]
        return best, distances

    def _size(self, slope: Tensor) -> Tensor:
        """Return by how much a linear function with slopes ``(N, ...)`` rises along a perturbation of size 1."""
        largest = _above_0(slope.flatten(1).abs().amax(1))  # squares of steep slopes are infinite in single precision
        size: Tensor = torch.linalg.vector_norm(slope.flatten(1) / largest[:, None], SLOPES[self.norm], dim=1)
        return size * largest


class _Aims(PerSample):
    """The classes that points step towards.

    Attributes:
        open: The classes that may be aimed at, bool ``(N, C)``.
        failed: Those whose gap did not become narrower when they were, bool ``(N, C)``.
        last: The class aimed at last ``(N,)``.
        gap: Its gap then ``(N,)``.
    """

    @classmethod
    def all(cls, task: Task, logits: Tensor) -> "_Aims":
        """Return all classes that reach the goal of the task, for its samples' logits ``(B, C)``."""
        given = nn.functional.one_hot(task.labels, logits.shape[1]).bool()
        return cls(
            open=given if task.targeted else ~given,
            failed=torch.zeros_like(given),
            last=torch.zeros_like(task.rows),
            gap=torch.full_like(logits[:, 0], torch.inf),
        )

    def gaps(self, task: Task, logits: Tensor, rows: Tensor) -> Tensor:
        """Return how much too low each logit of the points is ``(N, C)``, infinite where a class is not aimed at now.

        A class that was aimed at in vain waits until every other was, else points circle where it is nearly reached.
        """
        rival = logits.gather(1, rivals(task, logits, rows)[:, None])
        gaps = rival - logits + 2 * rounding(task, rows, rival, logits)
        last = self.last[:, None]
        vain = gaps.gather(1, last) >= self.gap[:, None]
        failed = self.failed.scatter(1, last, self.failed.gather(1, last) | vain)
        failed &= (self.open & ~failed).any(1, keepdim=True)
        self.update(failed=failed)
        return gaps.masked_fill_(~self.open | failed, torch.inf)

    def choose(self, distances: Tensor, gaps: Tensor) -> Tensor:
        """Aim at the nearest class, given all distances and gaps ``(N, C)``, and return how near it is ``(N,)``."""
        nearest, last = distances.min(1)
        self.update(last=last, gap=gaps.gather(1, last[:, None]).squeeze(1))
        return nearest


class _Slopes:
    """Gradients of differences of logits at some points, of which those no longer asked for leave."""

    def __init__(self, task: Task, x: Tensor, logits: Tensor, rows: Tensor) -> None:
        self._task, self._x, self._logits, self._rows = task, x, logits, rows
        self._places = torch.arange(len(rows), device=rows.device)

    def keep(self, left: Tensor) -> None:
        """Keep only the points at ``left`` ``(K,)`` of those kept so far."""
        self._places = self._places[left]
        if 3 * len(left) > 2 * len(self._x):
            return
        # a few passes backwards of few points, with one forwards before, cost less than as many of all
        self._rows = self._rows[self._places]
        self._x, self._logits = self._task.look(self._x[self._places], self._rows)
        self._places = torch.arange(len(left), device=left.device)

    def towards(self, classes: Tensor) -> Tensor:
        """Return the gradient of the logit of one class for each point ``(K,)`` less its rival's, ``(K, ...)``."""
        weights = torch.zeros_like(self._logits)
        against = rivals(self._task, self._logits.detach(), self._rows)[self._places]
        weights[self._places, classes] = 1
        weights[self._places, against] = -1
        slope = gradient_of(self._logits, self._x, weights, again=True)
        return finite(slope if len(classes) == len(slope) else slope[self._places])


def _movable(slope: Tensor, x: Tensor, task: Task) -> Tensor:
    """Return the slope without the elements along which ``x`` would leave the range."""
    return slope.masked_fill(((x <= task.low) & (slope < 0)) | ((x >= task.high) & (slope > 0)), 0)


def _above_0(sizes: Tensor) -> Tensor:
    return sizes.clamp_min(torch.finfo(sizes.dtype).tiny)
