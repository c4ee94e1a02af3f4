"""The soft k-nearest-neighbour classifier: a vote of the nearest training points, each by its inverse distance."""

import torch
from torch import Tensor

from aal.checks import count
from aal.networks.instance_network import InstanceNetwork

FLOOR = 1e-6  # least distance, in the units of the samples: weights stay finite at a training point itself


class SoftKNN(InstanceNetwork):
    """Classifies by the ``k`` nearest training points in L2, each weighted by the inverse of its distance.

    The classwise sums of the weights are the logits. At a training point itself its own weight is ``1 / FLOOR``, so
    that the softmax of the logits is the limit, 1 for its label, and its gradient is the limit too, 0. Among equally
    distant points the first ones taken in are nearer. Source: paper *noise*, chapter 3.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        k: Neighbours that vote; all training points where there are fewer.

    Raises:
        UserError: ``k`` that is no whole number from 1; no class.
    """

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int, k: int = 1) -> None:
        super().__init__(sample_shape, num_classes)
        count({"k": k})
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, *sample_shape)`` to logits ``(B, C)``, the classwise weights; all 0 without points."""
        known = self.points.to(x.dtype).flatten(1)
        # by differences: products lose what is near
        distances = torch.cdist(x.detach().flatten(1), known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.argsort(dim=1, stable=True)[:, : self.k]
        squares = (x.flatten(1)[:, None] - known[nearest]).square().sum(2)
        weights = squares.clamp_min(FLOOR**2).rsqrt()  # not the root first: its slope at 0 is infinite
        return x.new_zeros(len(x), self.num_classes).scatter_add(1, self.labels[nearest], weights)
