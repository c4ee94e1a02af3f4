"""Checkpoints at the end of every round, and in long rounds on a time interval, whole or not at all."""

import io
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from aal.callbacks.rounds import clock_of
from aal.checks import at_least, refuse
from aal.errors import UserError
from aal.runs.files import sync, write_bytes

SYNC_SECONDS = 1.0  # between two waits for the disk: they are for the machine's death, the process's needs none


def last_checkpoint(folder: Path) -> Path:
    """Return where a run keeps its checkpoint."""
    return folder / "checkpoints" / "last.ckpt"


class RoundCheckpoint(Checkpoint):
    """Saves ``checkpoints/last.ckpt`` when a round has ended, and at the end of an epoch in long rounds.

    Args:
        interval: Seconds since the last checkpoint after which the end of an epoch is worth one too.

    Raises:
        UserError: A negative ``interval``.
    """

    def __init__(self, interval: float = 60.0) -> None:
        at_least(0, {"interval": interval})
        self.interval = interval
        self._saved = self._synced = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save if a round has ended or enough time has passed. Lightning calls this after all other callbacks."""
        clock, waited = clock_of(trainer), time.monotonic() - self._saved
        if clock.fresh or clock.finished or trainer.strategy.broadcast(waited >= self.interval):
            folder = Path(trainer.default_root_dir)
            trainer.save_checkpoint(last_checkpoint(folder))
            self._saved = time.monotonic()
            if self._saved - self._synced >= SYNC_SECONDS and trainer.is_global_zero:
                for name in ("rounds.jsonl", "ledger.csv", "crafted.safetensors"):
                    sync(folder / name)
                sync(last_checkpoint(folder))
                self._synced = time.monotonic()


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, and reads nothing but tensors and plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write ``checkpoint`` to ``path``."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue(), durable=False)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = None,  # noqa: ANN401 - Lightning's signature
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            UserError: The file is damaged or holds more than tensors and plain values.
        """
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Detected pickle protocol")  # such files are refused anyway
                checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # whatever a damaged file makes the reader stumble over
            why = str(error).partition("\n")[0] or type(error).__name__
            raise UserError(f"{path}: damaged, or not a checkpoint of a run ({why})") from error
        refuse(
            not isinstance(checkpoint, dict) or not {"state_dict", "loops", "callbacks"} <= checkpoint.keys(),
            f"{path}: not a checkpoint of a run",
        )
        return checkpoint
