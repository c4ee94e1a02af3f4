"""The soft vote of a whole training set: every point votes for its class by a Gaussian of its distance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

ELEMENTS = 2**22  # of a block of points or distances: 32 MiB in float64
ROUNDING = 2.0**-40  # share of what a slope is the sum of, that may be nothing but rounding
NEVER = 1000.0  # how far the log-sum of a class without points lies below all others: a probability of 0


def soft_vote(x: Tensor, points: Tensor, labels: Tensor, num_classes: int, width: float) -> Tensor:
    """Return for each class the logarithm of the sum over its points z of ``exp(-|x - z|^2 / width)``.

    Their softmax is the vote of Equation 10 of paper *shadow*, which nothing far from all points makes vanish. It takes
    the memory of the batch and a block of distances. Differentiable by ``x``, once.

    Args:
        x: Samples ``(B, ...)``.
        points: The training points ``(N, ...)``, at least one.
        labels: Their labels ``(N,)``.
        num_classes: Number of classes C.
        width: The paper's c, in the squared units of the samples, above 0.

    Returns:
        The log-sums ``(B, C)``, of the dtype of ``x``; that of a class without points is 1000 below the lowest other.
    """
    flat = points.detach().flatten(1)
    # products lose less where the points are about 0, and nothing of a feature that is the same for all
    low, high = (end.double() for end in torch.aminmax(flat, dim=0))
    origin = flat.mean(0, dtype=torch.float64).clamp(low, high)
    reach = torch.maximum(origin - low, high - origin)
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels, minlength=num_classes).tolist()
    sums: Tensor = _LogSums.apply(
        x.flatten(1).double() - origin, _Sites(flat, origin, reach, order.split(counts), width)
    )
    return sums.to(x.dtype)


@dataclass(frozen=True)
class _Sites:
    """The points that vote.

    Attributes:
        points: All of them ``(N, D)``.
        origin: What is taken from them ``(D,)``.
        reach: How far they are from it then at most, ``(D,)``.
        classes: The rows of each class.
        width: The width of the Gaussian.
    """

    points: Tensor
    origin: Tensor
    reach: Tensor
    classes: tuple[Tensor, ...]
    width: float

    def exponents(self, x: Tensor, label: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the exponents of samples ``(B, D)`` and points of a class ``(B, n)``, and the points, block by block."""
        size = max(1, ELEMENTS // max(1, *x.shape))
        for rows in self.classes[label].split(size):
            block = self.points[rows].double() - self.origin
            yield squared_distances(x, block).div_(-self.width), block


class _LogSums(torch.autograd.Function):
    """The log-sums of samples ``(B, D)``, which are given without the origin."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, sites: _Sites) -> Tensor:
        sums = x.new_full((len(x), len(sites.classes)), -math.inf)
        for label in range(len(sites.classes)):
            for exponents, _ in sites.exponents(x, label):
                sums[:, label] = torch.logaddexp(sums[:, label], exponents.logsumexp(1))
        empty = torch.tensor([not len(rows) for rows in sites.classes], device=x.device)
        sums[:, empty] = sums[:, ~empty].amin(1, keepdim=True) - NEVER
        ctx.save_for_backward(x, sums)
        ctx.sites = sites  # type: ignore[attr-defined]
        return sums

    @staticmethod
    def backward(ctx: FunctionCtx, weights: Tensor) -> tuple[Tensor, None]:
        x, sums = ctx.saved_tensors  # type: ignore[attr-defined]
        sites: _Sites = ctx.sites  # type: ignore[attr-defined]
        pull, sizes = torch.zeros_like(x), x.new_zeros(len(x), 1)
        for label in range(len(sites.classes)):
            for exponents, block in sites.exponents(x, label):
                shares = exponents.sub_(sums[:, label, None]).exp_().mul_(weights[:, label, None])
                pull += shares.sum(1, keepdim=True) * x - shares @ block
                sizes += shares.abs().sum(1, keepdim=True)
        pull[pull.abs() <= ROUNDING * sizes * (x.abs() + sites.reach)] = 0.0  # which a sign would make a whole step of
        return pull * (-2 / sites.width), None


def squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """Return squared distances ``(B, N)`` of samples ``(B, D)`` to points ``(N, D)``, by a product: both near 0."""
    squared = torch.addmm(points.square().sum(1), x, points.T, alpha=-2)
    return squared.add_(x.square().sum(1, keepdim=True)).clamp_min_(0)
