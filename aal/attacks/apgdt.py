"""APGD-T: APGD on the targeted difference of logits ratio, towards one class after another."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aal.attacks.apgd import climb
from aal.attacks.ascent import Points
from aal.attacks.base import FROM_1, Adversarial, Task, WithinRadius
from aal.attacks.margins import aims, rivals, targeted_dlr


@dataclass(frozen=True, kw_only=True)
class APGDT(WithinRadius):
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

    steps: int = 100
    targets: int = 9

    ranges = WithinRadius.ranges | {"steps": FROM_1, "targets": FROM_1}

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (the point that fools the model, or else the one with the highest loss; where the goal is reached
            to begin with, the sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``loss``.
        """
        found, queries, logits = Points.none(task.x), torch.ones_like(task.rows), task.predict(task.x)
        found.update(success=task.reached(logits, task.labels))
        classes = aims(task, logits, task.rows, self.targets)

        def loss(logits: Tensor, rows: Tensor, turn: int) -> Tensor:
            return targeted_dlr(logits, rivals(task, logits, rows), classes[rows, turn])

        for turn in range(classes.shape[1]):
            left = task.rows[~found.success]
            if len(left) == 0:
                break
            task.refuse_nan()
            towards = partial(loss, turn=turn)
            climb(task, left, towards, self, self.steps, draw=turn + 1, found=found, queries=queries)
        return Adversarial(found.x, found.success, self.ball.size(found.x - task.x), queries, {"loss": found.loss})
