"""The feature space as the head sees it: the pool and the poison on their first two principal components (Figure 2)."""

from pathlib import Path

import torch
from torch import Tensor

from aal.report.style import POISON, POOL, ink, panels, render, style
from aal.runs import files
from aal.seeds import generator

SHOWN = 5000  # points drawn of each kind; more only make the picture heavier
SPAN = 32  # directions iterated for the two that are wanted: the gap to the 33rd sets how fast they are found
ITERATIONS = 8  # an error shrinks by (s_33 / s_2)^2 in each, s the singular values


def principal_components(*features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a PCA of two components on all features together, in memory of the size of the features.

    Source: Halko, Martinsson and Tropp, "Finding Structure with Randomness", algorithm 4.4, from a start that is always
    the same. Exact, up to rounding, where there are at most 32 features or D is at most 32.

    Args:
        *features: Features ``(., D)``, in any units; D may not be 0.

    Returns:
        Mean ``(D,)``, components ``(2, D)`` of unit length, the entry of each that is largest in size positive (a zero
        vector where D is 1, or there is one feature), and the share of the variance ``(2,)`` that each explains; all
        float64.

    Raises:
        ValueError: There is no feature, or one is not finite.
    """
    centred = torch.cat([some.detach().cpu().to(torch.float64) for some in features])
    if not len(centred) or not centred.isfinite().all():
        raise ValueError("a PCA needs features, all of them finite")
    mean = centred.mean(0)
    centred -= mean
    span = min(SPAN, *centred.shape)
    directions = torch.randn(len(mean), span, generator=generator(0, "principal components"), dtype=torch.float64)
    for _ in range(ITERATIONS):
        directions = torch.linalg.qr(centred.T @ (centred @ directions)).Q
    _, sizes, turns = torch.linalg.svd(centred @ directions, full_matrices=False)  # descending
    vectors = (turns @ directions.T)[:2]
    vectors *= vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    shares = (sizes[:2].square() / torch.linalg.vector_norm(centred).square()).nan_to_num(0.0)
    lacking = 2 - len(vectors)
    return mean, torch.nn.functional.pad(vectors, (0, 0, 0, lacking)), torch.nn.functional.pad(shares, (0, lacking))


@style()
def features_figure(pool_features: Tensor, poison_features: Tensor, path: Path) -> None:
    """Write the paper's Figure 2: pool and poison features on the first two principal components of both together.

    At most :data:`SHOWN` points of each are drawn, chosen at random but always the same; the components, and the shares
    of the variance, are those of the points that are drawn.

    Args:
        pool_features: Features of the natural pool ``(P, D)``.
        poison_features: Features of the poison as the learner sees it, ``(N, D)``; N may be 0.
        path: The file, ``.png`` or ``.svg``.

    Raises:
        ValueError: There is no feature, or one that is drawn is not finite.
        OSError: The file could not be written.
    """
    pool, poison = _shown(pool_features, "pool"), _shown(poison_features, "poison")
    mean, components, shares = principal_components(pool, poison)
    figure, (axes,) = panels(1, 5.2, 3.9)
    kinds = (
        (f"pool ({len(pool_features):,})", pool, POOL, 0.35, 9),
        (f"poison ({len(poison_features):,})", poison, POISON, 0.8, 24),
    )
    for label, features, colour, alpha, size in kinds:
        x, y = ((features - mean) @ components.T).T
        axes.scatter(x.tolist(), y.tolist(), s=size, color=colour, alpha=alpha, linewidths=0, label=label)
    axes.set(
        xlabel=f"first principal component ({float(shares[0]):.0%} of variance)",
        ylabel=f"second principal component ({float(shares[1]):.0%})",
    )
    legend = axes.legend(loc="best", labelcolor=[ink(POOL), ink(POISON)], markerscale=1.2, handletextpad=0.2)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1.0)
    files.write_bytes(path, render(figure, path.suffix))


def _shown(features: Tensor, name: str) -> Tensor:
    """Return the features that are drawn, ``(., D)`` on the CPU."""
    chosen = torch.randperm(len(features), generator=generator(0, "features figure", name))[:SHOWN].sort().values
    return features.detach()[chosen.to(features.device)].cpu()
