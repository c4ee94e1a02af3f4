"""The loggers of a run that is configured on the command line."""

from collections.abc import Callable
from pathlib import Path

import jsonargparse


def loggers_in(
    folder: Path, configured: jsonargparse.Namespace | list[jsonargparse.Namespace] | bool | None
) -> list[jsonargparse.Namespace]:
    """Return what ``trainer.logger`` names as a list of configurations that write into the run's folder.

    Args:
        folder: The run's folder, ``--out``.
        configured: The parsed ``trainer.logger``: True and None mean the CSV logger, False none.

    Returns:
        Copies, each with an empty ``save_dir`` filled in; the configuration itself stays as the user wrote it.
    """
    if configured is None or configured is True:
        make: Callable[..., jsonargparse.Namespace] = jsonargparse.Namespace  # its constructor has no types
        init_args = make(save_dir="", name="", version="")
        configured = make(class_path="pytorch_lightning.loggers.CSVLogger", init_args=init_args)
    if isinstance(configured, bool):
        return []
    loggers = [logger.clone() for logger in (configured if isinstance(configured, list) else [configured])]
    for logger in loggers:
        if logger.get("init_args.save_dir") == "":
            logger["init_args.save_dir"] = str(folder)
    return loggers
