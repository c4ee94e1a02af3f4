"""What every attacker who puts samples into the pool has: the key ``poison:``, and how many of them were queried."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.datamodules import ActiveDataModule
from aal.models import Classifier
from aal.poisons.folder import PoisonFolder
from aal.pool import Pool


class Poisoning(RoundCallback):
    """Puts an attacker's samples into the pool, unlabelled, and records how many of them are queried.

    They enter the pool in one step, as they were saved: in ``setup`` where the run's folder has all of them, so that a
    checkpoint finds the pool that it was saved with; else once they are crafted, after everything has agreed to the
    run and with the classifier on its device.

    Attributes:
        folder: The run's folder ``poisons/``, from ``setup`` on.
        n: Number of poisons N, from ``setup`` on.
        indices: Their indices in the pool ``(N,)``, none before they are in it.
    """

    folder: PoisonFolder
    n: int = 0
    indices: Tensor = torch.empty(0, dtype=torch.int64)

    @property
    def coming(self) -> int:
        """Number of poisons that are not in the pool yet."""
        return self.n - len(self.indices)

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Add the poisons that the run's folder has, before a checkpoint is loaded."""
        if len(self.folder.rows) == self.n:
            self._add(data_of(trainer))

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Craft the poisons that the folder does not hold yet, and add all of them to the pool."""
        assert isinstance(module, Classifier)
        if self.coming:
            self.obtain(trainer, module)
            self._add(data_of(trainer))

    def obtain(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Have the folder hold all poisons."""
        raise NotImplementedError

    def bases_of(self, rows: Tensor) -> Tensor:
        """Return the indices in the split ``craft`` of the bases that the folder names ``(N,)``; -1: of another."""
        return torch.full_like(rows, -1)

    def _add(self, data: ActiveDataModule) -> None:
        x, labels = self.folder.read(0, self.n), self.folder.column("label").long()
        self.indices = data.add_samples(x, labels, self.bases_of(self.folder.column("base").long()), "poison")

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
