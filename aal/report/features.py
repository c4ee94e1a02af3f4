"""The feature space as the head sees it: the pool and the poison on their first two principal components (Figure 2)."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from aal import files
from aal.report.style import POISON, POOL, ink, panels, render, style
from aal.seeds import generator

SHOWN = 5000  # points drawn of each kind; more only make the picture heavier
CHUNK = 4096  # features at a time in float64


def principal_components(*features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a PCA of two components on all features together.

    Args:
        *features: Features ``(., D)``, in any units; D may not be 0.

    Returns:
        Mean ``(D,)``, components ``(2, D)`` of unit length, the entry of each that is largest in size positive (a zero
        vector where D is 1), and the share of the variance ``(2,)`` that each explains; all float64.

    Raises:
        ValueError: There is no feature, or one is not finite.
    """
    total = sum(len(some) for some in features)
    if not total or not all(bool(chunk.isfinite().all()) for chunk in _chunks(features)):
        raise ValueError("a PCA needs features, all of them finite")
    mean = torch.stack([chunk.sum(0) for chunk in _chunks(features)]).sum(0) / total
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in _chunks(features):  # D x D, however many features there are
        covariance += (chunk - mean).T @ (chunk - mean) / total
    variances, vectors = torch.linalg.eigh(covariance)  # ascending
    components, shares = torch.zeros(2, len(mean), dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for index in range(min(2, len(mean))):
        vector = vectors[:, -1 - index]
        components[index] = vector * (1.0 if vector[vector.abs().argmax()] > 0 else -1.0)
        shares[index] = (variances[-1 - index] / variances.sum()).nan_to_num(0.0).clamp(min=0.0)
    return mean, components, shares


def features_figure(pool_features: Tensor, poison_features: Tensor, path: Path) -> None:
    """Write the paper's Figure 2: pool and poison features on the first two principal components of both together.

    At most :data:`SHOWN` points of each are drawn, chosen at random but always the same.

    Args:
        pool_features: Features of the natural pool ``(P, D)``.
        poison_features: Features of the poison as the learner sees it, ``(N, D)``; N may be 0.
        path: The file, ``.png`` or ``.svg``.

    Raises:
        ValueError: There is no feature, or one is not finite.
        OSError: The file could not be written.
    """
    mean, components, shares = principal_components(pool_features, poison_features)
    with style():
        figure, (axes,) = panels(1, 5.2, 3.9)
        kinds = (("pool", pool_features, POOL, 0.35, 9), ("poison", poison_features, POISON, 0.8, 24))
        for name, features, colour, alpha, size in kinds:
            points = _projected(features, name, mean, components)
            axes.scatter(
                points[:, 0].tolist(),
                points[:, 1].tolist(),
                s=size,
                color=colour,
                alpha=alpha,
                linewidths=0,
                label=f"{name} ({len(features):,})",
            )
        axes.set_xlabel(f"first principal component ({float(shares[0]):.0%} of variance)")
        axes.set_ylabel(f"second principal component ({float(shares[1]):.0%})")
        legend = axes.legend(loc="best", labelcolor=[ink(POOL), ink(POISON)], markerscale=1.2, handletextpad=0.2)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
    files.write_bytes(path, render(figure, path.suffix))


def _chunks(features: tuple[Tensor, ...]) -> Iterator[Tensor]:
    for some in features:
        for chunk in torch.split(some.detach(), CHUNK):
            if len(chunk):
                yield chunk.cpu().to(torch.float64)


def _projected(features: Tensor, name: str, mean: Tensor, components: Tensor) -> Tensor:
    chosen = torch.randperm(len(features), generator=generator(0, "features figure", name))[:SHOWN].sort().values
    shown = features.detach()[chosen.to(features.device)].cpu().to(torch.float64)
    return (shown - mean) @ components.T
