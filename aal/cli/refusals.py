"""What ``aal fit`` refuses before anything is built."""

from collections.abc import Mapping
from typing import Any

from aal.errors import UserError

# What may differ between a run and its continuation: where and how it runs, not what it computes.
MAY_CHANGE = (
    *("out", "checkpoint", *(f"data.init_args.{key}" for key in ("num_workers", "root", "download", "bank"))),
    "query.init_args.run",  # its folder may be called otherwise; what it holds is compared where it is read
    *(f"trainer.{key}" for key in ("accelerator", "strategy", "devices", "num_nodes", "logger", "profiler")),
    *(f"trainer.{key}" for key in ("max_epochs", "max_steps", "max_time")),  # they end a process, not a run
)
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
    if str(trainer["precision"]).endswith(("16-true", "64-true")):
        raise UserError("trainer.precision: must keep 32-bit weights and data, such as 32-true or bf16-mixed")
    for key, default in DEFAULTS.items():
        if trainer[key] != default:
            raise UserError(f"trainer.{key}: the rounds need whole epochs and end by themselves; leave it out")


def whole_seed(seed: bool | int) -> int:
    """Return the run's seed.

    Raises:
        UserError: It is not a whole number from 0 to 2**32 - 1.
    """
    if isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise UserError(f"seed_everything: must be a whole number from 0 to 2**32 - 1, got {seed}")
    return seed
