"""The non-negative scale of paper *shadow*, section 5.2: how much of a perturbation stays on the near side."""

import torch
from torch import Tensor

from aal.attacks.base import column
from aal.oracles.victim import Victim

HALVINGS = 10  # of the scale: to a thousandth of the perturbation


def nearest_side(victim: Victim, x: Tensor, way: Tensor, labels: Tensor) -> Tensor:
    """Find the scale of perturbations that leaves points on the near side of the victim's boundary.

    That is the paper's non-negative scale (section 5.2), by bisection: 1 where the victim gives the whole perturbation
    the label, 0 where no part of it was seen to have it. The victim is asked ``1 + HALVINGS`` times at most.

    Args:
        victim: Answers, and counts.
        x: Samples ``(N, ...)``.
        way: Their perturbations ``(N, ...)``.
        labels: The labels ``(N,)`` of their side.

    Returns:
        Scales ``(N,)``.
    """
    scale = (victim.predict(x + way) == labels).to(x.dtype)
    rows = (scale == 0).nonzero()[:, 0]
    x, way, labels = x[rows], way[rows], labels[rows]
    near, far = torch.zeros(len(rows), dtype=way.dtype, device=way.device), torch.ones_like(labels, dtype=way.dtype)
    for _ in range(HALVINGS if len(rows) else 0):
        middle = (near + far) / 2
        inside = victim.predict(x + way * column(middle, way)) == labels
        near, far = torch.where(inside, middle, near), torch.where(inside, far, middle)
    return scale.index_copy(0, rows, near)
