"""Seeded, stratified splits."""

from collections.abc import Sequence

import numpy as np
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
    for members in of_each_class(labels):
        shuffled = members[torch.randperm(len(members), generator=generator)]
        offset = torch.rand((), generator=generator, dtype=torch.float64)
        place[shuffled] = (torch.arange(len(members), dtype=torch.float64) + offset) / len(members)
    order = torch.argsort(place, stable=True)
    ends = (torch.tensor(shares, dtype=torch.float64).cumsum(0) * len(labels)).round().long().tolist()
    ends[-1] = len(labels)
    return [order[start:end].sort().values for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def of_each_class(labels: Tensor) -> tuple[Tensor, ...]:
    """Return the indices of each class that there is, ascending; classes ascend, too.

    One sort, so that many classes cost no more than few.

    Args:
        labels: Class of each sample ``(N,)``.
    """
    return tuple(labels.argsort(stable=True).split(labels.unique(return_counts=True)[1].tolist()))


def grouped(labels: Tensor, groups: Tensor, shares: Sequence[float], generator: torch.Generator) -> list[Tensor]:
    """Split samples at random so that no group lies in two parts, and every part has near its share of each class.

    The groups come in random order; each goes to the part that has been given the least of what it should have, of
    the classes in the group and of samples at all. Groups of one sample give parts right to within about one sample a
    class; larger ones are coarser.

    Args:
        labels: Class of each sample ``(N,)``.
        groups: Group of each sample ``(N,)``, such as who speaks.
        shares: Share of each part, above 0; they sum to 1.
        generator: The only source of randomness.

    Returns:
        Indices of each part, ascending; together they are all of ``range(N)``.
    """
    _, group = groups.unique(return_inverse=True)
    _, label = labels.unique(return_inverse=True)
    members = torch.zeros(len(group.unique()), len(label.unique()) + 1, dtype=torch.float64)
    members.index_put_((group, label), torch.ones(len(group), dtype=torch.float64), accumulate=True)
    members[:, -1] = members.sum(1)  # of any class
    wanted = torch.tensor(shares, dtype=torch.float64)[:, None].numpy() * members.sum(0).numpy()
    given, part = np.zeros_like(wanted), np.zeros(len(members), dtype=np.int64)
    for g in torch.randperm(len(members), generator=generator).tolist():
        own = members[g].numpy()
        part[g] = (given / wanted @ own).argmin()
        given[part[g]] += own
    return [(torch.from_numpy(part)[group] == p).nonzero()[:, 0] for p in range(len(shares))]
