"""The command ``aal``: ``fit``, ``selftest``, ``study``, ``configs`` and ``completion``, and what they end with."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin against other processes

import logging
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from aal import INCOMPLETE, __version__
from aal.checks import refuse
from aal.cli.exits import drop_unread, end_with, hear
from aal.errors import UserError, did_you_mean

# Each a module of aal.cli, with the function in it that runs the command.
COMMANDS = {
    "fit": "fit",
    "selftest": "selftest_command",
    "study": "study",
    "configs": "configs",
    "completion": "completion",
}
USAGE = """aal: attack and defend active learners

  aal fit --config FILE [--config FILE ...] --out DIR [--seed_everything N] [--ckpt_path last]
      one run: its records, figures and report in DIR; --ckpt_path last goes on with a run that was interrupted
  aal selftest --config FILE [--config FILE ...] [--ckpt_path FILE] [--norm NORM] [--radius R] [--samples N]
      whether attacks work on the model, before a robustness figure is trusted; exits with 1 where a check failed
  aal study run FILE [FILE ...] --out DIR [--seeds N] [--jobs J]
      many runs: arms times seeds; finished ones are skipped; of several studies, each in a folder of its name in DIR
  aal study report DIR
      table and report of a study
  aal configs list | show NAME | copy DIR
      the configurations that ship: aal:FOLDER/NAME stands for one wherever a FILE does
  aal completion bash | zsh
      a script that completes all this: eval "$(aal completion bash)"

A FILE may be aal:experiment/collision_digits. --query margin is --config aal:query/margin, and so on for every folder
of configurations but that of studies.

aal fit --help lists every key of a configuration."""


def main() -> NoReturn:
    """Run the command in ``sys.argv`` and exit: 0 done, 2 the user's input is wrong, 3 the run had to stop.

    ``aal selftest`` exits with 1 where a check failed.
    """
    hear()
    here = str(Path.cwd())  # of classes that a configuration may name; ``python -m`` puts it there, a script does not
    if sys.path[0] != here:
        sys.path.insert(0, here)
    drop_unread()
    end_with(command)


def command() -> int:
    """Run the command in ``sys.argv``; return its exit code.

    Raises:
        UserError: There is no such command, or this copy of the package lacks a part.
    """
    refuse(INCOMPLETE, INCOMPLETE)
    match sys.argv[1:]:
        case [name, *arguments] if name in COMMANDS:
            module = import_module(f"aal.cli.{name}")  # not the others: Lightning takes seconds to import
            keep_lightning_quiet()
            return int(getattr(module, COMMANDS[name])(arguments))
        case ["--version"]:
            print(f"aal {__version__}")
        case [] | ["-h" | "--help", *_]:
            print(USAGE)
        case [other, *_]:
            raise UserError(
                f"{other}: no such command{did_you_mean(other, COMMANDS)} (aal knows {', '.join(COMMANDS)})"
            )
    return 0


def keep_lightning_quiet() -> None:
    """Drop what Lightning says that does not hold here."""
    for noisy in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for message in (
        "Experiment logs directory",  # metrics.csv is written anew from rounds.jsonl when a run resumes
        ".*does not have many workers",  # batches are cut from a tensor in memory
        ".*isinstance.treespec, LeafSpec",  # Lightning's own use of torch
    ):
        warnings.filterwarnings("ignore", message=message)


if __name__ == "__main__":
    sys.argv[0] = "aal"  # as the script is called; usages begin with it
    main()
