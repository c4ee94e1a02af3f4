"""The Nadaraya-Watson kernel classifier: a vote of the training points, each weighted by a kernel of its distance."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from aal.attacks.soft_vote import soft_vote
from aal.checks import one_of, positive
from aal.distances import faults, full
from aal.networks.instance_network import InstanceNetwork

KERNELS = ("gaussian", "epanechnikov", "uniform")
ELEMENTS = 2**22  # of a block of distances: 32 MiB in float64


class NadarayaWatson(InstanceNetwork):
    """Classifies by the class with the largest share of ``K(|x - z| / h)``, summed over the training points z.

    ``gaussian`` is ``K(u) = exp(-u^2 / 2)``; the logits are the logarithms of the classwise sums, so that their softmax
    is the shares, however far all points are; of a class without points they are 1000 below the lowest other.
    ``epanechnikov`` is ``1 - u^2`` and ``uniform`` 1, both for ``u < 1`` and else 0; the logits are the shares. Where
    no training point is nearer than ``h`` these are 0 by 0, and as is usual taken as 0 for all classes, so that class 0
    is predicted. Between equal shares the lower class is. A forward pass takes the memory of its batch and a block of
    distances; a gradient through a compact kernel that of all distances of the batch. Source: paper *shadow*, section
    3.2, whose compact kernel is ``uniform``.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        kernel: ``gaussian``, ``epanechnikov`` or ``uniform``.
        h: Its width, in the units of the samples, above 0.

    Raises:
        UserError: ``h`` is not above 0; another ``kernel``; no class.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], num_classes: int, kernel: str = "gaussian", h: float = 0.1
    ) -> None:
        super().__init__(sample_shape, num_classes)
        one_of(KERNELS, {"kernel": kernel})
        positive({"h": h})
        self.kernel, self.h = kernel, h

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, *sample_shape)`` to logits ``(B, C)``.

        They are all 0 without training points, and NaN for a sample that is not finite.
        """
        if not self.labels.numel():
            return x.new_zeros(len(x), self.num_classes)
        if self.kernel == "gaussian":
            return soft_vote(x, self.points, self.labels, self.num_classes, 2 * self.h**2)
        samples, points = full(x).double(), full(self.points).double()
        own = one_hot(self.labels, self.num_classes).double()
        size = max(1, ELEMENTS // max(1, len(x)))
        sums = sum(
            self._weights(samples, part) @ classes
            for part, classes in zip(points.split(size), own.split(size), strict=True)
        )
        assert isinstance(sums, Tensor)
        shares = sums / sums.sum(1, keepdim=True).clamp_min(torch.finfo(sums.dtype).tiny)
        return (shares + faults(samples)[:, None]).to(x.dtype)

    def _weights(self, x: Tensor, points: Tensor) -> Tensor:
        """Return the compact kernel of distances ``(B, N)``, which are made of differences: products move its edge."""
        distances = torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist")
        if self.kernel == "uniform":
            return (distances < self.h).double()
        return (1 - (distances / self.h).square()).clamp_min(0)
