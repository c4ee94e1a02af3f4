"""Targeted poison: an attacker slips poisons for one test instance into the pool (paper *robust*, section IV.B)."""

import hashlib
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.attacks import TargetedCollision
from aal.callbacks.poisoning import Poisoning
from aal.callbacks.round_callback import Record, data_of
from aal.callbacks.rounds import clock_of
from aal.callbacks.targeted_crafting import Extractor, craft, distances_to_target
from aal.checks import argument, at_least, at_least_or_none, below_one, refuse
from aal.data.samples import fingerprint_of
from aal.datamodules import ActiveDataModule
from aal.models import Classifier, TransferClassifier
from aal.poisons.bases import draw_base_class
from aal.poisons.distortion import distortion, figures_of
from aal.poisons.poison_folder import MANIFEST, PoisonFolder
from aal.poisons.target_sets import TARGET, TargetSet, read_set, sets_of
from aal.runs.files import read_json
from aal.seeds import generator


class TargetedPoison(Poisoning):
    """Adds poisons to the pool, unlabelled, that are to have one test instance, the target, taken for another class.

    They are a set that :class:`aal.callbacks.TargetedSets` kept, of this or another run, as long as the test split is
    the same; or without one are crafted here, for a random target, and nobody has seen whether they work. Of a set,
    those are left out whose base is held out here, in the split ``secured`` or ``val``: no attacker reaches it. The
    oracle gives a poison the class of its base. The learner sees poisons only as they are after saving, and never the
    target.

    In the folder ``poisons/``, ``base`` of a poison is the base's index in the pool that the set was made for, and the
    distances are those of this run's own frozen backbone, or else, where it has none, those that the set's run saw.

    Args:
        sets: Folder of a run of :class:`aal.callbacks.TargetedSets`; ``null``: crafts a set.
        set: Which of its sets, from 0; ``null``: the run's seed modulo their number, so that seeds go over the sets,
            once that run has finished and their number is known.
        recraft: Whether the attacker, who knows the model of each round, crafts the poisons that are not queried yet
            anew after the round, against the input of that model's last layer (the paper's extension to active
            learning). That input is always the same where the backbone stays frozen and the head has one layer: then
            nothing is crafted anew, with a warning.
        attack: How they are crafted; ``null`` for :class:`aal.attacks.TargetedCollision`.
        bases: Poisons to craft without a set, of the first natural samples of the base class in the pool; fewer where
            the class has fewer.
        opacity: Opacity of the watermark without a set, in [0, 1); a set has its own.

    Raises:
        UserError: ``bases`` below 1, ``opacity`` outside [0, 1), a negative ``set``; in ``setup``, no sets in the
            folder, none of that number, no number where that run goes on, a set that is damaged, for other test
            samples, of a class that there is not, or of bases that are all held out; without a set, a model without a
            frozen backbone, which alone the attacker knows before round 0.
    """

    STATE = ("recrafted", "outcome")

    def __init__(
        self,
        sets: str | None = None,
        set: int | None = None,
        recraft: bool = False,
        attack: TargetedCollision | None = None,
        bases: int = 50,
        opacity: float = 0.2,
    ) -> None:
        at_least(1, {"bases": bases})
        at_least_or_none(0, {"set": set})
        below_one({"opacity": opacity})
        self.sets, self.set, self.recraft = sets, set, recraft
        self.attack, self.bases, self.opacity = attack or TargetedCollision(), bases, opacity
        self.recrafted: Tensor | None = None  # all poisons as they are now, where some were recrafted
        self.outcome: Record = {}  # on the target, after the last round

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Find the set and refuse what cannot be used; add what is crafted already to the pool."""
        assert isinstance(module, Classifier)
        data, place = data_of(trainer), Path(trainer.default_root_dir) / "poisons"
        words = {name: getattr(self, name) for name in ("sets", "set", "bases", "opacity")}
        words |= {"attack": repr(self.attack), "seed": data.seed, "data": data.fingerprint}
        recipe: dict[str, Any] = {**words, "hash": hashlib.sha256(repr(words).encode()).hexdigest()}
        self.found: tuple[TargetSet, dict[str, Tensor]] | None = None
        self.folder = PoisonFolder(place, data.samples["test"], recipe)
        self.drop_torn(trainer, max(len(self.folder.rows), 1))
        if self.folder.rows:
            self.facts = read_json(place / MANIFEST)["recipe"].get("facts")
            _refuse_facts(self.facts, data, place / MANIFEST)
        else:
            self.facts = self._chosen(data) if self.sets is None else self._given(data, Path(self.sets))
        self.folder.recipe["facts"] = self.facts  # not among the arguments, two of which they are named as
        refuse(
            self.sets is None and not module.encoded and not self.folder.rows,
            "sets: a network trained end to end has no features yet; name the sets of a run",
        )
        if self.recraft and _sees_the_same(module):
            rank_zero_warn("recraft: a head of one layer on a frozen backbone: there is nothing to craft anew for")
            self.recraft = False
        self.target = torch.tensor([self.facts["target"]])
        self.n = len(self.facts["bases"])
        super().setup(trainer, module, stage)

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Craft or copy the poisons unless the run's folder has them, and add them to the pool, recrafted or not."""
        super().on_fit_start(trainer, module)
        if self.recrafted is not None:  # by the rounds before the checkpoint
            data_of(trainer).replace_samples(self.indices, self.recrafted)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add what became of the target; recraft the poisons that were not queried, before the next query."""
        super().on_round_end(trainer, module, record)
        data = data_of(trainer)
        logits = data.map(lambda batch: module.classify(data.inputs("test", batch)), self.target)
        predicted, true = int(logits.argmax()), int(data.labels["test"][self.target])
        self.outcome = {
            "target_fooled": int(predicted == self.facts["base_class"]),
            "target_correct": int(predicted == true),
        }
        record |= self.outcome
        if self.recraft and not clock_of(trainer).is_last(trainer, record):
            record |= self._recraft(trainer, module)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return how many poisons were queried, what became of the target, and what the collisions cost."""
        changes = {name: self.folder.mean(name) for name in figures_of(self.folder.samples)}
        if self.recrafted is not None:  # the norms are of the first ones: later ones are near in other features
            bases = self.folder.read(0, self.n, "base")
            now = distortion(self.folder.samples, self.recrafted, bases)
            changes = {name: None if values.isnan().all() else float(values.nanmean()) for name, values in now.items()}
        return {
            **self.success(trainer),
            "target": self.facts["target"],
            "target_class": int(data_of(trainer).labels["test"][self.target]),
            "target_wanted": self.facts["base_class"],
            **self.outcome,
            "target_set": self.facts["number"],
            "opacity": self.facts["opacity"],
            **{f"norm_{name}": self.folder.mean(f"norm_{name}") for name in ("initial", "crafted", "saved")},
            **changes,
        }

    def _given(self, data: ActiveDataModule, run: Path) -> dict[str, Any]:
        """Read one of the sets that a run kept; return what is known of it."""
        with argument("sets"):
            folders = sets_of(run)
            refuse(
                self.set is None and not (run / "summary.json").exists(),
                f"{run} is not finished; name one of its sets with the argument set",
            )
            k = data.seed % len(folders) if self.set is None else self.set
            refuse(k >= len(folders), f"{run}: has sets 0 to {len(folders) - 1}, not {k}; see the argument set")
            test = data.samples["test"]
            found, x = read_set(folders[k], test, fingerprint_of(test, data.labels["test"]))
            kept = ~_held_out(data, x["base"])
            refuse(not kept.any(), f"{folders[k]}: all of its bases are held out here, in the split secured or val")
            self.found = found, x = found.take(kept), {kind: group[kept] for kind, group in x.items()}
        facts = {"number": k, **{name: getattr(found, name) for name in ("target", "base_class", "opacity", "bases")}}
        with argument("sets"):
            _refuse_facts(facts, data, folders[k])
        return facts

    def _chosen(self, data: ActiveDataModule) -> dict[str, Any]:
        """Draw a target, and choose the bases of a set that is to be crafted."""
        truth = data.labels["pool"]
        target = int(torch.randint(len(data.labels["test"]), (), generator=generator(data.seed, "target")))
        base_class = draw_base_class(truth, int(data.labels["test"][target]), data.seed, target)
        return {
            "number": None,
            "target": target,
            "base_class": base_class,
            "opacity": self.opacity,
            "bases": (truth == base_class).nonzero()[: self.bases, 0].tolist(),
        }

    def obtain(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Save the poisons of the set, or those crafted now, in the run's folder."""
        data, started, extractor = data_of(trainer), time.perf_counter(), Extractor(module, last=False)
        if self.found is None:
            bases = data.samples["pool"][torch.tensor(self.facts["bases"])]
            crafted = self._craft(trainer, extractor, bases)
        else:
            found, x = self.found
            bases, before, after = x["base"], torch.tensor(found.distance_before), torch.tensor(found.distance_after)
            if module.encoded:  # the set may have been made with another backbone
                before, after = (
                    distances_to_target(trainer, extractor, x[kind], found.target) for kind in ("base", "poison")
                )
            crafted = {
                "x": x["poison"],
                "norm_initial": before,
                "norm_crafted": after,
                "norm_saved": after,
                "iterations": torch.zeros(self.n, dtype=torch.int64),
            }
        columns = {
            "base": torch.tensor(self.facts["bases"]),
            "label": torch.full((self.n,), self.facts["base_class"]),
            **{name: column for name, column in crafted.items() if name != "x"},
            "seconds": torch.full((self.n,), (time.perf_counter() - started) / self.n),
        }
        if trainer.is_global_zero:  # for people to look at
            samples = data.samples["test"]
            samples.write(self.folder.path / f"{TARGET}{samples.suffix}", samples[self.target][0])
        self.save(trainer, bases, crafted["x"], columns)

    def _recraft(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Craft the poisons that were not queried yet against this round's model; return figures of that."""
        data, round = data_of(trainer), clock_of(trainer).round
        left = torch.isin(self.indices, data.pool.unlabelled).nonzero()[:, 0]
        if not len(left):
            return {"recrafted": 0}
        crafted = self._craft(trainer, Extractor(module, last=True), self.folder.read(0, self.n, "base")[left])
        now = self.folder.read(0, self.n) if self.recrafted is None else self.recrafted
        self.recrafted = now.index_copy(0, left, crafted["x"])
        data.replace_samples(self.indices[left], crafted["x"])
        if trainer.is_global_zero:  # for people to look at
            for k, poison in zip(left.tolist(), crafted["x"], strict=True):
                self.folder.samples.write(
                    self.folder.path / f"round={round:04d}" / self.folder.name(k, "poison"), poison
                )
        return {"recrafted": len(left), "poison_distance": float(crafted["norm_saved"].mean())}

    def _craft(self, trainer: pl.Trainer, extractor: Extractor, bases: Tensor) -> dict[str, Tensor]:
        return craft(trainer, extractor, self.attack, bases, self.facts["target"], self.facts["opacity"])


def _refuse_facts(facts: Any, data: ActiveDataModule, called: Path) -> None:  # noqa: ANN401 - whatever a file has
    """Refuse facts of a set that cannot be of these data; ``called`` is where they stand."""
    facts = facts if isinstance(facts, dict) else {}
    for name, count in (("target", len(data.labels["test"])), ("base_class", data.num_classes)):
        value = facts.get(name)
        refuse(type(value) is not int or not 0 <= value < count, f"{called}: {name} {value!r} is none of {count}")
    bases = facts.get("bases")
    known = isinstance(bases, list) and bases and all(type(base) is int and base >= 0 for base in bases)
    refuse(not known, f"{called}: bases must be indices, not {bases!r}")


def _sees_the_same(module: Classifier) -> bool:
    """Whether the input of the last layer is a function that no training changes."""
    return (
        isinstance(module, TransferClassifier)
        and module.trained_from is None
        and not list(module.head[:-1].parameters())
    )


def _held_out(data: ActiveDataModule, x: Tensor) -> Tensor:
    """Tell which samples ``(N, ...)``, as read back from files, are in a split held out of the pool, bool ``(N,)``."""
    splits = [data.samples[split] for split in data.held_out if split in data.samples]
    held = {row.tobytes() for samples in splits for row in samples.stored.flatten(1).numpy()}
    return torch.tensor([row.tobytes() in held for row in data.samples["test"].encoded(x).flatten(1).numpy()])
