"""What every attacker who puts samples into the pool has: the key ``poison:``, and how many of them were queried."""

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.models import Classifier
from aal.pool import Pool


class Poisoning(RoundCallback):
    """Puts an attacker's samples into the pool, unlabelled, and records how many of them are queried.

    Attributes:
        indices: Indices of the poisons in the pool ``(N,)``, from ``setup`` on.
    """

    indices: Tensor

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add the number of poisons queried so far, and their share of the last query."""
        pool = data_of(trainer).pool
        record["poison_queried"] = self._queried(pool)
        if record["queried"]:
            last = torch.tensor([row.index for row in pool.asked if row.round == record["round"]])
            record["poison_share"] = float(torch.isin(last, self.indices).double().mean())

    def success(self, trainer: pl.Trainer) -> Record:
        """Return the attack's success beside a random learner's, for the summary."""
        pool, n = data_of(trainer).pool, len(self.indices)
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
