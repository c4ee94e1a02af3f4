"""Poison injection: an attacker crafts collisions and slips them into the pool (paper *collision*, section III.B)."""

import hashlib
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.attacks import Adversarial, Attack, CollisionAttack
from aal.attacks.base import frozen
from aal.errors import UserError
from aal.files import read_json, read_tensors, write_json
from aal.models import Classifier, TransferClassifier
from aal.report import features_figure
from aal.samples import Samples
from aal.seeds import generator, sample_seeds
from aal.sharding import Shard
from callbacks.round_callback import Record, RoundCallback, data_of
from datamodules.base import ActiveDataModule

COLLISION_VECTORS = ("zero", "one", "mean")


class PoisonInjection(RoundCallback):
    """Crafts ``n`` poisons from the split ``craft`` and adds them, unlabelled, to the pool before round 0.

    The attacker knows the pre-trained backbone, not the head, and cannot falsify labels: the oracle gives a poison
    its base's true label. The learner sees a poison only as it is after saving and reloading. Finished batches are
    kept in ``poisons/`` and are not crafted again when a run resumes.

    Args:
        attack: Crafts a poison from a base instance (Equation 2).
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

    def __init__(
        self,
        attack: Attack | None = None,
        n: int = 500,
        mu: str = "zero",
        screen: bool = True,
        balance: bool = True,
        batch_size: int = 64,
    ) -> None:
        for name, value in (("n", n), ("batch_size", batch_size)):
            if value < 1:
                raise UserError(f"poison.init_args.{name}: must be at least 1, got {value}")
        self.attack = attack or CollisionAttack()
        self.n, self.mu, self.screen, self.balance, self.batch_size = n, mu, screen, balance, batch_size
        self.indices = torch.empty(0, dtype=torch.int64)
        self._rows: list[dict[str, Any]] = []
        self._recipe = ""

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what cannot be crafted, before anything is; give the poisons their indices in the pool."""
        data = data_of(trainer)
        if not isinstance(module, TransferClassifier):
            raise UserError("poison: collisions need a model with a backbone; use aal.models.TransferClassifier")
        available = len(data.samples["craft"])
        if self.n > available:
            raise UserError(f"poison.init_args.n: {self.n} poisons, but the craft split has {available} base instances")
        self._given_mu(module.backbone.feature_size)
        self._recipe = self._fingerprint(module, data)
        if trainer.is_global_zero:
            self._rows = _finished_rows(_folder(trainer), self._recipe)
        self.indices = data.pool.extend(self.n, "poison")

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Craft the poisons that the folder does not hold yet, read all of them back and add them to the pool."""
        assert isinstance(module, TransferClassifier)
        data, shard = data_of(trainer), Shard.of(trainer)
        done = int(shard.sum(torch.tensor(len(self._rows), device=module.device)))
        if done < self.n:
            self._craft(trainer, module, done)
        bases = self._column(shard, "base", module.device).long()
        shape = (self.n, *data.samples["craft"][bases[:1]].shape[1:])
        poisons = torch.zeros(shape)
        if trainer.is_global_zero:
            poisons = _read(data.samples["craft"], _folder(trainer), self._rows)
        poisons = shard.sum(poisons.to(module.device)).cpu()
        data.add_samples(poisons, data.labels["craft"][bases], bases)
        self._draw_features(trainer, module)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add the number of poisons queried so far, and their share of the last query."""
        pool = data_of(trainer).pool
        poisons = set(self.indices.tolist())
        record["poison_queried"] = self._queried(trainer)
        if record["queried"]:
            last = [row.index for row in pool.ledger if row.round == record["round"]]
            record["poison_share"] = sum(index in poisons for index in last) / len(last)

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return the attack's success beside a random learner's, and what the collisions cost."""
        pool = data_of(trainer).pool
        initial = sum(row.strategy == "initial" for row in pool.ledger)
        unlabelled = len(pool.of_origin("natural")) - initial
        queried, budget = self._queried(trainer), len(pool.ledger) - initial
        names = ("norm_initial", "norm_crafted", "norm_saved", "perturbation")
        columns = {name: torch.tensor([row[name] for row in self._rows], dtype=torch.float64) for name in names}
        return {
            "poisons": self.n,
            "poisons_queried": queried,
            "poison_success": queried / self.n,
            "random_success": self.n / unlabelled,
            "random_success_expected": budget / (unlabelled + self.n),
            **{name: float(column.mean()) for name, column in columns.items()},
            **{name.replace("norm", "squared"): float((columns[name] ** 2).mean()) for name in names[:3]},
            "seconds_per_poison": sum(row["seconds"] for row in self._rows) / self.n,
        }

    def _queried(self, trainer: pl.Trainer) -> int:
        return int((data_of(trainer).pool.labels[self.indices] >= 0).sum())

    def _craft(self, trainer: pl.Trainer, module: TransferClassifier, done: int) -> None:
        """Craft from the first poison not done, a batch a rank at a time, each group saved before the next."""
        data, shard, craft = data_of(trainer), Shard.of(trainer), data_of(trainer).samples["craft"]
        features = data.map(lambda batch: module.encode(craft[batch].to(module.device)), torch.arange(len(craft)))
        mu = self._collision_vector(features)
        distances = (features - mu).norm(dim=-1).cpu()
        draws = generator(data.seed, "bases")
        bases = choose_bases(distances, data.labels["craft"], self.n, self.screen, self.balance, draws)
        group_size = self.batch_size * shard.world
        with data.progress.task("crafting poisons", self.n - done) as task:
            for start in range(done, self.n, group_size):
                group = bases[start : start + group_size]
                started = time.perf_counter()
                crafted = shard.map(lambda b: self._craft_batch(module, data, b, mu), group, self.batch_size)
                seconds = (time.perf_counter() - started) / len(group)
                self._save(trainer, module, group, crafted, mu, seconds)
                task.advance(len(group))

    def _craft_batch(self, module: TransferClassifier, data: ActiveDataModule, bases: Tensor, mu: Tensor) -> Tensor:
        """Craft poisons from ``bases`` ``(B,)``; return them flattened, then three columns of figures."""
        x = data.samples["craft"][bases].to(module.device)
        result: Adversarial = self.attack(  # type: ignore[operator]
            module.backbone,
            x,
            data.labels["craft"][bases].to(module.device),
            target=mu,
            bounds=data.samples["craft"].bounds,
            seeds=sample_seeds(data.seed, "collision", bases).to(module.device),
        )
        figures = (result.info["initial"], result.info["final"], result.info["iterations"])
        return torch.cat([result.x.flatten(1), torch.stack([column.to(x) for column in figures], dim=1)], dim=1)

    def _save(
        self,
        trainer: pl.Trainer,
        module: TransferClassifier,
        bases: Tensor,
        crafted: Tensor,
        mu: Tensor,
        seconds: float,
    ) -> None:
        """Write a group of poisons and their bases, then the manifest that says they are there."""
        data, shard, folder = data_of(trainer), Shard.of(trainer), _folder(trainer)
        craft, first = data.samples["craft"], len(self._rows)
        x = craft[bases]
        rows: list[dict[str, Any]] = []
        saved = torch.zeros_like(x)
        if trainer.is_global_zero:
            for k, base in enumerate(bases.tolist()):
                names = {kind: f"{first + k:05d}_{kind}{craft.suffix}" for kind in ("base", "poison")}
                craft.write(folder / names["base"], x[k])
                craft.write(folder / names["poison"], crafted[k, :-3].reshape(x[k].shape).cpu())
                rows.append({"index": int(self.indices[first + k]), "base": base})
                rows[-1] |= {"label": int(data.labels["craft"][base])}
                rows[-1] |= {f"{kind}_file": name for kind, name in names.items()}
            saved = _read(craft, folder, rows)
        saved = shard.sum(saved.to(module.device))
        with frozen(module), torch.no_grad():
            norms = shard.map(
                lambda b: (module.encode(saved[b]) - mu).norm(dim=-1), torch.arange(len(bases)), self.batch_size
            )
        sizes = (saved.cpu() - x).flatten(1).norm(dim=1)
        for k, row in enumerate(rows):
            initial, final, iterations = crafted[k, -3:].tolist()
            row |= {"norm_initial": initial, "norm_crafted": final, "norm_saved": float(norms[k])}
            row |= {"perturbation": float(sizes[k]), "iterations": int(iterations), "seconds": seconds}
        if trainer.is_global_zero:
            self._rows += rows
            attack = {"attack": repr(self.attack), "mu": self.mu, "screen": self.screen, "balance": self.balance}
            write_json(folder / "manifest.json", {**attack, "recipe": self._recipe, "poisons": self._rows})

    def _draw_features(self, trainer: pl.Trainer, module: TransferClassifier) -> None:
        """Draw what the head sees (Figure 2), once and with the pre-trained backbone."""
        data, path = data_of(trainer), Path(trainer.default_root_dir) / "figures" / "features.png"
        drawn = Shard.of(trainer).sum(torch.tensor(int(trainer.is_global_zero and path.exists()), device=module.device))
        if drawn:
            return
        features = data.features("pool").cpu()
        if trainer.is_global_zero:
            features_figure(features[: -self.n], features[-self.n :], path)

    def _column(self, shard: Shard, name: str, device: torch.device) -> Tensor:
        values = torch.zeros(self.n, dtype=torch.float64, device=device)
        if shard.rank == 0:
            values = torch.tensor([row[name] for row in self._rows], dtype=torch.float64, device=device)
        return shard.sum(values).cpu()

    def _collision_vector(self, features: Tensor) -> Tensor:
        """Return mu ``(D,)`` (section III.B.1), given the features of ``craft`` ``(N, D)``."""
        if self.mu == "mean":
            return features.mean(0)
        given = self._given_mu(features.shape[1])
        if given is not None:
            return given.to(features)
        return torch.full_like(features[0], 1.0 if self.mu == "one" else 0.0)

    def _given_mu(self, feature_size: int) -> Tensor | None:
        """Return the collision vector that the user gave as a file, or ``None`` for a named one."""
        if self.mu in COLLISION_VECTORS:
            return None
        if not self.mu.endswith(".safetensors"):
            known = ", ".join(COLLISION_VECTORS)
            raise UserError(f"poison.init_args.mu: must be one of {known} or a .safetensors file, got {self.mu!r}")
        vector = read_tensors(Path(self.mu)).get("mu")
        if vector is None or vector.shape != (feature_size,) or not torch.isfinite(vector).all():
            raise UserError(f"poison.init_args.mu: {self.mu} must hold a finite tensor 'mu' of shape ({feature_size},)")
        return vector

    def _fingerprint(self, module: TransferClassifier, data: ActiveDataModule) -> str:
        """Hash everything that the poisons depend on."""
        recipe = (repr(self.attack), self.n, self.mu, self.screen, self.balance, self.batch_size, data.seed)
        digest = hashlib.sha256(repr((recipe, data.fingerprint)).encode())
        for name, tensor in module.backbone.state_dict().items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        given = self._given_mu(module.backbone.feature_size)
        digest.update(b"" if given is None else given.numpy().tobytes())
        return digest.hexdigest()


def choose_bases(
    distances: Tensor, labels: Tensor, n: int, screen: bool, balance: bool, generator: torch.Generator
) -> Tensor:
    """Choose the base instances of the poisons (paper *collision*, section III.B.2).

    Args:
        distances: Distance of each candidate's features to the collision vector ``(N,)`` (Equation 3).
        labels: Its class ``(N,)``.
        n: How many to choose, at most N.
        screen: Whether the nearest are preferred, else chance decides.
        balance: Whether every class gives equally many; a class that runs out is made up for by the others.
        generator: The only source of randomness.

    Returns:
        Distinct indices ``(n,)``.
    """
    preference = torch.randperm(len(distances), generator=generator)
    if screen:
        preference = torch.argsort(torch.argsort(distances, stable=True), stable=True)
    order = torch.argsort(preference)
    if balance:
        turn = torch.empty(len(labels), dtype=torch.int64)  # a candidate's place within its class
        for label in labels.unique():
            members = order[labels[order] == label]
            turn[members] = torch.arange(len(members))
        order = order[torch.argsort(turn[order], stable=True)]
    return order[:n]


def _folder(trainer: pl.Trainer) -> Path:
    return Path(trainer.default_root_dir) / "poisons"


def _finished_rows(folder: Path, recipe: str) -> list[dict[str, Any]]:
    """Return the manifest's rows, none where there is no manifest yet.

    Raises:
        UserError: The poisons there are of another configuration.
    """
    if not (folder / "manifest.json").exists():
        return []
    manifest = read_json(folder / "manifest.json")
    if manifest["recipe"] != recipe:
        raise UserError(f"{folder}: holds poisons of another configuration, data or weights; choose another --out")
    rows: list[dict[str, Any]] = manifest["poisons"]
    return rows


def _read(samples: Samples, folder: Path, rows: list[dict[str, Any]]) -> Tensor:
    return torch.stack([samples.read(folder / row["poison_file"]) for row in rows])
