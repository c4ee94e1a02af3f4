"""How many clusters there are: the elbow of the dispersion, the silhouette, the gap statistic."""

from collections.abc import Sequence
from typing import Literal

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor

from aal.strategies.groupings import Method, distances_between, groupings

Criterion = Literal["elbow", "silhouette", "gap"]
REFERENCES = 10  # samples without clusters that the gap statistic compares with


def number_of(
    points: Tensor, distances: Tensor, method: Method, criterion: Criterion, most: int, generator: torch.Generator
) -> Tensor:
    """Group points into the number of clusters that a criterion asks for; equal points are one cluster.

    Args:
        points: Points ``(N, D)``, float64.
        distances: The distances between them ``(N, N)``, symmetric.
        method: How they are grouped.
        criterion: ``elbow``: where the dispersion, the sum of squared distances to the means, lies farthest below the
            line from its first to its last; it may say 1 or any number but the last. ``silhouette``: the highest mean
            silhouette; it never says 1. ``gap``: the smallest number whose gap is at least the highest one less its
            deviation, with samples from the box around the points along their principal axes.
        most: Most clusters.
        generator: The source of randomness.

    Returns:
        The cluster of each point, int64 ``(N,)``, numbered without gaps.

    Source: Rousseeuw, "Silhouettes"; Tibshirani, Walther and Hastie, "Estimating the number of clusters in a data set
    via the gap statistic", section 3; Dudoit and Fridlyand, "A prediction-based resampling method for estimating the
    number of clusters in a dataset", for the highest gap.
    """
    numbers = range(1, max(1, min(most, len(points) - 1)) + 1)
    found = groupings(distances, method, numbers)
    found = [members for k, members in zip(numbers, found, strict=True) if int(members.max()) == k - 1]
    spread = _dispersions(distances, found)
    if len(found) == 1 or spread[0] == 0:
        return found[0]
    if criterion == "elbow":
        return found[elbow(spread)]
    if criterion == "silhouette":
        return found[_silhouette(distances, found)]
    (low, high), references = _box(points), []
    for _ in range(REFERENCES):
        x = low + (high - low) * torch.rand(len(points), len(low), dtype=low.dtype, generator=generator)
        between = distances_between(x)
        references.append(_dispersions(between, groupings(between, method, numbers)))
    return found[gap(spread, references)]


def elbow(dispersions: Tensor) -> int:
    """Return the place of the elbow of dispersions ``(K,)``, the lowest of equal ones."""
    along = torch.linspace(0, 1, len(dispersions), dtype=dispersions.dtype)
    height = (dispersions - dispersions[-1]) / (dispersions[0] - dispersions[-1])
    return int((1 - along - height).argmax())


def gap(dispersions: Tensor, references: Sequence[Tensor]) -> int:
    """Return the place of the number of clusters by the gap statistic.

    Tibshirani's own rule takes the first number whose gap is at least the next one less its deviation. It takes 1 where
    clusters are about as far from each other, as those of a trained network's features are.

    Args:
        dispersions: Dispersions ``(K,)``.
        references: Those of samples without clusters, at least ``(K,)`` each.
    """
    expected = torch.stack([reference[: len(dispersions)].log() for reference in references])
    gaps = expected.mean(0) - dispersions.log()
    deviations = expected.std(0, correction=0) * (1 + 1 / len(references)) ** 0.5
    best = int(gaps.argmax())
    return int((gaps >= gaps[best] - deviations[best]).nonzero()[0])


def _silhouette(distances: Tensor, groupings: Sequence[Tensor]) -> int:
    scores = [silhouette_score(distances.numpy(), members.numpy(), metric="precomputed") for members in groupings[1:]]
    return 1 + max(range(len(scores)), key=scores.__getitem__)


def _dispersions(distances: Tensor, groupings: Sequence[Tensor]) -> Tensor:
    """Return the sums of squared distances from points to the means of their clusters, ``(K,)``.

    That of a cluster is half the mean over its points of their squared distances to each other, which is 0 for equal
    points whatever was rounded.
    """
    squared, sums = distances.square(), []
    for members in groupings:
        mine = torch.nn.functional.one_hot(members).to(distances.dtype)
        sums.append(((mine.T @ squared).T * mine / mine.sum(0)).sum() / 2)
    return torch.stack(sums)


def _box(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of the box around points along their principal axes, ``(R,)`` each."""
    around = points - points.mean(0)
    values, vectors = torch.linalg.eigh(around @ around.T)
    some = values > values[-1] * torch.finfo(points.dtype).eps * len(points)
    low, high = (vectors[:, some] * values[some].sqrt()).aminmax(dim=0)
    return low, high
