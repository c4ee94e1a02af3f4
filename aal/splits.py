"""Seeded, stratified splits."""

from collections.abc import Sequence

import torch
from torch import Tensor


def stratified(labels: Tensor, shares: Sequence[float], generator: torch.Generator) -> list[Tensor]:
    """Split samples at random so that every part has each class in the same proportion.

    Within each class the shuffled samples are spread evenly over [0, 1); sorted by that place, the samples are cut
    at the shares. So both the parts' sizes and their classes are right to within one sample.

    Args:
        labels: Class of each sample ``(N,)``.
        shares: Share of each part; they sum to 1.
        generator: The only source of randomness.

    Returns:
        Indices of each part, ascending; together they are all of ``range(N)``.
    """
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        shuffled = members[torch.randperm(len(members), generator=generator)]
        offset = torch.rand((), generator=generator, dtype=torch.float64)
        place[shuffled] = (torch.arange(len(members), dtype=torch.float64) + offset) / len(members)
    order = torch.argsort(place, stable=True)
    ends = (torch.tensor(shares, dtype=torch.float64).cumsum(0) * len(labels)).round().long().tolist()
    ends[-1] = len(labels)
    return [order[start:end].sort().values for start, end in zip([0, *ends[:-1]], ends, strict=True)]
