"""Adversarial retraining: copies crafted of labelled samples enter training and cost no budget (paper *robust*)."""

import time
from collections.abc import Callable
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from aal.attacks import Attack, frozen
from aal.callbacks.round_callback import Record, RoundCallback, data_of
from aal.callbacks.rounds import clock_of
from aal.checks import at_least, refuse
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped, UserError
from aal.models import Classifier, TransferClassifier
from aal.robustness.arguments import refuse_others, refuse_shape
from aal.seeds import sample_seeds
from aal.sharding import Shard

MAKER = "retraining"


class AdversarialRetraining(RoundCallback):
    """Crafts copies of queried samples on the round's model; the next rounds train on both, with the same label.

    Each attack gives every sample one copy. It starts from the class that the model predicts, so that the copy lies
    beyond the nearest boundary whatever the label; a copy that is its sample is left out. Copies of the initial samples
    are crafted when there is a first model. They are crafted in the space of the data, through a backbone where there
    is one, and then encoded as samples are; in the space of a frozen backbone's features, within the range that those
    of the labelled samples have, only where ``space`` says so.

    The least L2 perturbation, over the attacks, that changed the predicted class of a sample is its *minimal
    perturbation*. The record of the round that trains on the copies has the mean of those found and the least
    (``perturbation_mean``, ``perturbation_min``), so that a rule ``{column: perturbation_min, at_least: tau}`` of
    the clock's ``stop`` ends the run when all of them are at least tau. An attack of a fixed size, such as noise or
    PGD, measures little more than that size: give one that looks for the nearest, too.

    Source: paper *robust*, sections III.A, III.D and IV.B.

    Args:
        attacks: The attacks by name; noise and augmentations are attacks, too.
        of: What copies are crafted of in every round: the samples ``queried`` since the last, or all ``labelled`` ones.
        keep: Whether earlier copies stay, else those of this round replace them.
        space: ``input``, or ``features`` of a frozen backbone.
        batch_size: Samples attacked at once; it bounds the memory.

    Raises:
        UserError: No attack or one that is not on classifiers, a value that is none of these, ``labelled`` with
            ``keep``, or a ``batch_size`` below 1; in ``setup``, ``features`` without a backbone that stays frozen, or
            with queries that bring copies of samples.
    """

    STATE = ("round", "done", "figures")
    columns = ("perturbation_mean", "perturbation_min", "seconds_crafting")

    def __init__(
        self,
        attacks: dict[str, Attack],
        of: Literal["queried", "labelled"] = "queried",
        keep: bool = True,
        space: Literal["input", "features"] = "input",
        batch_size: int = 64,
    ) -> None:
        at_least(1, {"attacks": len(attacks), "batch_size": batch_size})
        refuse(of not in ("queried", "labelled"), f"of: must be queried or labelled, got {of!r}")
        refuse(space not in ("input", "features"), f"space: must be input or features, got {space!r}")
        refuse(
            of == "labelled" and keep, "keep: copies of all labelled samples replace the earlier ones; set keep: false"
        )
        refuse_others(attacks)
        self.attacks, self.of, self.keep, self.space, self.batch_size = attacks, of, keep, space, batch_size
        self.round = 0  # the last one that copies were crafted for
        self.done = torch.empty(0, dtype=torch.int64)  # what they were crafted of
        self.figures: dict[str, float] = {}

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse attacks that cannot take what they are given; have copies that are features kept as such."""
        if self.space == "input":
            refuse_shape(self.attacks, data_of(trainer).sample_shape)
            return
        if not isinstance(module, TransferClassifier) or module.trained_from is not None:
            raise UserError("space: features are those of a backbone that stays frozen; use space: input")
        refuse(clock_of(trainer).crafts, "space: the queries bring copies of samples of their own; use space: input")
        refuse_shape(self.attacks, (module.feature_size,))
        data_of(trainer).extras.take_features(module.feature_size)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Add what is known of the copies that the round was trained on."""
        record.update(self.figures)

    def on_labels_given(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Craft copies for the round to come, unless a run that goes on has them already."""
        data, round = data_of(trainer), clock_of(trainer).round
        if round <= self.round:
            return
        self.round = round
        labelled = data.pool.labelled
        sources = labelled if self.of == "labelled" else labelled[~torch.isin(labelled, self.done)]
        self.done = torch.cat([self.done, sources]).unique()
        self.figures = {}
        if not len(sources):
            return  # labels have changed, none was queried: the copies that there are do for this round too
        if not self.keep:
            data.extras.drop(MAKER)
        started = time.perf_counter()
        least = torch.full((len(sources),), torch.inf)
        with data.progress.task("crafting copies", len(sources) * len(self.attacks)) as task:
            for name, attack in self.attacks.items():
                copies, changed = self._crafted(trainer, module, name, attack, sources, task.advance)
                size = (copies - self._originals(data, sources).cpu()).flatten(1).norm(dim=1)
                least = torch.where(changed, torch.minimum(least, size), least)
                moved = size > 0
                data.extras.craft(copies[moved], sources[moved], round=round, maker=MAKER)
        found = least.isfinite()
        data.extras.perturbed, data.extras.perturbations = sources[found], least[found]
        self.figures = {"seconds_crafting": time.perf_counter() - started}
        if found.any():
            self.figures |= {
                "perturbation_mean": float(least[found].mean()),
                "perturbation_min": float(least[found].min()),
            }

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return in which space copies were crafted, and by what."""
        return {"copies_of": self.space, "copies_by": ", ".join(self.attacks)}

    def _originals(self, data: ActiveDataModule, indices: Tensor) -> Tensor:
        """Return what is attacked ``(B, ...)``: samples, or their features."""
        if self.space == "features":
            return data.inputs("pool", indices)
        return data.samples["pool"][indices].to(data.device)

    def _crafted(
        self,
        trainer: pl.Trainer,
        module: Classifier,
        name: str,
        attack: Attack,
        sources: Tensor,
        advance: Callable[[int], None],
    ) -> tuple[Tensor, Tensor]:
        """Return one attack's copies ``(N, ...)`` of samples ``(N,)``, and whether each changed its class ``(N,)``."""
        data = data_of(trainer)
        model, bounds = self._attacked(data, module)

        def crafted(batch: Tensor) -> dict[str, Tensor]:
            x = self._originals(data, batch)
            seeds = sample_seeds(data.seed, f"copies by {name}", batch) + self.round
            try:
                with frozen(model):
                    predicted = model(x).argmax(1)
                    found = attack(model, x, predicted, bounds=bounds, seeds=seeds.to(x.device))
            except RunStopped as stop:
                raise RunStopped(f"attacks.{name}, among the indices {batch.tolist()}: {stop}") from None
            return {"copies": found.x, "changed": found.success}

        with torch.no_grad():
            found = Shard.of(trainer).map(crafted, sources, self.batch_size, advance)
        return found["copies"].cpu(), found["changed"].cpu()

    def _attacked(self, data: ActiveDataModule, module: Classifier) -> tuple[nn.Module, tuple[float, float]]:
        """Return what is attacked, samples or features to logits, and the range of what it takes."""
        if self.space == "input":
            return module, data.samples["pool"].bounds
        assert isinstance(module, TransferClassifier)
        low, high = data.inputs("pool", data.pool.labelled).aminmax()
        return module.head, (float(low), float(high))
