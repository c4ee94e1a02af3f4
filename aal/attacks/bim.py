"""Basic iterative method: FGSM in small steps, from the sample itself."""

from dataclasses import dataclass

from torch import Tensor, nn

from aal.attacks.ascent import Ascent
from aal.attacks.base import Adversarial, Attack, attacking
from aal.attacks.norms import norm_of
from aal.checks import at_least, positive


@dataclass(frozen=True, kw_only=True)
class BIM(Attack):
    """Take steps of steepest ascent of the loss, after each of which the sample is put back into the ball.

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

    radius: float = 8 / 255
    norm: str = "linf"
    steps: int = 10
    step_size: float | None = None
    early_stop: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        at_least(1, {"steps": self.steps})
        norm_of(self.norm)
        if self.step_size is not None:
            positive({"step_size": self.step_size})

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
            seeds: Not used: nothing is drawn at random.
            start: Points to begin with ``(B, ...)``, such as the result for a smaller radius; ``None`` for ``x``.

        Returns:
            Samples, ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss`` (log-odds).

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        step_size = self.radius / self.steps if self.step_size is None else self.step_size
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            ascent = Ascent(norm_of(self.norm), self.radius, step_size, self.steps, early_stop=self.early_stop)
            return ascent(task, start)
