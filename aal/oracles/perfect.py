"""The perfect oracle: one labeler who is always right."""

import torch
from torch import Tensor

from aal.oracles.base import Oracle


class Perfect(Oracle):
    """Gives the true label of natural samples and the base's true label of poisons; the labeler is number 0."""

    def label(self, indices: Tensor, *, round: int = 0) -> tuple[Tensor, Tensor]:
        """Label the samples ``(n,)`` truly."""
        return self.truth(indices), torch.zeros_like(indices)
