"""How far points are from a classifier's boundary: by regions for nearest neighbors, by DeepFool for others."""

import torch
from torch import Tensor, nn

from aal.attacks import Attack, DeepFool, RegionBased
from aal.networks import NearestNeighbours
from aal.seeds import generator

MOST = 200  # points that are measured


def boundary_distance(
    model: nn.Module, x: Tensor, bounds: tuple[float, float], device: torch.device, seed: int
) -> dict[str, float | str]:
    """Measure how far points are from the boundary of a classifier, in L2: to the nearest point of another class.

    The measuring asks the classifier itself, which no adversary could, so that it counts no query.

    Args:
        model: The classifier, to logits. Of k-NN distances are those of :class:`aal.attacks.RegionBased`, exact for one
            neighbor; else those that DeepFool finds. What is not exact is an upper bound.
        x: The points ``(N, ...)``; a random draw of 200 of them is measured where there are more.
        bounds: The data's range (low, high).
        device: Where the classifier is.
        seed: What the draw depends on.

    Returns:
        ``boundary_distance``, the mean over the points for which one was found, and ``boundary_by``, the attack that
        measured it; nothing where there are no points, or none was found.
    """
    if not len(x):
        return {}
    drawn = torch.randperm(len(x), generator=generator(seed, "boundary"))[:MOST]
    points = x[drawn].to(device)
    neighbours = next((part.k for part in model.modules() if isinstance(part, NearestNeighbours)), 0)
    attack: Attack = RegionBased(norm="l2", k=neighbours) if neighbours else DeepFool(norm="l2")
    with torch.no_grad():
        labels = model(points).argmax(1)
    found = attack(model, points, labels, bounds=bounds)
    if not found.success.any():
        return {}
    return {
        "boundary_distance": float(found.distance[found.success].double().mean()),
        "boundary_by": type(attack).__name__,
    }
