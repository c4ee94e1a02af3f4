"""Checkpoints at the end of every round, and in long rounds on a time interval, whole or not at all."""

import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from aal.callbacks.round_callback import data_of, round_callbacks
from aal.callbacks.rounds import clock_of
from aal.checks import at_least, refuse
from aal.errors import RunStopped
from aal.models import Classifier
from aal.networks.weights import digest_of_tensors
from aal.runs.files import read_bytes, sync, write_bytes
from aal.runs.inputs import keep_inputs
from aal.sharding import Shard

# How a zip archive ends: the length of its comment, and the comment.
NO_COMMENT, SEALED = (length.to_bytes(2, "little") for length in (0, 64))
# What is read back of a checkpoint, besides tensors: no code of a class is run for it.
MAPPINGS, GROUPS = (dict, OrderedDict), (list, tuple, set, torch.Size)
PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
HYPER = ("hyper_parameters", "datamodule_hyper_parameters")
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

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse to go on over other data, weights or files than the run was started with; all else is set up."""
        assert isinstance(module, Classifier)
        data, folder = data_of(trainer), Path(trainer.default_root_dir)
        inputs = {f"data, the split {split}": digest for split, digest in data.split_digests.items()}
        inputs["data, the classes"] = ", ".join(data.classes or ())
        inputs["model, its pre-trained weights"] = digest_of_tensors(module.pretrained)
        for callback in round_callbacks(trainer):
            inputs |= callback.inputs

        def kept() -> str:
            return keep_inputs(folder, inputs) if trainer.is_global_zero else ""

        run = trainer.strategy.broadcast(Shard.of(trainer).together(kept))
        if isinstance(trainer.strategy.checkpoint_io, WholeCheckpointIO):
            trainer.strategy.checkpoint_io.run = run

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
    """Writes checkpoints whole or not at all, and reads back those alone that the same run wrote.

    A checkpoint is a zip archive as ``torch.save`` writes it; the archive's comment is a digest of it and of the run.

    Attributes:
        run: What tells the run from others; it stands in no file but as part of the digest.
    """

    run = ""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write ``checkpoint`` to ``path``.

        Raises:
            RunStopped: A state is of what could not be read back.
        """
        for arguments in {*HYPER} & {*checkpoint}:  # of the user's classes: nothing goes on with them
            if any(_unkept(checkpoint[arguments])):
                del checkpoint[arguments]
        unkept = ", ".join(_unkept(checkpoint))
        refuse(unkept, f"a checkpoint takes numbers, texts and tensors, no others: {unkept}", RunStopped)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        archive = buffer.getvalue()
        write_bytes(Path(path), archive[:-2] + SEALED + self._seal(archive), durable=False)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = None,  # noqa: ANN401 - Lightning's signature
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            UserError: The file is damaged, or another run wrote it, or something else.
        """
        content, length = read_bytes(Path(path)), len(SEALED) + 64
        archive = content[:-length] + NO_COMMENT
        altered = content[-length:] != SEALED + self._seal(archive)
        refuse(altered, f"{path}: not as this run saved it: damaged, altered, or the checkpoint of another run")
        return cast(dict[str, Any], torch.load(io.BytesIO(archive), map_location=map_location, weights_only=True))

    def _seal(self, archive: bytes) -> bytes:
        return hashlib.sha256(self.run.encode() + archive).hexdigest().encode()


def _unkept(value: object, place: str = "") -> Iterator[str]:
    """Tell what of a checkpoint could not be read back, and where it stands."""
    if type(value) in MAPPINGS:
        for name, inner in cast(dict[object, object], value).items():
            yield from _unkept(name, f"{place}a key")
            yield from _unkept(inner, f"{place}{name}: ")
    elif type(value) in GROUPS:
        for inner in cast(list[object], value):
            yield from _unkept(inner, place)
    elif not isinstance(value, Tensor) and type(value) not in PLAIN:
        yield f"{place}{type(value).__module__}.{type(value).__qualname__}"
