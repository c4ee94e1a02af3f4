"""Adversarial path: an unbounded walk along the gradient's sign until the predicted class flips."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.ascent import log_odds_and_gradient, own_units
from aal.attacks.base import FROM_1, Adversarial, Attack, Task, gradient_of
from aal.attacks.norms import NORMS
from aal.checks import positive


@dataclass(frozen=True, kw_only=True)
class AdversarialPath(Attack):
    """Take small FGSM steps, in no ball around the sample, until the model predicts another class, or the target.

    The number of steps tells how far a sample is from the decision boundary.

    Source: paper *noise*, section 4.3.1, and its Algorithm 2 where there are targets. The paper does not clip.

    Args:
        step_size: Change of every element in a step, in the units of the samples, above 0.
        steps: Most steps m, at least 1; a sample that needs more is not fooled.
        clip: Whether every point of the path is kept within the bounds.
        keep_points: Whether to return the points of the paths; they take one copy of the batch for every step of the
            longest path.

    Raises:
        UserError: A value outside its range.
    """

    step_size: float = 0.01
    steps: int = 100
    clip: bool = False
    keep_points: bool = False

    ranges = Attack.ranges | {"step_size": positive, "steps": FROM_1}

    @property
    def bounded(self) -> bool:
        """Whether what it makes stays within the data's range: where the path is clipped."""
        return self.clip

    def attack(self, task: Task) -> Adversarial:
        """Walk from every sample until the classifier is fooled.

        Returns:
            The ends of the paths, ``success``, ``distance`` from the sample in L-inf, and in ``info``: ``steps`` taken,
            int64 ``(B,)``, 0 where the goal was reached to begin with; ``l2``, the distance in L2 ``(B,)``; where
            ``keep_points``, ``points`` ``(B, K + 1, ...)``, K the steps of the batch's longest path: the sample, then
            the point after each step, shorter paths staying at their end.
        """
        rows, labels, x = task.rows, task.labels, task.x
        ends, success, steps = x.clone(), torch.zeros_like(rows, dtype=torch.bool), torch.zeros_like(rows)
        trail = []  # of each step the rows that took it, and where it led
        for step in range(self.steps + 1):
            fooled, gradient = _look(task, rows, labels, x)
            success[rows] = fooled
            left = (~fooled).nonzero().squeeze(1)  # the one thing in a step that waits for the device
            if len(left) == 0 or step == self.steps:
                break
            if len(left) < len(rows):
                task.refuse_nan()
                rows, labels, x, gradient = (t[left] for t in (rows, labels, x, gradient))
            x = x.add(gradient.sign_(), alpha=-self.step_size if task.targeted else self.step_size)
            if self.clip:
                x = x.clamp_(task.low, task.high)
            ends[rows] = x
            steps[rows] += 1
            if self.keep_points:
                trail.append((rows, x))
        path = ends - task.x
        info = {"steps": steps, "l2": NORMS["l2"].size(path)}
        if self.keep_points:
            info["points"] = torch.stack([task.x] + [ends] * len(trail), dim=1)
            for step, (rows, x) in enumerate(trail, start=1):
                info["points"][rows, step] = x
        return Adversarial(ends, success, NORMS["linf"].size(path), steps + 1, info)


AT_ONCE = 500  # samples: on a CPU the layers' outputs for more of them take longer to write and to read again


def _look(task: Task, rows: Tensor, labels: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Tell which points reach the goal, and the gradients of the log-odds against their labels there.

    Args:
        task: What is attacked.
        rows: The samples' rows ``(N,)``.
        labels: Their labels or targets ``(N,)``.
        x: Their points ``(N, ...)``.

    Returns:
        bool ``(N,)``, and the gradients ``(N, ...)``.
    """
    fooled, gradients = [], []
    for part_rows, part_labels, part_x in zip(*(t.split(AT_ONCE) for t in (rows, labels, x)), strict=True):
        leaf, logits = task.look(part_x, part_rows)
        values = logits.detach()
        fooled.append(task.reached(values, part_labels))
        gradients.append(gradient_of(logits, leaf, log_odds_and_gradient(values / own_units(values), part_labels)[1]))
    return torch.cat(fooled), torch.cat(gradients)
