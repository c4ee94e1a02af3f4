"""Gaussian noise: an attack of no cost, that asks the model only whether it was fooled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.base import FROM_0, Adversarial, Attack, Task
from aal.attacks.draws import normal
from aal.attacks.norms import NORMS


@dataclass(frozen=True, kw_only=True)
class GaussianNoise(Attack):
    """Add independent normal noise of mean 0 to every element, then clip to the bounds.

    Source: paper *robust*, section III.D and the settings of section IV.B, which take a variance of 0.3.

    Args:
        variance: Variance of the noise before clipping, in the squared units of the samples, at least 0. The default is
            the paper's, for images in [0, 1].

    Raises:
        UserError: A negative ``variance``.
    """

    variance: float = 0.3

    ranges = Attack.ranges | {"variance": FROM_0}

    def attack(self, task: Task) -> Adversarial:
        """Disturb samples, and see whether the classifier is fooled.

        Returns:
            Samples, ``success``, and ``distance`` in L2.
        """
        noise = normal(task.seeds, 0, tuple(task.x.shape[1:]), task.x.dtype).mul_(self.variance**0.5)
        return blind(task, noise.add_(task.x).clamp_(task.low, task.high), {})


def blind(task: Task, x: Tensor, info: dict[str, Tensor]) -> Adversarial:
    """Return what an attack that did not look at the model made, ``x`` ``(B, ...)``, with its ``distance`` in L2."""
    success = task.reached(task.predict(x), task.labels)
    return Adversarial(x, success, NORMS["l2"].size(x - task.x), torch.ones_like(task.rows), info)
