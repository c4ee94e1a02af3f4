"""Projected gradient descent: steepest ascent of the loss within a ball, from a random point of it."""

from dataclasses import dataclass
from typing import ClassVar

from aal.attacks.ascent import Ascent
from aal.attacks.attack import WarmStart
from aal.attacks.base import Adversarial
from aal.attacks.task import Task
from aal.checks import at_least, positive
from aal.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PGD(WarmStart):
    """Take steps of steepest ascent of the loss from a random point of the ball, and stay in the ball.

    Of all points on the way the one with the highest loss is returned, those that fool the model before the others.

    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks"; paper *shadow*, Equation 14;
    paper *noise*, Algorithm 1 (which starts from the sample itself: ``random_start: false``).

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: The norm of radius and steps: ``linf``, ``l2`` or ``l1``.
        steps: Number of steps of a try.
        step_size: Length of a step, above 0; ``null`` for ``2.5 * radius / steps``.
        random_start: Whether to start from a random point of the ball instead of the sample.
        restarts: Number of tries; from the second on only samples that are not fooled yet are tried.
        early_stop: Whether a sample is finished once it is fooled, instead of going on to a higher loss.

    Raises:
        UserError: A value outside its range; more than one try, but none of them random.
    """

    takes_l1: ClassVar[bool] = True
    steps: int = 20
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    early_stop: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        at_least(1, {"steps": self.steps, "restarts": self.restarts})
        if self.step_size is not None:
            positive({"step_size": self.step_size})
        if self.restarts > 1 and not self.random_start:
            raise UserError("restarts: tries without random_start would all be the same")

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds).
        """
        step_size = 2.5 * self.radius / self.steps if self.step_size is None else self.step_size
        tries = (self.random_start, self.restarts, self.early_stop)
        return Ascent(self.ball, self.radius, step_size, self.steps, *tries)(task)
