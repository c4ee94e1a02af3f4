"""The clock: rounds of training from fresh weights inside one ``Trainer.fit``."""

import math
import time
from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy

from aal.callbacks.round_callback import Record, RoundCallback, callbacks_of, data_of, refuse_columns, round_callbacks
from aal.checks import at_least, refuse
from aal.errors import RunStopped
from aal.models.classifier import Classifier
from aal.seeds import generator, key, seed_device


class Rounds(RoundCallback, ABC):
    """Trains in rounds. A kind of rounds says in :meth:`next_round` what comes between two of them.

    A round ends when the loss has not fallen by ``min_delta`` for ``patience`` epochs, or after ``max_epochs``; after
    one where the classifier only takes in its training set. It is the loss on the datamodule's split ``val`` where
    there is one, else the training loss. The weights are renewed at the start of the next round, not at the end of the
    last, so that a checkpoint holds the trained model of its round.

    Args:
        max_epochs: Most epochs a round.
        patience: Epochs without a lower loss after which a round has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.
        warm_start: Whether a round goes on from the weights of the last instead of fresh ones.

    Attributes:
        counted: The axis of the run: the column of a round's record that display and trackers go along.
        crafts: Whether it may add copies of samples to what is trained on.
        asks: Whether it asks somebody for labels.

    Raises:
        UserError: A number of epochs below 1 or a negative ``min_delta``.
    """

    counted = "labels"
    crafts = False
    asks = False
    STATE: tuple[str, ...] = (
        *("round", "epoch", "best_loss", "epochs_waited", "fresh", "finished"),
        *("queried", "seconds_query", "figures", "ended_by"),
    )

    def __init__(
        self, max_epochs: int = 100, patience: int = 10, min_delta: float = 1e-3, warm_start: bool = False
    ) -> None:
        at_least(1, {"max_epochs": max_epochs, "patience": patience})
        at_least(0, {"min_delta": min_delta})
        self.max_epochs, self.patience, self.min_delta, self.warm_start = max_epochs, patience, min_delta, warm_start
        self.round = 0
        self.epoch = 0
        self.best_loss = math.inf
        self.epochs_waited = 0
        self.fresh = True  # the next epoch is the first of a round
        self.finished = False
        self.queried = 0  # labels given before this round
        self.seconds_query = 0.0
        self.figures: Record = {}  # of what came before this round
        self.ended_by = ""  # what ended the run
        self._started = time.perf_counter()

    @property
    def draw_of_weights(self) -> int:
        """Which draw of fresh weights this round begins with."""
        return self.round

    @abstractmethod
    def first_labels(self, trainer: pl.Trainer) -> None:
        """Give the labels that the first round is trained on."""

    def converged(self, trainer: pl.Trainer, module: Classifier, loss: float) -> bool:
        """Whether the epoch that has just ended is enough, told the loss that is watched."""
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.epochs_waited = loss, 0
        else:
            self.epochs_waited += 1
        return self.epochs_waited >= self.patience

    @abstractmethod
    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return what a record's column ``counted`` comes to when the run ends, if nothing ends it before."""

    def judge(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return further columns of the record of the round that has just been trained."""
        return {}

    @abstractmethod
    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether no round comes after the one that has just been trained, as far as its record tells by now."""

    def due(self, trainer: pl.Trainer) -> bool:
        """Whether labels were changed after the round was trained on them, so that another comes in any case."""
        return any(callback.labels_changed for callback in round_callbacks(trainer))

    @abstractmethod
    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Do what comes before the next round; return the number of labels given, 0 to end the run.

        The run goes on nevertheless for a round that is :meth:`due`.
        """

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Give the first labels; get the module ready for the data that Lightning asks for next."""
        assert isinstance(module, Classifier)
        module.start_round(self.round)
        if self.finished:
            trainer.should_stop = True
        if not data_of(trainer).pool.ledger:
            self.first_labels(trainer)
        for callback in round_callbacks(trainer):
            callback.on_labels_given(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Renew weights and optimizer at the start of a round; seed the epoch."""
        assert isinstance(module, Classifier)
        seed = data_of(trainer).seed
        _reload_every_epoch(trainer, False)
        if self.fresh:
            self._started = time.perf_counter()
            if not self.warm_start or self.round == 0:
                module.renew(generator(seed, "weights", self.draw_of_weights))
            trainer.strategy.setup_optimizers(trainer)
            self.epoch, self.best_loss, self.epochs_waited, self.fresh = 0, math.inf, 0, False
        seed_device(key(seed, "epoch", self.round, self.epoch), module.device)  # alike on all ranks

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """End the round if it has converged: evaluate, tell the round callbacks, go on to the next."""
        try:
            self._end_epoch(trainer, module)
        except StopIteration as error:  # Lightning would take it for the end of the batches
            raise RuntimeError("something at a round's end stopped an iteration that it had not begun") from error

    def _end_epoch(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Classifier)
        loss = module.train_loss
        refuse(
            not math.isfinite(loss), f"round {self.round}, epoch {self.epoch}: the training loss is {loss}", RunStopped
        )
        self.epoch += 1
        val = self._tested(trainer, module, "val")[0] if "val" in data_of(trainer).samples else None
        converged = self.converged(trainer, module, loss if val is None else val)
        if not (converged or module.at_once) and self.epoch < self.max_epochs:
            return
        record = self._evaluate(trainer, module, loss) | ({} if val is None else {"val_loss": val})
        for callback in round_callbacks(trainer):
            before = dict(record)
            callback.on_round_end(trainer, module, record)
            refuse_columns(record, before, f"round {self.round}: {type(callback).__name__}")
        started = time.perf_counter()
        self.queried = self.next_round(trainer, module, record)
        self.seconds_query = time.perf_counter() - started
        if not self.queried and not self.due(trainer):
            self.finished = trainer.should_stop = True
            return
        self.round += 1
        self.fresh = True
        module.start_round(self.round)
        for callback in round_callbacks(trainer):
            callback.on_labels_given(trainer, module)
        _reload_every_epoch(trainer, True)

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Freeze or unfreeze the module as it was when the optimizer state was saved, which Lightning restores next."""
        assert isinstance(module, Classifier)
        state = checkpoint["callbacks"][self.state_key]
        module.start_round(max(state["round"] - state["fresh"], 0))

    def state_dict(self) -> dict[str, Any]:
        """Return where in its rounds the run is."""
        return {**super().state_dict(), "seconds": time.perf_counter() - self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to where a checkpoint was."""
        super().load_state_dict(state_dict)
        self._started = time.perf_counter() - state_dict["seconds"]

    def _tested(self, trainer: pl.Trainer, module: Classifier, split: str) -> tuple[float, float]:
        """Return mean cross entropy and accuracy on a split."""
        data = data_of(trainer)
        labels = data.labels[split].to(module.device)
        logits = data.map(lambda batch: module.classify(data.inputs(split, batch)), torch.arange(len(labels)))
        loss = float(F.cross_entropy(logits, labels))
        refuse(
            not math.isfinite(loss), f"round {self.round}, epoch {self.epoch}: the {split} loss is {loss}", RunStopped
        )
        return loss, float(multiclass_accuracy(logits, labels, module.num_classes, average="micro"))

    def _evaluate(self, trainer: pl.Trainer, module: Classifier, train_loss: float) -> Record:
        data = data_of(trainer)
        seconds_train = time.perf_counter() - self._started
        loss, accuracy = self._tested(trainer, module, "test")
        return {
            "round": self.round,
            "labels": len(data.pool.asked),
            "queried": self.queried,
            **data.extras.counts,
            "accuracy": accuracy,
            "loss": loss,
            "train_loss": train_loss,
            "epochs": self.epoch,
            "seconds_train": seconds_train,
            "seconds_query": self.seconds_query,
            "seconds": time.perf_counter() - self._started + self.seconds_query,
            **self.figures,
            **self.judge(trainer, module),
        }


def clock_of(trainer: pl.Trainer) -> Rounds:
    """Return the Trainer's clock."""
    return next(callback for callback in callbacks_of(trainer) if isinstance(callback, Rounds))


def _reload_every_epoch(trainer: pl.Trainer, reload: bool) -> None:
    """Have Lightning ask for a new dataloader before the next epoch, or not."""
    trainer.reload_dataloaders_every_n_epochs = int(reload)  # type: ignore[attr-defined]  # its connector sets it
