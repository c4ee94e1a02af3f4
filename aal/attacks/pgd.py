"""Projected gradient descent: steepest ascent of the loss within a ball, from a random point of it."""

from dataclasses import dataclass

from torch import Tensor, nn

from aal.attacks.ascent import Ascent
from aal.attacks.base import Adversarial, Attack, attacking
from aal.attacks.norms import norm_of
from aal.checks import at_least, positive
from aal.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
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

    radius: float = 8 / 255
    norm: str = "linf"
    steps: int = 20
    step_size: float | None = None
    random_start: bool = True
    restarts: int = 1
    early_stop: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        at_least(1, {"steps": self.steps, "restarts": self.restarts})
        norm_of(self.norm)
        if self.step_size is not None:
            positive({"step_size": self.step_size})
        if self.restarts > 1 and not self.random_start:
            raise UserError("restarts: tries without random_start would all be the same")

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Adversarial:
        """Attack a classifier.

        Args:
            model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit of class 1 ``(B, 1)``.
            x: Samples ``(B, ...)`` within ``bounds``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``; ``None``: any but the label.
            bounds: The data's range (low, high).
            seeds: int64 ``(B,)``, what each sample's random starts depend on; ``None`` for its row.
            start: Points to begin with ``(B, ...)``, such as the result for a smaller radius; ``None`` for
                ``random_start``, which later tries have in any case.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds).

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        step_size = 2.5 * self.radius / self.steps if self.step_size is None else self.step_size
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            norm = norm_of(self.norm)
            tries = (self.random_start, self.restarts, self.early_stop)
            return Ascent(norm, self.radius, step_size, self.steps, *tries)(task, start)
