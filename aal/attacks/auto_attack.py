"""AutoAttack: the standard ensemble, each attack on those samples that the ones before could not fool."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.attacks.apgd import APGD
from aal.attacks.apgdt import APGDT
from aal.attacks.base import Adversarial, Attack, attacking
from aal.attacks.fab import FABT
from aal.attacks.norms import norm_but_l1
from aal.attacks.square import Square
from aal.checks import at_least


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Attack):
    """Try APGD-CE, APGD-T, FAB-T and Square in turn, each on the samples that are not fooled yet.

    What a sample gets is what the attacks make of it by themselves: none of them knows of the others.

    Source: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks", section 6, in its standard version: one run of each, 100 steps, 9 target classes, 5000 queries.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf`` or ``l2``.
        steps: Most steps of APGD-CE, and of APGD-T and FAB-T towards a class, at least 1.
        targets: Most classes that APGD-T and FAB-T try, at least 1.
        queries: Most queries of Square, at least 2.

    Raises:
        UserError: A value outside its range.
    """

    radius: float = 8 / 255
    norm: str = "linf"
    steps: int = 100
    targets: int = 9
    queries: int = 5000

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        at_least(0, {"radius": self.radius})
        at_least(1, {"steps": self.steps, "targets": self.targets})
        at_least(2, {"queries": self.queries})
        norm_but_l1(self.norm)

    @property
    def attacks(self) -> tuple[APGD | APGDT | FABT | Square, ...]:
        """The attacks in their order, to be called by themselves."""
        norm, radius, steps = self.norm, self.radius, self.steps
        return (
            APGD(norm=norm, radius=radius, steps=steps),
            APGDT(norm=norm, radius=radius, steps=steps, targets=self.targets),
            FABT(norm=norm, radius=radius, steps=steps, targets=self.targets),
            Square(norm=norm, radius=radius, queries=self.queries),
        )

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
            seeds: int64 ``(B,)``, what each sample's randomness depends on; ``None`` for its row.

        Returns:
            Samples (what fools the model, or else the last attack's best; where the goal is reached to begin with, the
            sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``attack`` that fooled the
            model, its place in ``attacks``, int64 ``(B,)``; -1 for none.

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            logits = task.predict(task.x)
            task.check_classes(logits.shape[1])
            success = task.reached(logits, task.labels)
            found, queries, fooled_by = task.x.clone(), torch.ones_like(task.rows), torch.full_like(task.rows, -1)
            for place, attack in enumerate(self.attacks):
                task.refuse_nan()
                rows = task.rows[~success]
                if len(rows) == 0:
                    break
                result = attack.on(task, rows)
                found[rows] = result.x[rows]
                queries += result.queries
                fooled_by[result.success] = place
                success |= result.success
            distance = norm_but_l1(self.norm).size(found - task.x)
            return Adversarial(found, success, distance, queries, {"attack": fooled_by})
