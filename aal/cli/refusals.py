"""What ``aal fit`` refuses before anything is built."""

from collections.abc import Mapping
from typing import Any

from aal.errors import UserError

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
