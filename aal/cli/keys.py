"""The keys of a run's configuration: the callbacks that have one, and the trainer's defaults."""

from typing import Any

from aal.callbacks import (
    AdversarialRetraining,
    LabelFlip,
    Poisoning,
    RobustEvaluation,
    RoundCallback,
    Rounds,
    SecuredSet,
)
from aal.datamodules import ActiveDataModule
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
PARSER = {"exit_on_error": False, "allow_abbrev": False}
CLI_ARGUMENTS: dict[str, Any] = {
    "model_class": Classifier,
    "datamodule_class": ActiveDataModule,
    "subclass_mode_model": True,
    "subclass_mode_data": True,
    "save_config_callback": None,
    "seed_everything_default": 0,
    "trainer_defaults": TRAINER_DEFAULTS,
    "auto_configure_optimizers": False,
    "parser_kwargs": {**PARSER, "fit": PARSER},
}


def number_of_logits(classes: int, *callbacks: RoundCallback | None) -> int:
    """Return how many logits a classifier has: one a class of the data, and of what callbacks add to them."""
    return classes + sum(callback.new_classes for callback in callbacks if callback is not None)
