"""Targeted sets: poisons for one test instance after the other, of which those sets are kept that fool the learner."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.attacks import TargetedCollision
from aal.callbacks.round_callback import Record, data_of
from aal.callbacks.rounds import Rounds
from aal.callbacks.targeted_crafting import Extractor, craft
from aal.checks import at_least, at_least_or_none, class_number, refuse
from aal.data.samples import fingerprint_of
from aal.datamodules import ActiveDataModule
from aal.extras import MAKERS
from aal.models import Classifier, TransferClassifier, holding
from aal.oracles import Oracle, Perfect, ask
from aal.poisons.bases import draw_base_class
from aal.poisons.target_sets import TargetSet, drop_sets, write_set
from aal.report.run_page import PAGES
from aal.report.sets_page import sets_page
from aal.seeds import generator

ATTACKER = "attacker"


PAGES.append(sets_page)


class TargetedSets(Rounds):
    """Builds sets of targeted poisons that work (paper *robust*, section IV.B), and measures how often one does.

    Round 0 trains the baseline on the natural samples of the pool. Each later round poisons its training set for one
    test instance, the target, and trains it again from the same fresh weights. The set is kept if the target is then
    taken for the class of the bases; if not, the next round tries the next opacity, and after the last one the next
    target. Targets that the baseline gets wrong are passed over.

    The attacker knows a frozen backbone, and of a network that is trained end to end the trained baseline. Poisons are
    trained on as they are after saving, with the label of their base.

    Args:
        attack: Crafts the poisons of a target (Equation 2); ``null`` for :class:`aal.attacks.TargetedCollision`.
        bases: Base instances of a set: the first training instances of the base class, or all if it has fewer.
        base_class: Class of the bases, a number from 0 or a name; ``null``: the other one of two classes, one drawn for
            each target of more.
        opacities: Opacities of the watermark, in the order in which they are tried.
        size: Training instances, drawn at random from the pool; ``null`` for all. Larger draws hold the smaller ones.
        sets: Sets after which the run ends; ``null`` for as many as there are.
        targets: Targets after which the run ends; ``null`` for all test instances.
        shuffle: Whether targets come in random order, else in that of the test split.
        oracle: Labels the training instances; by default it is always right.
        max_epochs: Most epochs a round.
        patience: Epochs without a lower loss after which a round has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.

    Raises:
        UserError: A number below 1, an opacity outside [0, 1) or none; in ``setup``, more training instances than the
            pool has, no such class, or a backbone that is unfrozen in a later round.
    """

    STATE = (*Rounds.STATE, "place", "level", "tried", "kept", "clean", "weights", "before", "after", "fooled")
    counted = "targets"
    crafts = True  # the poisons are copies of samples

    def __init__(
        self,
        attack: TargetedCollision | None = None,
        bases: int = 50,
        base_class: str | int | None = None,
        opacities: list[float] | None = None,
        size: int | None = None,
        sets: int | None = None,
        targets: int | None = None,
        shuffle: bool = False,
        oracle: Oracle | None = None,
        max_epochs: int = 100,
        patience: int = 10,
        min_delta: float = 1e-3,
    ) -> None:
        super().__init__(max_epochs, patience, min_delta)
        at_least(1, {"bases": bases})
        at_least_or_none(1, {"size": size, "sets": sets, "targets": targets})
        self.opacities = [0.1, 0.2, 0.3] if opacities is None else opacities
        refuse(
            not self.opacities or not all(0 <= opacity < 1 for opacity in self.opacities),
            f"opacities: must be one or more numbers in [0, 1), got {opacities}",
        )
        self.attack, self.oracle = attack or TargetedCollision(), oracle or Perfect()
        self.bases, self.base_class, self.size, self.shuffle = bases, base_class, size, shuffle
        self.base: int | None = None  # the number of the class
        self.sets, self.targets = sets, targets
        self.counted = "targets" if sets is None else "sets"
        self.place = -1  # of the present target among the candidates
        self.level = 0  # which opacity is tried
        self.tried = self.kept = 0  # targets, sets
        self.clean = torch.empty(0, dtype=torch.int64)  # what the baseline takes every test sample for
        self.weights: dict[str, Tensor] = {}  # of the baseline, where it is trained end to end
        self.before = self.after = torch.empty(0)  # distances of the present bases and poisons
        self.fooled = False  # whether the last set did

    @property
    def draw_of_weights(self) -> int:
        """Which draw of fresh weights this round begins with: always the same one.

        Dropout and the order of batches still follow the round, so that not the poisons alone differ from the baseline.
        """
        return 0

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the data and the module cannot give; put the candidates in order."""
        data = data_of(trainer)
        self.oracle.prepare(
            lambda indices: data.labels["pool"][indices],
            num_classes=data.num_classes,
            names=data.classes,
            seed=data.seed,
        )
        natural = len(data.pool.of_origin("natural"))
        refuse((self.size or 0) > natural, f"size: {self.size} training instances, but the pool has {natural}")
        if self.base_class is not None:
            self.base = class_number(self.base_class, data.num_classes, data.classes, "base_class")
        refuse(
            isinstance(module, TransferClassifier) and module.trained_from,
            "the model's unfreeze_at: rounds of targeted sets are all alike; use freeze instead",
        )
        labels = data.labels["test"]
        candidates = (labels != (-1 if self.base is None else self.base)).nonzero()[:, 0]
        order = torch.randperm(len(candidates), generator=generator(data.seed, "targets"))
        self.candidates = candidates[order] if self.shuffle else candidates

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Drop sets that are not of the checkpoint that the run goes on from."""
        if trainer.is_global_zero:
            drop_sets(Path(trainer.default_root_dir), self.kept)
        super().on_fit_start(trainer, module)

    def first_labels(self, trainer: pl.Trainer) -> None:
        """Have the training instances labelled."""
        data = data_of(trainer)
        natural = data.pool.of_origin("natural")
        drawn = torch.randperm(len(natural), generator=generator(data.seed, "training set"))[: self.size]
        chosen = natural[drawn].sort().values
        labels, labelers = ask(self.oracle, chosen, data.num_classes)
        data.pool.label(chosen, labels, round=0, strategy="initial", labelers=labelers)

    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return how many sets, or else targets, there are at most when the run ends."""
        return self.sets or min(self.targets or len(self.candidates), len(self.candidates))

    def remark(self, record: Record) -> str:
        """Return how many targets were tried where sets are counted, else how many sets are kept."""
        return f"{self.kept} sets kept" if self.counted == "targets" else f"{self.tried} targets tried"

    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether enough targets were tried, enough sets are kept, or there is no target left."""
        return isinstance(self._following(data_of(trainer)), str)

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether there is another set to try: no labels are given for it, but the training set has changed."""
        return not self.ended_by or super().due(trainer)

    def judge(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Judge the baseline, or the set; keep one that fools the learner."""
        data = data_of(trainer)
        judged = torch.arange(len(data.labels["test"])) if self.round == 0 else self.candidates[self.place, None]
        predicted = data.map(lambda batch: module.classify(data.inputs("test", batch)).argmax(1), judged).cpu()
        if self.round == 0:
            self.clean = predicted
            if not module.encoded:
                self.weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
            return {"targets": 0, "sets": 0}
        self.fooled = int(predicted) == self.figures["base_class"]
        self.tried += self.fooled or self.level == len(self.opacities) - 1
        if self.fooled:
            self._keep(trainer)
            self.kept += 1
        return {"fooled": int(self.fooled), "targets": self.tried, "sets": self.kept}

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Poison the training set for the next target, or with the next opacity; no labels are given."""
        data = data_of(trainer)
        following = self._following(data)
        if isinstance(following, str):
            self.ended_by = following
            return 0
        self.place, self.level = following
        target, opacity = int(self.candidates[self.place]), self.opacities[self.level]
        base_class, bases = self._bases(data, target)
        with holding(module, self.weights):
            x = data.samples["pool"][bases]
            crafted = craft(trainer, Extractor(module, last=False), self.attack, x, target, opacity)
        data.extras.drop(ATTACKER)
        data.extras.craft(crafted["x"], bases, round=self.round + 1, maker=ATTACKER)
        self.before, self.after = crafted["norm_initial"], crafted["norm_saved"]
        self.figures = {
            "target": target,
            "base_class": base_class,
            "opacity": opacity,
            "distance_before": float(self.before.mean()),
            "distance_after": float(self.after.mean()),
        }
        return 0

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return how many targets were tried and sets kept, and what ended the run."""
        data = data_of(trainer)
        natural, labels = len(data.pool.of_origin("natural")), data.labels["test"]
        seen = self.candidates if self.ended_by == "test" else self.candidates[: self.place + 1]
        return {
            "strategy": type(self).__name__,
            "budget": 0,
            "pool": natural - len(data.pool.labelled),
            "accuracy_clean": float((self.clean == labels).double().mean()),
            "targets": self.tried,
            "sets": self.kept,
            "attack_success": self.kept / self.tried if self.tried else None,
            "misclassified": int((self.clean[seen] != labels[seen]).sum()),
            "ended_by": self.ended_by,
        }

    def _following(self, data: ActiveDataModule) -> tuple[int, int] | str:
        """Return place and level of the next try, or what ends the run."""
        if self.round and not self.fooled and self.level + 1 < len(self.opacities):
            return self.place, self.level + 1
        if self.kept == self.sets:
            return "sets"
        if self.tried == self.targets:
            return "targets"
        right = self.clean[self.candidates] == data.labels["test"][self.candidates]
        left = right[self.place + 1 :].nonzero()[:, 0]
        return (self.place + 1 + int(left[0]), 0) if len(left) else "test"

    def _bases(self, data: ActiveDataModule, target: int) -> tuple[int, Tensor]:
        """Return the base class of a target, and the bases' indices in the pool."""
        labels, chosen = data.pool.labels, self.base
        if chosen is None:
            chosen = draw_base_class(labels, int(data.labels["test"][target]), data.seed, target)
        bases = (labels == chosen).nonzero()[: self.bases, 0]
        refuse(not len(bases), f"base_class: no training instance is of class {chosen}")
        return chosen, bases

    def _keep(self, trainer: pl.Trainer) -> None:
        """Write the set that has just fooled the learner."""
        if not trainer.is_global_zero:
            return
        data, target = data_of(trainer), self.candidates[self.place, None]
        own = data.extras.makers == MAKERS.index(ATTACKER)  # others may craft copies, too
        sources = data.extras.sources[own]
        found = TargetSet(
            target=int(target),
            true_class=int(data.labels["test"][target]),
            base_class=int(self.figures["base_class"]),
            opacity=self.opacities[self.level],
            bases=sources.tolist(),
            distance_before=self.before.tolist(),
            distance_after=self.after.tolist(),
        )
        test = data.samples["test"]
        x = {"base": data.samples["pool"][sources], "poison": data.extras.crafted[own], "target": test[target]}
        facts: dict[str, Any] = {
            "data": data.name,
            "classes": data.classes,
            "test": fingerprint_of(test, data.labels["test"]),
            "fingerprint": data.fingerprint,
            "seed": data.seed,
            "attack": repr(self.attack),
        }
        write_set(Path(trainer.default_root_dir), self.kept, found, test, x, facts)
