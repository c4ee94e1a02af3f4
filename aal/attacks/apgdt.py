"""APGD-T: APGD on the targeted difference of logits ratio, towards one class after another."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from aal.attacks.apgd import climb
from aal.attacks.ascent import Points
from aal.attacks.base import Adversarial, Attack, Task, attacking
from aal.attacks.margins import aims, rivals, targeted_dlr
from aal.attacks.norms import norm_but_l1
from aal.checks import at_least


@dataclass(frozen=True, kw_only=True)
class APGDT(Attack):
    """Climb the targeted DLR as APGD does, towards the classes with the highest logits in turn, until one try succeeds.

    Any class but the label is a success, not the one aimed at alone; with ``target``, that class alone.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", Algorithm 1 and Equation 7.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        steps: Most steps towards a class, at least 1.
        targets: Most classes to try, at least 1; there are none but those of the model less the label's.

    Raises:
        UserError: A value outside its range.
    """

    radius: float = 8 / 255
    norm: str = "linf"
    steps: int = 100
    targets: int = 9

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        at_least(1, {"steps": self.steps, "targets": self.targets})
        norm_but_l1(self.norm)

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
            seeds: int64 ``(B,)``, what each sample's random starts depend on; ``None`` for its row.

        Returns:
            Samples (the point that fools the model, or else the one with the highest loss; where the goal is reached
            to begin with, the sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss``.

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            return self.on(task, task.rows)

    def on(self, task: Task, rows: Tensor) -> Adversarial:
        """Attack the samples ``rows`` ``(N,)`` of ``task``; the others are returned as they are."""
        norm = norm_but_l1(self.norm)
        found, queries = Points.none(task.x), torch.zeros_like(task.rows)
        with torch.no_grad():
            logits = task.logits(task.x[rows], rows)
        queries[rows] += 1
        task.check_classes(logits.shape[1])
        found.success[rows] = task.reached(logits, task.labels[rows])
        classes = aims(task, logits, rows, self.targets)
        towards = task.rows.new_zeros(len(task.rows), classes.shape[1])
        towards[rows] = classes

        def loss(logits: Tensor, rows: Tensor, turn: int) -> Tensor:
            return targeted_dlr(logits, rivals(task, logits, rows), towards[rows, turn])

        for turn in range(classes.shape[1]):
            left = rows[~found.success[rows]]
            if len(left) == 0:
                break
            task.refuse_nan()
            ball = (norm, self.radius, self.steps)
            climb(task, left, partial(loss, turn=turn), *ball, draw=turn + 1, found=found, queries=queries)
        return Adversarial(found.x, found.success, norm.size(found.x - task.x), queries, {"loss": found.loss})
