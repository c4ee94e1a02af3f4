"""The soft k-nearest-neighbour classifier: a vote of the nearest training points, each by its inverse distance."""

from typing import Any

import torch
from torch import Tensor, nn

from aal.checks import at_least

FLOOR = 1e-6  # least distance, in the units of the samples: weights stay finite at a training point itself


class SoftKNN(nn.Module):
    """Classifies by the ``k`` nearest training points in L2, each weighted by the inverse of its distance.

    The classwise sums of the weights are the logits. At a training point itself its own weight is ``1 / FLOOR``, so
    that the softmax of the logits is the limit, 1 for its label, and its gradient is the limit too, 0. Among equally
    distant points the first ones taken in are nearer. Source: paper *noise*, chapter 3.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        k: Neighbours that vote; all training points where there are fewer.

    Raises:
        UserError: ``k`` below 1; no class.

    Attributes:
        points: The training points ``(N, *sample_shape)``, none before :meth:`take_in`.
        labels: Their labels ``(N,)``.
    """

    points: Tensor
    labels: Tensor

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int, k: int = 1) -> None:
        super().__init__()
        at_least(1, {"num_classes": num_classes, "k": k})
        self.num_classes, self.k = num_classes, k
        self.register_buffer("points", torch.empty(0, *sample_shape))
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))

    def take_in(self, x: Tensor, labels: Tensor) -> None:
        """Put training points ``(N, *sample_shape)`` and labels ``(N,)`` in the place of what is known."""
        self.points, self.labels = x.detach().to(self.points), labels.to(self.labels)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, *sample_shape)`` to logits ``(B, C)``, the classwise weights; all 0 without points."""
        known = self.points.to(x.dtype).flatten(1)
        # by differences: products lose what is near
        distances = torch.cdist(x.detach().flatten(1), known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.argsort(dim=1, stable=True)[:, : self.k]
        squares = (x.flatten(1)[:, None] - known[nearest]).square().sum(2)
        weights = squares.clamp_min(FLOOR**2).rsqrt()  # not the root first: its slope at 0 is infinite
        return x.new_zeros(len(x), self.num_classes).scatter_add(1, self.labels[nearest], weights)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take as many points as were saved."""
        for name in ("points", "labels"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, getattr(self, name).new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
