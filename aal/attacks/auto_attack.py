"""AutoAttack: the standard ensemble, each attack on those samples that the ones before could not fool."""

from dataclasses import dataclass

import torch

from aal.attacks.apgd import APGD, APGDT
from aal.attacks.base import FROM_1, FROM_2, Adversarial, Task, WithinRadius
from aal.attacks.fab import FABT
from aal.attacks.square import Square


@dataclass(frozen=True, kw_only=True)
class AutoAttack(WithinRadius):
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

    steps: int = 100
    targets: int = 9
    queries: int = 5000

    ranges = WithinRadius.ranges | {"steps": FROM_1, "targets": FROM_1, "queries": FROM_2}

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

    def attack(self, task: Task) -> Adversarial:
        """Attack a classifier.

        Returns:
            Samples (what fools the model, or else the last attack's best; where the goal is reached to begin with, the
            sample), ``success``, ``distance`` in the attack's norm, and in ``info`` the ``attack`` that fooled the
            model, its place in ``attacks``, int64 ``(B,)``; -1 for none.
        """
        success = task.reached(task.predict(task.x), task.labels)
        found, queries, fooled_by = task.x.clone(), torch.ones_like(task.rows), torch.full_like(task.rows, -1)
        task.refuse_nan()
        for place, attack in enumerate(self.attacks):
            rows = task.rows[~success]
            if len(rows) == 0:
                break
            part = task.part(rows)
            result = attack.attack(part)
            part.refuse_nan()
            found[rows], success[rows] = result.x, result.success
            queries[rows] += result.queries
            fooled_by[rows[result.success]] = place
        return Adversarial(found, success, self.ball.size(found - task.x), queries, {"attack": fooled_by})
