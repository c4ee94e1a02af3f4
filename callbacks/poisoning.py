"""What every attacker who puts samples into the pool has: the key ``poison:``, and how many of them were queried."""

import math
from abc import ABC, abstractmethod
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.callbacks.round_checkpoint import last_checkpoint
from aal.checks import refuse
from aal.datamodules import ActiveDataModule
from aal.errors import UserError
from aal.models import Classifier
from aal.poisons.distortion import distortion
from aal.poisons.poison_folder import MANIFEST, PoisonFolder
from aal.pool import Pool


class Poisoning(RoundCallback, ABC):
    """Puts an attacker's samples into the pool, unlabelled, and records how many of them are queried.

    They enter the pool in one step, as they were saved: in ``setup`` where the run's folder has all of them, so that a
    checkpoint finds the pool that it was saved with; else once they are crafted, after everything has agreed to the
    run and with the classifier on its device.

    Attributes:
        folder: The run's folder ``poisons/``, from ``setup`` on.
        n: Number of poisons N, from ``setup`` on.
        indices: Their indices in the pool ``(N,)``, once they are in it.
        of_craft: Whether ``base`` of a poison in the folder is an index in the split ``craft``.
    """

    folder: PoisonFolder
    n: int
    indices: Tensor
    of_craft = False

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Add the poisons that the run's folder has, before a checkpoint is loaded."""
        self.coming = self.n
        if len(self.folder.rows) == self.n:
            self._add(data_of(trainer))

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Craft the poisons that the folder does not hold yet, and add all of them to the pool."""
        assert isinstance(module, Classifier)
        if self.coming:
            self.obtain(trainer, module)
            self._add(data_of(trainer))

    @abstractmethod
    def obtain(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Have the folder hold all poisons."""

    def drop_torn(self, trainer: pl.Trainer, together: int) -> None:
        """Have poisons that the machine's death left torn crafted again, ``together`` at once.

        Raises:
            UserError: There is a checkpoint already, saved with a pool that had them: they must be there before it is
                read, which is before anything can be crafted.
        """
        saved = last_checkpoint(Path(trainer.default_root_dir))
        if not saved.exists():
            self.folder.drop_torn(together)
        elif torn := self.folder.torn():
            raise UserError(
                f"{torn[1]}; the checkpoint was saved with it: put it back as it was, or remove {saved.parent}, and "
                "the same command crafts it again and goes on from round 0"
            )

    def save(self, trainer: pl.Trainer, bases: Tensor, poisons: Tensor, columns: dict[str, Tensor]) -> None:
        """Save the next poisons beside their bases, both ``(B, ...)``, and list them: only then are they whole.

        Args:
            trainer: The run.
            bases: What they were made from.
            poisons: The poisons.
            columns: What the manifest says of each ``(B,)``, besides its index and how far it is from its base.
        """
        data, first, end = data_of(trainer), len(self.folder.rows), len(self.folder.rows) + len(poisons)
        if trainer.is_global_zero:
            self.folder.write(first, bases, poisons)
        trainer.strategy.barrier("poisons written")
        saved, originals = (self.folder.read(first, end, kind) for kind in ("poison", "base"))
        columns = {"index": len(data.pool) + torch.arange(first, end), **columns}
        columns |= distortion(self.folder.samples, saved, originals)
        self.folder.record(columns, data.classes, write=trainer.is_global_zero)

    def _add(self, data: ActiveDataModule) -> None:
        self.folder.check()
        x, labels, bases = self.folder.read(0, self.n), self.folder.column("label"), self.folder.column("base")
        most = {"label": data.num_classes, "base": len(data.samples["craft"]) if self.of_craft else math.inf}
        for name, column in (("label", labels), ("base", bases)):
            for k, value in enumerate(column.tolist()):
                there = value.is_integer() and 0 <= value < most[name]
                where = f"{self.folder.path / MANIFEST}: poison {k}"
                refuse(not there, f"{where} has the {name} {value:g}, which there is not")
        bases = bases if self.of_craft else torch.full_like(bases, -1)
        self.indices, self.coming = data.add_samples(x, labels.long(), bases.long(), "poison"), 0

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add the number of poisons queried so far, and their share of the last query."""
        pool = data_of(trainer).pool
        record["poison_queried"] = self._queried(pool)
        if record["queried"]:
            last = torch.tensor([row.index for row in pool.asked if row.round == record["round"]])
            record["poison_share"] = float(torch.isin(last, self.indices).double().mean())

    def success(self, trainer: pl.Trainer) -> Record:
        """Return the attack's success beside a random learner's, for the summary."""
        pool, n = data_of(trainer).pool, self.n
        initial = sum(row.strategy == "initial" for row in pool.asked)
        unlabelled, budget = len(pool.of_origin("natural")) - initial, len(pool.asked) - initial
        queried = self._queried(pool)
        return {
            "poisons": n,
            "poisons_queried": queried,
            "poison_success": queried / n,
            "random_success": n / unlabelled,
            "random_success_expected": budget / (unlabelled + n),
        }

    def _queried(self, pool: Pool) -> int:
        """Return how many poisons were queried so far, also those whose labels were discarded since."""
        return int(torch.isin(torch.tensor([row.index for row in pool.asked]), self.indices).sum())
