"""Clusters of many points, found on a random sample and carried over to all; how many there are by three criteria."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor

from aal.distances import full
from aal.strategies.groupings import Method, distances_between, groupings, lloyd, means, nearest_center

Criterion = Literal["elbow", "silhouette", "gap"]


@dataclass(frozen=True)
class Clusters:
    """Clusters of points, some of which may have no members.

    Attributes:
        centers: Their centers ``(K, D)``, means or medoids, float64.
        members: The cluster of each point, int64 ``(N,)``.
    """

    centers: Tensor
    members: Tensor


def cluster(
    points: Tensor,
    method: Method,
    number: int | Criterion,
    *,
    most: int,
    sample: int,
    generator: torch.Generator,
    agree: Callable[[Tensor], Tensor],
) -> Clusters:
    """Cluster points, in memory linear in their number.

    All methods start with a random sample. K-means goes on from there with all points; with the others the sample keeps
    its clusters and every other point goes to the nearest medoid, or to the nearest mean of a cluster of the sample.
    There are fewer clusters than asked for where fewer points are distinct.

    Args:
        points: Points ``(N, D)`` on the CPU, finite, ``N`` at least 1.
        method: ``kmeans``; ``kmedoids``, by PAM; ``agglomerative``, by Ward's criterion.
        number: Number of clusters, or how it is found on the sample.
        most: Most clusters that are found.
        sample: How many points to draw; there are no fewer than a number that is given.
        generator: The source of randomness.
        agree: Gives every rank what the first one has: sums over threads may differ in the last bit.
    """
    points = full(points)
    size = max(sample, number) if isinstance(number, int) else sample
    drawn = torch.randperm(len(points), generator=generator)[:size]
    some = points[drawn].double()
    distances = distances_between(some)
    if isinstance(number, int):
        found = groupings(distances, method, [min(number, len(drawn))])[0]
    else:
        found = number_of(some, distances, method, number, most, generator)
    found = agree(found).cpu()
    if method == "kmeans":
        centers = agree(lloyd(points, means(some, found))).cpu()
        return Clusters(centers, nearest_center(points, centers))
    centers = means(some, found)
    if method == "kmedoids":  # of each cluster the member with the least sum of distances to its members
        sums = (distances * (found[:, None] == found)).sum(1)
        centers = some[torch.stack([torch.where(found == c, sums, torch.inf).argmin() for c in range(len(centers))])]
    return Clusters(centers, nearest_center(points, centers).index_copy_(0, drawn, found))


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
            deviation, with 10 samples from the box around the points along their principal axes.
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
        between = distances.numpy()
        scores = [silhouette_score(between, members.numpy(), metric="precomputed") for members in found[1:]]
        return found[1 + scores.index(max(scores))]
    around = points - points.mean(0)
    values, vectors = torch.linalg.eigh(around @ around.T)
    some = values > values[-1] * torch.finfo(points.dtype).eps * len(points)
    low, high = (vectors[:, some] * values[some].sqrt()).aminmax(dim=0)  # of the box along the principal axes
    samples = (torch.rand(len(points), len(low), dtype=low.dtype, generator=generator) for _ in range(10))
    apart = (distances_between(low + (high - low) * sample) for sample in samples)
    return found[gap(spread, [_dispersions(each, groupings(each, method, numbers)) for each in apart])]


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


def _dispersions(distances: Tensor, groupings: Sequence[Tensor]) -> Tensor:
    """Return the sums of squared distances from points to the means of their clusters, ``(K,)``.

    That of a cluster is half the mean over its points of their squared distances to each other, which is 0 for equal
    points whatever was rounded.
    """
    squared, each = distances.square(), [torch.nn.functional.one_hot(own).to(distances.dtype) for own in groupings]
    return torch.stack([((mine.T @ squared).T * mine / mine.sum(0)).sum() / 2 for mine in each])
