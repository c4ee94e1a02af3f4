"""Poison injection: an attacker crafts collisions and slips them into the pool (paper *collision*, section III.B)."""

import hashlib
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.attacks import Attack, CollisionAttack, frozen
from aal.callbacks.poisoning import Poisoning
from aal.callbacks.round_callback import Record, data_of
from aal.checks import at_least, refuse
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped, UserError
from aal.models import Classifier, TransferClassifier
from aal.networks.weights import digest_of_tensors
from aal.poisons.bases import choose_bases, collision_vector, given_vector
from aal.poisons.distortion import figures_of
from aal.poisons.poison_folder import PoisonFolder
from aal.report.features import features_figure
from aal.seeds import generator, sample_seeds
from aal.sharding import Shard


class PoisonInjection(Poisoning):
    """Crafts ``n`` poisons from the split ``craft`` and adds them, unlabelled, to the pool before round 0.

    The attacker knows the pre-trained backbone, not the head, and cannot falsify labels: the oracle gives a poison
    its base's true label. The learner sees a poison only as it is after saving and reloading. Finished batches are
    kept in ``poisons/`` and are not crafted again when a run resumes.

    Args:
        attack: Crafts a poison from a base instance (Equation 2); ``null`` for :class:`aal.attacks.CollisionAttack`.
        n: Number of poisons N, at most the size of the split ``craft``.
        mu: The collision vector: ``zero``, ``one``, ``mean`` (of the features of ``craft``), or a safetensors file
            that holds a tensor ``mu`` of the backbone's feature size.
        screen: Whether to take the bases that are nearest to ``mu`` in feature space (Equation 3), else random ones.
        balance: Whether to take equally many bases of each class.
        batch_size: Poisons crafted at once; it bounds the memory.

    Raises:
        UserError: ``n`` or ``batch_size`` below 1; in ``setup``, ``n`` above the split ``craft``, a ``mu`` that is
            none of these or of another size, poisons of another configuration in the run's folder.
    """

    of_craft = True

    def __init__(
        self,
        attack: Attack | None = None,
        n: int = 500,
        mu: str = "zero",
        screen: bool = True,
        balance: bool = True,
        batch_size: int = 64,
    ) -> None:
        at_least(1, {"n": n, "batch_size": batch_size})
        self.attack = attack or CollisionAttack()
        self.n = self.coming = n
        self.mu, self.screen, self.balance, self.batch_size = mu, screen, balance, batch_size

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what cannot be crafted, before anything is; add what is crafted already to the pool."""
        data, run = data_of(trainer), Path(trainer.default_root_dir)
        if not isinstance(module, TransferClassifier):
            raise UserError("poison: collisions need a model with a backbone; use aal.models.TransferClassifier")
        available = len(data.samples["craft"])
        refuse(self.n > available, f"n: {self.n} poisons, but the craft split has {available} base instances")
        self.given = given_vector(self.mu, module.feature_size)
        self.folder = PoisonFolder(run / "poisons", data.samples["craft"], self._recipe(module, data))
        self.drop_torn(trainer, self.batch_size)
        super().setup(trainer, module, stage)

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Craft the poisons that the folder does not hold yet; add all of them, as they were saved, to the pool."""
        super().on_fit_start(trainer, module)
        path = Path(trainer.default_root_dir) / "figures" / "features.png"
        if not trainer.strategy.broadcast(path.exists()):  # once: a resumed run may have trained its backbone
            pool, poisons = data_of(trainer).features("pool")
            if trainer.is_global_zero:
                features_figure(pool, poisons, path)  # what the head sees (Figure 2)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return the attack's success beside a random learner's, and what the collisions cost."""
        norms = ("initial", "crafted", "saved")
        return {
            **self.success(trainer),
            **{f"norm_{name}": self.folder.mean(f"norm_{name}") for name in norms},
            **{f"squared_{name}": float((self.folder.column(f"norm_{name}") ** 2).mean()) for name in norms},
            **{name: self.folder.mean(name) for name in figures_of(self.folder.samples)},
            "seconds_per_poison": self.folder.mean("seconds"),
        }

    def obtain(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Craft the poisons, once for all runs that share a bank: they do not depend on the head."""
        assert isinstance(module, TransferClassifier)
        data = data_of(trainer)
        bank = data.encoding.bank
        if bank is None:
            self._craft(trainer, module)
            return
        made_of = f"{self.folder.recipe['hash']} {data.encoding.key('craft', self.attack)}"
        key = hashlib.sha256(made_of.encode()).hexdigest()
        place = bank.folder / f"poisons-{key}"
        if self._adopted(trainer, place):
            return
        with data.bank_locked(key):
            if self._adopted(trainer, place):  # by now another run may have left them
                return
            self._craft(trainer, module)
            try:
                if trainer.is_global_zero:
                    self.folder.leave(place)
            except OSError as error:  # the run has its poisons
                rank_zero_warn(f"{place}: the poisons cannot be left there for other runs ({error.strerror})")

    def _adopted(self, trainer: pl.Trainer, place: Path) -> bool:
        """Take the poisons that another run left, unless this one has begun to craft; return whether it did."""
        taken = trainer.is_global_zero and not self.folder.rows and self.folder.adopt(place)
        taken = bool(trainer.strategy.broadcast(taken))
        if taken:
            self.folder = PoisonFolder(self.folder.path, self.folder.samples, self.folder.recipe)
        return taken

    def _craft(self, trainer: pl.Trainer, module: TransferClassifier) -> None:
        """Craft from the first poison that is not whole yet, a batch a rank at a time."""
        data, shard, craft = data_of(trainer), Shard.of(trainer), data_of(trainer).samples["craft"]
        features, _ = data.features("craft")
        mu = collision_vector(self.mu, features) if self.given is None else self.given.to(features)
        distances = (features - mu).norm(dim=-1).cpu()
        bases = choose_bases(
            distances,
            data.labels["craft"],
            self.n,
            screen=self.screen,
            balance=self.balance,
            generator=generator(data.seed, "bases"),
        )
        done = len(self.folder.rows)
        with data.progress.task("crafting poisons", self.n - done) as task:
            for first in range(done, self.n, self.batch_size * shard.world):
                group = bases[first : first + self.batch_size * shard.world]
                started = time.perf_counter()
                crafted = shard.map(lambda batch: self._attack(module, data, batch, mu), group, self.batch_size)
                seconds = (time.perf_counter() - started) / len(group)
                finite = crafted["x"].flatten(1).isfinite().all(1).cpu() & crafted["norm"].isfinite().cpu()
                bad, name = group[~finite].tolist(), type(self.attack).__name__
                refuse(bad, f"{name}: poisons of the base instances {bad} are not finite", RunStopped)
                poisons = crafted["x"].cpu()
                saved = self._distances(module, craft.saved(poisons), mu)
                bad = (first + (~saved.isfinite()).nonzero()).flatten().tolist()
                refuse(bad, f"the features of the poisons {bad} are not finite once they are saved", RunStopped)
                columns = {
                    "base": group,
                    "label": data.labels["craft"][group],
                    "norm_initial": distances[group],
                    "norm_crafted": crafted["norm"],
                    "norm_saved": saved,
                    "iterations": crafted["passes"],
                    "seconds": torch.full((len(group),), seconds),
                }
                self.save(trainer, craft[group], poisons, columns)
                task.advance(len(group))

    def _attack(
        self, module: TransferClassifier, data: ActiveDataModule, bases: Tensor, mu: Tensor
    ) -> dict[str, Tensor]:
        """Craft from ``bases`` ``(B,)``: each poison, its distance to ``mu``, the passes it took."""
        x = data.samples["craft"][bases].to(module.device)
        result = self.attack(
            module.backbone,
            x,
            data.labels["craft"][bases].to(module.device),
            target=mu,
            bounds=data.samples["craft"].bounds,
            seeds=sample_seeds(data.seed, "collision", bases).to(module.device),
        )
        return {"x": result.x, "norm": self._distances(module, result.x, mu), "passes": result.queries}

    def _distances(self, module: TransferClassifier, x: Tensor, mu: Tensor) -> Tensor:
        """Return the distance to ``mu`` of the features of samples ``(N, ...)``, ``(N,)``."""
        with frozen(module), torch.no_grad():
            batches = x.split(self.batch_size)
            return torch.cat([(module.encode(batch.to(module.device)) - mu).norm(dim=-1) for batch in batches])

    def _recipe(self, module: TransferClassifier, data: ActiveDataModule) -> dict[str, Any]:
        """Return everything that the poisons depend on."""
        words: dict[str, Any] = {
            "attack": repr(self.attack),
            **{name: getattr(self, name) for name in ("n", "mu", "screen", "balance", "batch_size")},
            "seed": data.seed,
            "data": data.fingerprint,
            "backbone": digest_of_tensors(module.pretrained),
            "given mu": "" if self.given is None else digest_of_tensors({"mu": self.given}),
        }
        words["hash"] = hashlib.sha256(repr(words).encode()).hexdigest()
        return words
