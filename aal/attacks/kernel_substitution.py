"""Kernel substitution: a gradient attack on the soft vote of the whole training set, which k-NN is taken for."""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from aal.attacks.base import FROM_1, Adversarial, Task, WithinRadius, or_none
from aal.attacks.fgsm import FGSM
from aal.attacks.soft_vote import ELEMENTS, ROUNDING, soft_vote, squared_distances
from aal.attacks.training_set import NonParametric, TrainingSet
from aal.checks import positive, refuse

JUDGED = 1000  # training points that widths are compared on, at most
HALVINGS, DOUBLINGS = 10, 12  # of the usual distance to the nearest point, squared: the widths that are compared


@dataclass(frozen=True, kw_only=True)
class KernelSubstitution(NonParametric):
    """Attack a soft vote in the place of a classifier that has no gradient, until the classifier itself is fooled.

    Every training point z votes for its label with the weight ``exp(-|x - z|^2 / width)``. The gradient attack on that
    vote is tried with radii that rise in equal steps up to its own; what it makes is shown to the model, and the first
    that the model is fooled by is kept. A sample that the model is wrong about as it is stays as it is. One that no
    radius is enough for is a failure, and what the largest made of it is returned. The model is only asked for labels.

    Source: paper *shadow*, Equation 10 and Table 2 (whose perturbations, 0.15 on the half moons, 0.05 on Abalone and
    0.31 on MNIST, look like one radius for all: ``tries: 1``); Papernot, McDaniel and Goodfellow, "Transferability in
    Machine Learning: from Phenomena to Black-Box Attacks using Adversarial Samples".

    Args:
        training_set: What it is fitted to; :meth:`fit` sets it.
        inner: The gradient attack, with its largest radius: :class:`FGSM`, :class:`PGD` or another within a radius;
            ``null`` for :class:`FGSM` with radius 0.15 in L-inf.
        width: The paper's c, above 0, in squared units of the samples; ``null`` for the one that makes the labels of
            the training points likeliest, each judged by the votes of all others. :meth:`fit` chooses it, else every
            call does.
        tries: Number of radii; 1 for the largest alone.

    Raises:
        UserError: A value outside its range; an ``inner`` attack that has no radius.
    """

    inner: WithinRadius | None = None
    width: float | None = None
    tries: int = 15
    ranges = NonParametric.ranges | {"width": or_none(positive), "tries": FROM_1}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(
            not isinstance(self.inner, WithinRadius | None),
            f"inner: must be an attack within a radius, such as FGSM or PGD, not {type(self.inner).__name__}",
        )

    def fit(self, points: Tensor, labels: Tensor) -> Self:
        """Return the same attack, fitted to copies of training points ``(N, ...)`` and labels ``(N,)``, with a width.

        Raises:
            UserError: They are no training set.
        """
        fitted = super().fit(points, labels)
        assert fitted.training_set is not None
        return replace(fitted, width=likeliest_width(fitted.training_set) if self.width is None else self.width)

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the inner attack's norm, ``queries``, which are the labels that the
            model was asked for, and in ``info`` the ``width``.
        """
        known = self.known(task)
        logits = task.predict(task.x)
        success, x, queries = task.reached(logits, task.labels), task.x.clone(), torch.ones_like(task.rows)
        width = likeliest_width(known) if self.width is None else self.width
        inner = FGSM(radius=0.15) if self.inner is None else self.inner
        vote = _Vote(known, max(logits.shape[1], int(known.labels.max()) + 1), width)
        for number in range(1, self.tries + 1):
            rows = (~success).nonzero()[:, 0]
            if not len(rows):
                break
            x[rows] = replace(inner, radius=inner.radius * number / self.tries)(
                vote,
                task.x[rows],
                task.labels[rows],
                target=task.labels[rows] if task.targeted else None,
                bounds=(task.low, task.high),
                seeds=task.seeds[rows],
            ).x
            success[rows] = task.reached(task.predict(x[rows], rows), task.labels[rows])
            queries[rows] += 1
        distance = inner.ball.size(x - task.x)
        return Adversarial(x, success, distance, queries, {"width": torch.full_like(distance, width)})


class _Vote(nn.Module):
    """The soft vote as a network: its softmax is Equation 10."""

    def __init__(self, known: TrainingSet, num_classes: int, width: float) -> None:
        super().__init__()
        self.known, self.num_classes, self.width = known, num_classes, width

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to logits ``(B, C)``."""
        return soft_vote(x, self.known.points, self.known.labels, self.num_classes, self.width)


def likeliest_width(known: TrainingSet) -> float:
    """Return the width of the soft vote under which the labels of the training points are likeliest.

    Each point is judged by the votes of all others. Of widths from ``2**-10`` to ``2**12`` times the median squared
    distance to the nearest other point, each twice the last, that with the highest mean log-likelihood is taken; of
    more than 1,000 points evenly spread ones are judged. Points that are the only one of their class judge nothing, and
    where nothing is judged, or all points are one, any width will do: the median, or 1.
    """
    points, labels = known.points.flatten(1).double(), known.labels.long()
    points = points - points.mean(0)
    judged = torch.arange(0, len(points), -(-len(points) // JUDGED), device=points.device)
    shared = torch.bincount(labels)[labels[judged]] > 1
    size = max(1, ELEMENTS // len(points))
    nearest = torch.cat([_apart(points, rows).amin(1) for rows in judged.split(size)])
    none = ROUNDING * points.square().sum(1).amax()  # what a distance of 0 may come out as
    nearest = nearest[(nearest > none) & nearest.isfinite()]
    usual = float(nearest.median()) if len(nearest) else 1.0
    if not shared.any():
        return usual
    widths = [usual * 2.0**power for power in range(-HALVINGS, DOUBLINGS + 1)]
    likely = points.new_zeros(len(widths))
    for rows in judged[shared].split(size):
        apart, own = _apart(points, rows), labels[rows, None] == labels
        for place, width in enumerate(widths):
            exponents = apart / -width
            likely[place] += (exponents.masked_fill(~own, -math.inf).logsumexp(1) - exponents.logsumexp(1)).sum()
    return widths[int(likely.argmax())]


def _apart(points: Tensor, rows: Tensor) -> Tensor:
    """Return squared distances ``(R, N)`` of some points to all others, infinite to themselves."""
    apart = squared_distances(points[rows], points)
    return apart.scatter_(1, rows[:, None], math.inf)
