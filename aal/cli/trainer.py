"""What the rounds can be run with of Lightning's: keys of the trainer, callbacks, strategies."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
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
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from aal.callbacks import RoundCallback, RoundCheckpoint, RoundProgress, Rounds, RunRecords
from aal.checks import at_least, refuse

TRAINER_DEFAULTS = {
    "max_epochs": -1,  # the clock ends the run
    "devices": 1,  # more of them share encoding, crafting and scoring, where asked to
    "use_distributed_sampler": False,  # every rank trains on all labelled samples
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
    "deterministic": True,
}
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
    return trainer["num_nodes"] == 1 and _devices(trainer["devices"], trainer["accelerator"]) == 1


def _devices(asked: object, accelerator: object) -> int:
    """Return how many devices are asked for, as Lightning takes it; 0 where that alone knows."""
    if isinstance(asked, list):
        return len(asked)
    text = str(asked).strip()
    if "," in text:  # numbers of GPUs
        return len([part for part in text.split(",") if part.strip()])
    if text not in ("auto", "-1"):
        return int(text) if text.isdecimal() else 0
    if accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available()):
        return 1
    return torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0


def check_callbacks(callbacks: Sequence[object], by_key: Mapping[str, object]) -> None:
    """Refuse callbacks of which there is no clock, or more than one, or two of a kind.

    Args:
        callbacks: All of them, and whatever else a user gave.
        by_key: The callback of each key; None where it is not set.

    Raises:
        UserError: Names the keys, or the class of two.
    """
    round_callbacks = [callback for callback in callbacks if isinstance(callback, RoundCallback)]
    clocks = [callback for callback in round_callbacks if isinstance(callback, Rounds)]
    refuse(not clocks, "query: an experiment needs a clock; set it to aal.callbacks.QueryRounds")
    keys = [key for key, callback in by_key.items() if callback in clocks] + ["trainer.callbacks"] * 2
    which = "{0}: a run has one clock, and {1} is another; set {0}: null, or {1}: null".format(*keys)
    refuse(len(clocks) > 1, which)
    names = [type(callback).__name__ for callback in round_callbacks]
    twice = next((name for name in names if names.count(name) > 1), "")
    refuse(twice, f"trainer.callbacks: {twice}: a run has at most one")


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
