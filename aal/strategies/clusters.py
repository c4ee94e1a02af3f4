"""Clusters of many points: found on a random sample, carried over to all."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.strategies.cluster_number import Criterion, number_of
from aal.strategies.distances import full
from aal.strategies.groupings import Method, distances_between, groupings, lloyd, means, nearest_center


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
    drawn = torch.randperm(len(points), generator=generator)[:size].sort().values
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
    centers = some[_medoids(distances, found)] if method == "kmedoids" else means(some, found)
    return Clusters(centers, nearest_center(points, centers).index_copy_(0, drawn, found))


def _medoids(distances: Tensor, members: Tensor) -> Tensor:
    """Return the place ``(K,)`` of each cluster's medoid: its member with the least sum of distances to its members."""
    sums = (distances * (members[:, None] == members)).sum(1)
    return torch.stack([torch.where(members == c, sums, torch.inf).argmin() for c in range(int(members.max()) + 1)])
