"""Gaussian noise: an attack of no cost, that asks the model only whether it was fooled."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.attacks.base import Adversarial, Attack, attacking
from aal.attacks.draws import normal
from aal.attacks.norms import NORMS
from aal.checks import at_least


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

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"variance": self.variance})

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
    ) -> Adversarial:
        """Disturb samples, and see whether the classifier is fooled.

        Args:
            model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
            x: Samples ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``; ``None``: any but the label. The noise does not depend on them.
            bounds: The data's range (low, high).
            seeds: int64 ``(B,)``, what each sample's noise depends on; ``None`` for its row.

        Returns:
            Samples, ``success``, and ``distance`` in L2.

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            noise = normal(task.seeds, 0, tuple(x.shape[1:]), x.dtype).mul_(self.variance**0.5)
            noisy = noise.add_(task.x).clamp_(task.low, task.high)
            logits = task.predict(noisy)
            task.check_classes(logits.shape[1])
            success, distance = task.reached(logits, task.labels), NORMS["l2"].size(noisy - task.x)
            return Adversarial(noisy, success, distance, torch.ones_like(task.rows))
