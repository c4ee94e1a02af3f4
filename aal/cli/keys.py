"""The keys of a run's configuration: the callbacks that have one, the trainer's defaults, loggers, what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from jsonargparse._util import import_object
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    Checkpoint,
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    ProgressBar,
    SpikeDetection,
    StochasticWeightAveraging,
    ThroughputMonitor,
    Timer,
    WeightAveraging,
)
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from aal.callbacks import (
    AdversarialRetraining,
    LabelFlip,
    Poisoning,
    RobustEvaluation,
    RoundCallback,
    RoundCheckpoint,
    RoundProgress,
    Rounds,
    RunRecords,
    SecuredSet,
)
from aal.checks import at_least, refuse
from aal.datamodules import ActiveDataModule
from aal.datamodules.contract import check_said
from aal.models import Classifier

# The keys of callbacks that an experiment has at most once, in the order in which the callbacks are called.
CALLBACKS = {
    "poison": Poisoning,
    "query": Rounds,
    "flips": LabelFlip,
    "secured": SecuredSet,
    "retraining": AdversarialRetraining,
    "robust": RobustEvaluation,
}
TRAINER_DEFAULTS = {
    "max_epochs": -1,  # the clock ends the run
    "devices": 1,  # more of them share encoding, crafting and scoring, where asked to
    "use_distributed_sampler": False,  # every rank trains on all labelled samples
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
    "deterministic": True,
}
CONTENT = "files may lie elsewhere; what they hold is compared by digest"
MACHINE = (
    "a run may go on elsewhere; its results are the same on any number of processes, to the bit on the same machine"
)
WATCHED = "it looks on"
LIMIT = "it ends a process, not the run"
MAY_CHANGE = {
    "out": "the run's folder may be moved",
    "checkpoint": "how often is saved changes nothing",
    "data.init_args.num_workers": "whoever prepares batches, they are the same",
    **dict.fromkeys(
        (*(f"data.init_args.{key}" for key in ("root", "download", "bank")), "query.init_args.run"), CONTENT
    ),
    **dict.fromkeys((f"trainer.{key}" for key in ("accelerator", "strategy", "devices", "num_nodes")), MACHINE),
    **dict.fromkeys(("trainer.logger", "trainer.profiler"), WATCHED),
    **dict.fromkeys((f"trainer.{key}" for key in ("max_epochs", "max_steps", "max_time")), LIMIT),
}
"""What may differ between a run and its continuation, each with the reason: how it runs, not what it computes."""
# Lightning's callbacks that the rounds cannot serve, each with what serves instead.
NOT_SERVED: dict[type[pl.Callback], str] = {
    RunRecords: "a run has one of its own",
    RoundProgress: "a run has one of its own",
    RoundCheckpoint: "a run has one of its own; checkpoint.interval says how often it saves",
    Checkpoint: "a run saves itself, so that it goes on bit for bit; checkpoint.interval says how often",
    EarlyStopping: "it would end the run, not a round; query.init_args.patience ends a round, and stop the run",
    Timer: "use trainer.max_time, which may be another when the run goes on",
    GradientAccumulationScheduler: "it counts the epochs of all rounds; use trainer.accumulate_grad_batches",
    LearningRateFinder: "every round begins with model.init_args.learning_rate",
    BatchSizeFinder: "a training step takes data.init_args.batch_size, and the labelled samples change",
    BaseFinetuning: "it counts the epochs of all rounds; use model.init_args.unfreeze_at, which counts rounds",
    StochasticWeightAveraging: "it would average over rounds, each of which begins with fresh weights",
    WeightAveraging: "it would average over rounds, each of which begins with fresh weights",
    ModelPruning: "every round begins with fresh weights, and would undo it",
    SpikeDetection: "every round begins with fresh weights, whose loss is high",
    LearningRateMonitor: "loggers go along the labels, not the steps of training; a round's step size stays the same",
    DeviceStatsMonitor: "loggers go along the labels, not the steps of training; use trainer.profiler",
    ThroughputMonitor: "loggers go along the labels, not the steps of training; use trainer.profiler",
    ProgressBar: "a run shows its rounds, not its epochs",
}
# Keys of the trainer that would cut epochs short or go on after the last round, each with its default, which does not.
DEFAULTS = {
    "fast_dev_run": False,
    "limit_train_batches": None,
    "overfit_batches": 0.0,
    "min_epochs": None,
    "min_steps": None,
}
CSV_LOGGER = "pytorch_lightning.loggers.CSVLogger"
LIGHTNINGS = ("lightning_logs", None)  # name and version of a logger that are Lightning's defaults
PARSER = {"exit_on_error": False, "allow_abbrev": False}


class Parser(LightningArgumentParser):
    """Lightning's parser, but its loggers write into the run's folder unless they are told where."""

    def add_class_arguments(self, class_type: type, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a class; a logger's folder is empty by default, where it is the current one or none."""
        added: list[str] = super().add_class_arguments(class_type, *arguments, **options)
        a_logger = isinstance(class_type, type) and issubclass(class_type, Logger) and "save_dir" in added
        if a_logger and self.get_defaults().get("save_dir") in (None, "."):
            self.set_defaults({"save_dir": ""})
        return added


CLI_ARGUMENTS: dict[str, Any] = {
    "model_class": Classifier,
    "datamodule_class": ActiveDataModule,
    "subclass_mode_model": True,
    "subclass_mode_data": True,
    "save_config_callback": None,
    "seed_everything_default": 0,
    "trainer_defaults": TRAINER_DEFAULTS,
    "auto_configure_optimizers": False,
    "parser_class": Parser,
    "parser_kwargs": {**PARSER, "fit": PARSER},
}


def shape_of_samples(data: ActiveDataModule) -> tuple[int, ...]:
    """Return the shape of a sample.

    Raises:
        UserError: The datamodule does not say it, or not of how many classes samples are.
    """
    check_said(type(data).__name__, getattr(data, "num_classes", None), getattr(data, "sample_shape", None))
    return tuple(data.sample_shape)


def number_of_logits(data: ActiveDataModule, *callbacks: RoundCallback | None) -> int:
    """Return how many logits a classifier has: one a class of the data, and of what callbacks add to them."""
    return data.num_classes + sum(callback.new_classes for callback in callbacks if callback is not None)


def loggers_in(folder: Path, configured: Namespace | list[Namespace] | bool | None) -> list[Namespace]:
    """Return what ``trainer.logger`` names as a list of configurations that write into the run's folder.

    Args:
        folder: The run's folder, ``--out``.
        configured: The parsed ``trainer.logger``: True and None mean the CSV logger, False none.

    Returns:
        Copies, each with an empty ``save_dir`` filled in, and then without the folders that Lightning makes there for
        each run; the configuration itself stays as the user wrote it.
    """
    if configured is None or configured is True:
        init_args = Namespace(save_dir="", name="", version="")  # type: ignore[no-untyped-call]
        configured = Namespace(class_path=CSV_LOGGER, init_args=init_args)  # type: ignore[no-untyped-call]
    if isinstance(configured, bool):
        return []
    loggers = [logger.clone() for logger in (configured if isinstance(configured, list) else [configured])]
    for logger in loggers:
        if logger.get("init_args.save_dir") == "":
            logger["init_args.save_dir"] = str(folder)
            if (logger.get("init_args.name"), logger.get("init_args.version")) == LIGHTNINGS:
                logger["init_args.name"] = logger["init_args.version"] = ""
    return loggers


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse keys of the trainer that the rounds cannot be run with.

    Raises:
        UserError: Names the key.
    """
    at_least(1, {"trainer.accumulate_grad_batches": trainer["accumulate_grad_batches"]})
    given = trainer["callbacks"] or []
    for callback in given if isinstance(given, list) else [given]:
        kind = import_object(callback["class_path"])
        why = next(
            (why for refused, why in NOT_SERVED.items() if isinstance(kind, type) and issubclass(kind, refused)), ""
        )
        refuse(why, f"trainer.callbacks: {kind.__name__}: {why}")
    for key, default in DEFAULTS.items():
        refuse(
            trainer[key] != default,
            f"trainer.{key}: the rounds need whole epochs and end by themselves; leave it out",
        )


def is_alone(trainer: Mapping[str, Any]) -> bool:
    """Return whether the trainer's keys ask for one process, on one node and device."""
    return str(trainer["devices"]) == "1" and trainer["num_nodes"] == 1


def check_built(trainer: pl.Trainer) -> None:
    """Refuse a trainer that computes, or starts its processes, in a way that the rounds cannot be run in.

    Raises:
        UserError: Names the key.
    """
    refuse(
        str(trainer.precision).endswith(("16-true", "64-true")),
        "trainer.precision: must keep 32-bit weights and data, such as 32-true or bf16-mixed",
    )
    refuse(
        isinstance(trainer.strategy.launcher, _MultiProcessingLauncher),
        "trainer.strategy: each process must be started by the command, as with ddp",
    )


def whole_seed(seed: bool | int) -> int:
    """Return the run's seed.

    Raises:
        UserError: It is not a whole number from 0 to 2**32 - 1.
    """
    refuse(
        isinstance(seed, bool) or not 0 <= seed < 2**32,
        f"seed_everything: must be a whole number from 0 to 2**32 - 1, got {seed}",
    )
    return seed
