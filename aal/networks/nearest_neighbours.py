"""The k-nearest-neighbour classifier: each of the nearest training points has a vote."""

import torch
from torch import Tensor

from aal.checks import count
from aal.distances import faults, full
from aal.networks.instance_network import InstanceNetwork
from aal.networks.k_nearest import k_nearest


class NearestNeighbours(InstanceNetwork):
    """Classifies by a vote of the ``k`` nearest training points in L2; between classes with equal votes by the lower.

    Distances are sums of squared differences in float64, whatever the precision of the points, and where points at the
    same distance compete for the last votes they are chosen as scikit-learn's brute force chooses on one thread
    (:func:`aal.networks.k_nearest.k_nearest`). Only where distances are the same but for the rounding of float64, as on
    a lattice with a spacing of 0.1, may its choice be another: it follows the rounding of its products there.

    A forward pass takes the memory of its batch and a block of distances. Nothing has a gradient. Source: paper
    *shadow*, Equations 1 and 2.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        k: Neighbors that vote; all training points where there are fewer.

    Raises:
        UserError: ``k`` that is no whole number from 1; no class.
    """

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int, k: int = 1) -> None:
        super().__init__(sample_shape, num_classes)
        count({"k": k})
        self.k = k

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, *sample_shape)`` to logits ``(B, C)``, the numbers of votes.

        They are all 0 without training points, and NaN for a sample that is not finite.
        """
        votes = x.new_zeros(len(x), self.num_classes)
        if not self.labels.numel():
            return votes
        flat = full(x)
        wrong = faults(flat)
        chosen = self.labels[k_nearest(flat.masked_fill(wrong.isnan()[:, None], 0), self.points.flatten(1), self.k)]
        votes.scatter_add_(1, chosen, votes.new_ones(()).expand(chosen.shape))
        return votes + wrong[:, None].to(x.dtype)
