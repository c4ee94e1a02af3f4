"""K-medoids by PAM: points that, as centers, leave the least sum of distances that no swap can lower."""

import torch
from torch import Tensor

SLACK = 1e-12  # share of the sum that a swap must lower it by: less is rounding


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
        nearest = distances[:, chosen].amin(1)
        gains = (nearest[:, None] - distances).clamp_(min=0).sum(0)
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
        if not changes.flatten()[best] < -SLACK * near.sum():
            return medoids
        medoids[best // len(distances)] = best % len(distances)
