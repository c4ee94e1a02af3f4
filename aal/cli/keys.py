"""The keys of a run's configuration: the callbacks that have one, defaults, loggers, what may change."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.loggers import Logger

from aal.callbacks import (
    AdversarialRetraining,
    LabelFlip,
    Poisoning,
    RobustEvaluation,
    RoundCallback,
    Rounds,
    SecuredSet,
    ShadowRounds,
)
from aal.checks import refuse
from aal.cli.trainer import TRAINER_DEFAULTS
from aal.datamodules import ActiveDataModule
from aal.datamodules.contract import check_said
from aal.models import Classifier

# The keys of callbacks that an experiment has at most once, in the order in which the callbacks are called.
CALLBACKS = {
    "poison": Poisoning,
    "query": Rounds,
    "flips": LabelFlip,
    "shadow": ShadowRounds,
    "secured": SecuredSet,
    "retraining": AdversarialRetraining,
    "robust": RobustEvaluation,
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
CSV_LOGGER = "pytorch_lightning.loggers.CSVLogger"
LIGHTNINGS = ("lightning_logs", None)  # name and version of a logger that are Lightning's defaults
OWN_FOLDER = {"MLFlowLogger": "mlruns"}  # of a logger that does not write into the folder itself
PARSER = {"exit_on_error": False, "allow_abbrev": False}


class Parser(LightningArgumentParser):
    """Lightning's parser, but its loggers write into the run's folder unless they are told where."""

    def add_class_arguments(self, class_type: type, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a class; a logger's folder is empty by default, where it is in the current one."""
        added: list[str] = super().add_class_arguments(class_type, *arguments, **options)
        a_logger = isinstance(class_type, type) and issubclass(class_type, Logger) and "save_dir" in added
        here = (None, ".", f"./{OWN_FOLDER.get(class_type.__name__)}") if a_logger else ()
        if a_logger and self.get_defaults().get("save_dir") in here:
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
            logger["init_args.save_dir"] = str(folder / OWN_FOLDER.get(logger.class_path.rpartition(".")[2], ""))
            if (logger.get("init_args.name"), logger.get("init_args.version")) == LIGHTNINGS:
                logger["init_args.name"] = logger["init_args.version"] = ""
    return loggers


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
