"""Run records: the files of a run, kept up to date after every round, and the same numbers to the loggers."""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn

from aal.attacks import frozen
from aal.callbacks.round_callback import Record, RoundCallback, data_of, round_callbacks
from aal.callbacks.rounds import clock_of
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped
from aal.models import Classifier, TransferClassifier
from aal.report.pair_figures import examples_figure
from aal.report.run_page import CRAFTED_FIGURE, write_run_report
from aal.report.style import render
from aal.robustness import Examples
from aal.runs.files import NOTHING, write_bytes, write_csv
from aal.runs.folder import RunFolder
from aal.runs.reading import read_rounds
from aal.runs.records import RoundLines, write_crafted, write_ledger, write_summary
from aal.tracking.logger import WandbTracker

COPIES = 9  # that are drawn


class RunRecords(RoundCallback):
    """Writes the files of a run, among them ``rounds.jsonl`` and ``ledger.csv``, into ``trainer.default_root_dir``.

    It comes last among the round callbacks, so that it sees what the others add to a record. When a run resumes,
    rounds after its checkpoint are cut off again: they are about to be repeated.

    Attributes:
        folder: The run's folder, which this process holds; none where there is no more to it than its path.
        config: The run's configuration, which is kept in it once everything has agreed to it.
    """

    def __init__(self) -> None:
        self.folder: RunFolder | None = None
        self.config: dict[str, Any] = {}
        self.lines = RoundLines()
        self._saved = (0, NOTHING)  # size of rounds.jsonl, in bytes, at the checkpoint, and digest of these
        self.seconds = 0.0
        self._started = time.perf_counter()

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Write ``config.yaml``, since all other callbacks have accepted it by now, and which files were left out."""
        if self.folder is not None:
            self.folder.write_config(self.config)
        skipped = data_of(trainer).skipped
        if skipped and trainer.is_global_zero:
            path = Path(trainer.default_root_dir) / "skipped.csv"
            write_csv(path, ("file", "reason"), skipped.items())
            rank_zero_warn(f"{len(skipped)} files of the data were left out; {path} has their names and the reasons")

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Go back to the checkpoint's rounds, and give them to the loggers anew."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbTracker):  # it starts after this
                logger.axis = clock_of(trainer).counted
        self._started = time.perf_counter()
        folder = Path(trainer.default_root_dir)
        self.lines.go_back(folder, *self._saved)
        for record in read_rounds(folder):
            _log(trainer, record)

    def on_round_end(self, trainer: pl.Trainer, module: Classifier, record: Record) -> None:
        """Append the round's record."""
        if trainer.is_global_zero:
            self._check_folder()
            self.lines.append(Path(trainer.default_root_dir), record)
            _log(trainer, record)

    def on_labels_given(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Write the ledger anew, and what is trained on besides."""
        data, folder = data_of(trainer), Path(trainer.default_root_dir)
        if trainer.is_global_zero:
            self._check_folder()
            write_ledger(folder, data.pool, data.labels["pool"], data.bases, data.classes)
            write_crafted(folder, data.extras, data.pool)

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the summary and the report of a finished run."""
        assert isinstance(module, Classifier)
        data, folder = data_of(trainer), Path(trainer.default_root_dir)
        if not trainer.is_global_zero or not clock_of(trainer).finished:
            return
        self.on_labels_given(trainer, module)  # the clock may have changed labels at the end
        self.lines.check(folder)
        last = read_rounds(folder)[-1]
        summary = {
            **{name: last[name] for name in ("accuracy", "loss", "labels")},
            **{"rounds": last["round"] + 1, "seed": data.seed, "data": data.name},
            **{split: len(data.samples[split]) for split in data.held_out if split in data.samples},
            **({} if data.classes is None else {"classes": list(data.classes)}),
            **({"data_skipped": len(data.skipped)} if data.skipped else {}),
            **({"head": module.head_name} if isinstance(module, TransferClassifier) else {}),
        }
        for callback in round_callbacks(trainer):
            found = callback.summarise(trainer, module)
            try:
                json.dumps(found, allow_nan=False)
                summary |= found
            except (TypeError, ValueError) as error:
                raise RunStopped(f"{type(callback).__name__}: no summary that JSON can say ({error})") from None
        summary["seconds"] = self.seconds + time.perf_counter() - self._started
        _draw_crafted(data, module, folder)
        write_summary(folder, summary, data.fingerprint, trainer.strategy.root_device)
        self._check_folder()  # else a summary and a report alone would look like a whole run
        write_run_report(folder)

    def _check_folder(self) -> None:
        if self.folder is not None:
            self.folder.check()

    def state_dict(self) -> dict[str, Any]:
        """Return size and digest of ``rounds.jsonl``, and the seconds spent."""
        seconds = self.seconds + time.perf_counter() - self._started
        return {"size": self.lines.size, "digest": self.lines.digest, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint holds."""
        self._saved, self.seconds = (state_dict["size"], state_dict["digest"]), state_dict["seconds"]


def _draw_crafted(data: ActiveDataModule, module: Classifier, folder: Path) -> None:
    """Draw some copies that were trained on, of all rounds alike, with what the classifier takes them for now."""
    used = data.extras.in_use(data.pool)
    if not len(used) or data.extras.features:
        return
    some = used[torch.linspace(0, len(used) - 1, min(COPIES, len(used))).long()]
    copies, sources = data.extras.crafted[some], data.extras.sources[some]
    x, samples = data.samples["pool"][sources], data.samples["pool"]
    with frozen(module), torch.no_grad():
        natural, after = (module(part.to(module.device)).argmax(1).cpu() for part in (x, copies))
    figure = examples_figure(Examples(x, copies, data.pool.labels[sources], natural, after, samples.bounds))
    if figure is not None:
        write_bytes(folder / CRAFTED_FIGURE, render(figure))


def _log(trainer: pl.Trainer, record: Record) -> None:
    for logger in trainer.loggers:
        numbers = {name: float(value) for name, value in record.items() if not isinstance(value, str)}
        logger.log_metrics(numbers, step=record[clock_of(trainer).counted])
