"""Fast gradient sign method: one step of the attack's radius."""

from dataclasses import dataclass
from typing import ClassVar

from aal.attacks.base import Adversarial, Task, WithinRadius
from aal.attacks.pgd import PGD


@dataclass(frozen=True, kw_only=True)
class FGSM(WithinRadius):
    """Move each sample by ``radius`` along the steepest ascent of the loss; in L-inf that is the gradient's sign.

    Source: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples"; paper *shadow*, Equation
    13; paper *noise*, section 2.4.1. The other norms take the step of the same norm that the gradient favours.

    Args:
        radius: Size of the perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf``, ``l2`` or ``l1``.

    Raises:
        UserError: A negative ``radius``, another ``norm``.
    """

    takes_l1: ClassVar[bool] = True

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds).
        """
        length = self.radius or None  # with a radius of 0 any length will do
        return PGD(radius=self.radius, norm=self.norm, steps=1, step_size=length, random_start=False).attack(task)
