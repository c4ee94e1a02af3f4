"""``aal fit``: LightningCLI with few additions."""

import os
import signal
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.cli import _InstantiatorFn

from aal.callbacks import RoundProgress, RunRecords, VictimModel, WholeCheckpointIO, last_checkpoint
from aal.callbacks.round_callback import callbacks_of
from aal.callbacks.rounds import clock_of
from aal.callbacks.victim_model import ANSWERS
from aal.checks import one_of, refuse
from aal.cli.exits import GO_ON, LEAVING, hear_again, reason
from aal.cli.keys import CALLBACKS, CLI_ARGUMENTS, MAY_CHANGE, loggers_in
from aal.cli.origins import Origins
from aal.cli.parsing import ParsingCLI
from aal.cli.trainer import check_built, check_callbacks, check_trainer, is_alone
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped, UserError
from aal.models import Classifier
from aal.runs.folder import RunFolder
from aal.runs.ranks import forget_ranks

OWN = ("aal.", "pytorch_lightning.")  # where callbacks are from that end no run


class AALCLI(ParsingCLI):
    """The command line of a run, whose folder is locked and resumable."""

    folder: RunFolder | None = None  # of rank zero

    def before_instantiate_classes(self) -> None:
        """Refuse what needs nothing built to be seen, and complete what is built from."""
        config = self.config["fit"]
        refuse(config["out"] is None, "out: a run needs a folder; name one with --out")
        out = Path(config["out"])
        check_trainer(config["trainer"])
        if is_alone(config["trainer"]):
            forget_ranks(os.environ)
        saved = config["ckpt_path"]
        refuse(saved not in (None, "last"), f"ckpt_path: takes 'last', to go on with the run in --out; got {saved!r}")
        try:
            self.dump, self.resumes = self._dumped(config), config["ckpt_path"] == "last"
        except (TypeError, ValueError) as error:  # an argument that is no plain value
            raise UserError(reason(error)) from error
        config["trainer"]["logger"] = loggers_in(out, config["trainer"]["logger"])
        saved = last_checkpoint(out)
        config["ckpt_path"] = str(saved) if config["ckpt_path"] and saved.exists() else None

    def _add_instantiators(self) -> None:
        """Add none: what is built, and how, is noted in :meth:`instantiate_classes`."""

    def instantiate_classes(self) -> None:
        """Build everything, and take the run's folder; a value that a class refuses is the user's input."""
        self.origins = Origins(self.config.get("fit", self.config))
        for key, base in (("data", ActiveDataModule), ("model", Classifier)):
            self.origins.note(_InstantiatorFn(cli=self, key=key), base)
        try:
            with self.origins.named():
                super().instantiate_classes()
                name, config = type(self.datamodule).__name__, self.config.get("fit", self.config)
                told = config.get("data.init_args.seed")
                refuse(
                    told is None or getattr(self.datamodule, "seed", None) != told,
                    f"{name}: must take the argument seed and hand it on to ActiveDataModule, else all seeds are one",
                )
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            self._release()
            raise UserError(reason(error)) from error

    def fit(self, **arguments: Any) -> None:
        """Train, and give the run's folder free.

        Raises:
            RunStopped: Lightning ended the run before the clock did, at a limit among the trainer's keys; the run's
                folder cannot be written to any more, or is gone; a worker that prepares batches died or hangs.
        """
        refused = False
        try:
            with self.origins.named(self._has_begun), self.folder.kept() if self.folder else nullcontext():
                self.trainer.fit(**arguments)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
        except UserError:
            refused = True
            raise
        except RuntimeError as error:
            if not str(error).startswith("DataLoader "):  # torch has no class for it
                raise
            why = f"a process that prepares batches ended or hangs ({str(error).splitlines()[0]})"
            raise RunStopped(f"{why}; set num_workers: 0, or make /dev/shm larger; {GO_ON['fit']}") from error
        finally:
            self._release(refused)
        others = (f"{type(one).__module__}.{type(one).__qualname__}" for one in callbacks_of(self.trainer))
        named = "".join(f", or by {name}" for name in others if not name.startswith(OWN))
        cut = f"interrupted, or cut short by a key of the trainer{named}; {GO_ON['fit']}"
        refuse(not clock_of(self.trainer).finished, cut, RunStopped)

    def _has_begun(self) -> bool:
        return self.trainer.fit_loop.epoch_progress.current.ready > 0

    def _release(self, refused: bool = False) -> None:
        if self.folder is not None:
            self.folder.release(refused=refused)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        plugins = config["plugins"] if isinstance(config["plugins"], list) else [config["plugins"]]
        config["plugins"] = [WholeCheckpointIO(), *(plugin for plugin in plugins if plugin is not None)]
        chosen = [callback for callback in callbacks if callback is not None]
        victim, answers = (self._get(self.config_init, key) for key in ("victim", "victim_answers"))
        one_of(ANSWERS, {"victim_answers": answers})
        refuse(victim is None and answers != "labels", "victim_answers: there is no victim; set one, or leave it out")
        if victim is not None:
            chosen.insert(0, VictimModel(victim, answers))  # before the clock, which asks it
        given = config["callbacks"] or []
        by_key = {key: self._get(self.config_init, key) for key in CALLBACKS}
        check_callbacks([*chosen, *(given if isinstance(given, list) else [given])], by_key)
        records = RunRecords()
        # Lightning's answer to SIGTERM has the ranks wait for each other, which may be waiting already.
        signals = LambdaCallback(on_train_start=lambda trainer, module: hear_again())
        try:
            trainer = super()._instantiate_trainer(config, [signals, RoundProgress(), *chosen, records])
        except RuntimeError as error:  # what a scheduler's variables say does not fit together
            raise UserError(f"trainer: {error}") from error
        check_built(trainer)
        rank_zero_only.rank = trainer.global_rank  # type: ignore[attr-defined]
        if (launcher := trainer.strategy.launcher) is not None:
            LEAVING.append(partial(launcher.kill, signal.SIGKILL))  # the ranks would wait for this one
        if trainer.is_global_zero:
            self.folder = records.folder = RunFolder(Path(trainer.default_root_dir), self.resumes)
            self.folder.compare(self.dump, MAY_CHANGE, self._completed)
            records.config = self.dump
        return trainer


def fit(argv: list[str]) -> int:
    """Run ``aal fit`` with ``argv``, what follows it on the command line; return its exit code, 0."""
    AALCLI(**CLI_ARGUMENTS, args=["fit", *argv])
    return 0
