"""Fast gradient sign method: one step of the attack's radius."""

from dataclasses import dataclass

from torch import Tensor, nn

from aal.attacks.ascent import Ascent
from aal.attacks.base import Adversarial, Attack, attacking
from aal.attacks.norms import norm_of
from aal.checks import at_least


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Move each sample by ``radius`` along the steepest ascent of the loss; in L-inf that is the gradient's sign.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples"; paper *shadow*, Equation
    13; paper *noise*, section 2.4.1. The other norms take the step of the same norm that the gradient favours.

    Args:
        radius: Size of the perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf``, ``l2`` or ``l1``.

    Raises:
        UserError: A negative ``radius``, another ``norm``.
    """

    radius: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        norm_of(self.norm)

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
        """Attack a classifier.

        Args:
            model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
            x: Samples ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``; ``None``: any but the label.
            bounds: The data's range (low, high).
            seeds: Not used: nothing is drawn at random.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds).

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            return Ascent(norm_of(self.norm), self.radius, self.radius, steps=1)(task)
