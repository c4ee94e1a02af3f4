"""Progress: labels so far, accuracy and time left, while a run goes on."""

import pytorch_lightning as pl

from aal.callbacks.round_callback import Record, RoundCallback, data_of, round_callbacks
from aal.callbacks.rounds import clock_of
from aal.models import Classifier
from aal.runs.progress import Progress, RoundsTask


class RoundProgress(RoundCallback):
    """Shows the rounds on the terminal, and gives the datamodule the same display for encoding and crafting."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._rounds: RoundsTask | None = None

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Give the datamodule the display."""
        data_of(trainer).progress = self._progress

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin to count the labels, or what else the clock counts."""
        clock = clock_of(trainer)
        self._rounds = self._progress.rounds(clock.to_reach(trainer), clock.counted)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Show that training goes on."""
        if self._rounds is not None:
            self._rounds.epoch(clock_of(trainer).epoch)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Show what was counted so far, and the accuracy."""
        if self._rounds is not None:
            clock = clock_of(trainer)
            self._rounds.total = clock.to_reach(trainer)
            remarks = [remark for callback in round_callbacks(trainer) if (remark := callback.remark(record))]
            self._rounds.update(record[clock.counted], record["round"], record["accuracy"], ", ".join(remarks))

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """End the display."""
        self._end()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """End the display before the reason is told."""
        self._end()

    def _end(self) -> None:
        if self._rounds is not None:
            self._rounds.done()
        self._progress.stop()
