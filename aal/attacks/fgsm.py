"""Fast gradient sign method: one step of the attack's radius; and the basic iterative method, which takes many."""

from dataclasses import dataclass

from aal.attacks.base import FROM_1, Adversarial, Task, WarmStart, WithinRadius, or_none
from aal.attacks.norms import any_norm
from aal.attacks.pgd import PGD
from aal.checks import positive


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

    ranges = WithinRadius.ranges | {"norm": any_norm}

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss``, as of :class:`PGD`.
        """
        return BIM(radius=self.radius, norm=self.norm, steps=1).attack(task)


@dataclass(frozen=True, kw_only=True)
class BIM(WarmStart):
    """The basic iterative method: FGSM in small steps, after each of which the sample is put back into the ball.

    Of the points on the way the one with the highest loss is returned.

    Source: Kurakin, Goodfellow and Bengio, "Adversarial Examples in the Physical World".

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: The norm of radius and steps: ``linf``, ``l2`` or ``l1``.
        steps: Number of steps.
        step_size: Length of a step, above 0; ``null`` for ``radius / steps``.
        early_stop: Whether a sample is finished once it is fooled, instead of going on to a higher loss.

    Raises:
        UserError: A value outside its range.
    """

    ranges = WarmStart.ranges | {"norm": any_norm, "steps": FROM_1, "step_size": or_none(positive)}
    steps: int = 10
    step_size: float | None = None
    early_stop: bool = False

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss``, as of :class:`PGD`.
        """
        length = self.step_size or self.radius / self.steps or None  # with a radius of 0 any length will do
        return PGD(
            radius=self.radius,
            norm=self.norm,
            steps=self.steps,
            step_size=length,
            random_start=False,
            early_stop=self.early_stop,
        ).attack(task)
