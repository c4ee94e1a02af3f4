"""Groupings of a sample of points into any number of clusters: by k-means, k-medoids (PAM) or Ward's tree."""

from collections.abc import Sequence
from typing import Literal

import torch
from scipy.cluster.hierarchy import cut_tree, linkage
from torch import Tensor

from aal.distances import ROWS, full, whole_float32

Method = Literal["kmeans", "kmedoids", "agglomerative"]
ITERATIONS = 100  # most of k-means
TOLERANCE = 1e-4  # share of the scatter: k-means has converged when it changes no more than that


def groupings(distances: Tensor, method: Method, numbers: Sequence[int]) -> list[Tensor]:
    """Group a sample into each of some numbers of clusters; nothing is drawn.

    K-means starts from the clusters of Ward's tree: random starts find the best ones in few dimensions only.

    Args:
        distances: The distances between the points ``(N, N)``, Euclidean, symmetric, float64.
        method: How.
        numbers: The numbers, ascending, from 1 to ``N``.

    Returns:
        For each number a cluster of each point, int64 ``(N,)``, numbered without gaps. There are fewer clusters than
        asked for where fewer points are distinct.

    Source: Ward, "Hierarchical grouping to optimize an objective function"; Milligan, "An examination of the effect of
    six types of error perturbation on fifteen clustering algorithms", for k-means that starts from a tree.
    """
    if len(distances) == 1:
        return [torch.zeros(1, dtype=torch.int64) for _ in numbers]
    if method == "kmedoids":
        start = build(distances, numbers[-1])
        found = [distances[:, swap(distances, start[:k])].argmin(1) for k in numbers]
    else:
        tree = linkage(distances[torch.triu_indices(len(distances), len(distances), 1).unbind()].numpy(), "ward")
        distinct = 1 + int((tree[:, 2] > 0).sum())  # never cut among equal points
        cuts = cut_tree(tree, n_clusters=[min(k, distinct) for k in numbers])
        found = [torch.from_numpy(members).long() for members in cuts.T]
        if method == "kmeans":
            squared = distances.square()
            found = [_k_means(squared, members) for members in found]
    return [members.unique(return_inverse=True)[1] for members in found]


def build(distances: Tensor, k: int) -> Tensor:
    """Choose medoids one by one, each lowering the sum of distances most; equal ones go to the lower place.

    Args:
        distances: Distances between points ``(N, N)``, symmetric.
        k: How many, at most ``N``.

    Returns:
        Their places ``(k,)``; the first of them are what would be chosen of fewer.

    Source: Kaufman and Rousseeuw, "Finding Groups in Data", chapter 2, BUILD.
    """
    chosen = [int(distances.sum(0).argmin())]
    while len(chosen) < k:
        gains = (distances[:, chosen].amin(1)[:, None] - distances).clamp_(min=0).sum(0)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
    return torch.tensor(chosen)


def swap(distances: Tensor, medoids: Tensor) -> Tensor:
    """Swap a medoid for another point, the pair that lowers the sum of distances most, while there is one.

    All pairs are weighed at once: what a new medoid gains with all others kept, and for each medoid what its own points
    lose besides if it goes.

    Args:
        distances: Distances between points ``(N, N)``, symmetric.
        medoids: Places to start from ``(k,)``.

    Returns:
        The places ``(k,)``.

    Source: Kaufman and Rousseeuw, "Finding Groups in Data", chapter 2, SWAP; all pairs at once as in Schubert and
    Rousseeuw, "Faster k-Medoids Clustering", FastPAM1.
    """
    medoids = medoids.clone()
    while True:
        near, own = distances[:, medoids].min(1)
        second = distances[:, medoids].scatter(1, own[:, None], torch.inf).amin(1)
        kept = (distances - near[:, None]).clamp_(max=0)  # of each point (rows) if a new medoid (columns) joins
        gone = torch.minimum(distances, second[:, None]) - near[:, None]  # if its own medoid goes as well
        mine = torch.nn.functional.one_hot(own, num_classes=len(medoids)).to(distances.dtype)
        changes = kept.sum(0) + mine.T @ (gone - kept)
        changes[:, medoids] = torch.inf
        best = int(changes.argmin())
        if not changes.flatten()[best] < -1e-12 * near.sum():  # less is rounding
            return medoids
        medoids[best // len(distances)] = best % len(distances)


@whole_float32()
def lloyd(points: Tensor, centers: Tensor) -> Tensor:
    """Improve centers by k-means until they move no more, in the memory of a block of points.

    A center without points stays where it is.

    Args:
        points: Points ``(N, D)``, float32 or float64; the products are of that type.
        centers: Centers to start from ``(K, D)``.

    Returns:
        The centers ``(K, D)``, float64.

    Source: Lloyd, "Least squares quantization in PCM".
    """
    centers, origin = centers.double(), centers.double().mean(0)
    for _ in range(ITERATIONS):
        # |x - c|^2 but for what all centers share; taken from the origin, a common offset costs no precision.
        away = centers - origin
        offsets = (away.square().sum(1) + 2 * away @ origin).to(points.dtype)
        away = away.to(points.dtype)
        sums, counts = torch.zeros_like(centers), torch.zeros(len(centers), dtype=torch.float64)
        for block in points.split(ROWS):
            mine = torch.nn.functional.one_hot(
                torch.addmm(offsets, block, away.T, alpha=-2).argmin(1), num_classes=len(centers)
            ).to(points.dtype)
            sums += (mine.T @ block).double()
            counts += mine.sum(0).double()
        new = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centers)
        moved, scatter = ((counts @ (new - other).square()).sum() for other in (centers, origin))
        centers = new
        if moved <= TOLERANCE * scatter:
            break
    return centers


def means(points: Tensor, members: Tensor) -> Tensor:
    """Return the mean of each cluster's points ``(K, D)``.

    Args:
        points: Points ``(N, D)``.
        members: The cluster of each ``(N,)``, numbered without gaps.
    """
    mine = torch.nn.functional.one_hot(members).to(points.dtype)
    return mine.T @ points / mine.sum(0)[:, None]


def nearest_center(points: Tensor, centers: Tensor) -> Tensor:
    """Return the nearest center of each point, by differences in float64; equal distances go to the lower.

    Args:
        points: Points ``(N, D)``.
        centers: Centers ``(K, D)``.

    Returns:
        Their numbers, int64 ``(N,)``.
    """
    between = (
        torch.cdist(block.double(), centers.double(), compute_mode="donot_use_mm_for_euclid_dist")
        for block in full(points).split(ROWS)
    )
    return torch.cat([block.argmin(1) for block in between])


def distances_between(points: Tensor) -> Tensor:
    """Return the distances between points; what rounding cannot tell from 0 is 0.

    Args:
        points: Points ``(N, D)``, float64.

    Returns:
        The distances ``(N, N)``, symmetric.
    """
    points = points - points.mean(0)
    norms = points.square().sum(1)
    sums = norms[:, None] + norms
    squared = sums - 2 * points @ points.T
    squared = (squared + squared.T) / 2
    lost = 4 * points.shape[1] * torch.finfo(torch.float64).eps
    return squared.masked_fill_(squared <= lost * sums, 0.0).sqrt_().fill_diagonal_(0.0)


def _k_means(squared: Tensor, members: Tensor) -> Tensor:
    """Improve clusters by k-means until their dispersion, or its fall, is next to nothing.

    The squared distance to a mean is the mean squared distance to the points, less the mean of their own to the mean.

    Args:
        squared: Squared distances between the points ``(N, N)``.
        members: The clusters to start from ``(N,)``.
    """
    before = torch.inf
    for _ in range(ITERATIONS):
        mine = torch.nn.functional.one_hot(members).to(squared.dtype)
        counts = mine.sum(0)
        to_points = squared @ mine / counts
        to_means = to_points - (to_points * mine).sum(0) / counts / 2
        near, new = to_means.min(1)
        dispersion = float(near.clamp(min=0).sum())
        if not dispersion < (1 - TOLERANCE) * before:
            break
        before, members = dispersion, new.unique(return_inverse=True)[1]
    return members
