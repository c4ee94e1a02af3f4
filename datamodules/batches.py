"""The order of a round's labelled samples: batches that are shuffled anew each epoch."""

import os
from collections.abc import Iterator
from multiprocessing.queues import Queue

from torch import Tensor
from torch.utils.data import Sampler

from aal.seeds import epoch_batches


class EpochBatches(Sampler[Tensor]):
    """Shuffled batches of positions, their order a function of seed and epoch.

    Args:
        size: Number of samples.
        batch_size: Samples a batch.
        seed: The run's seed.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed, self.epoch = size, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the number of the epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(epoch_batches(self.seed, self.epoch, self.size, self.batch_size))


def end_where_batches_cannot_be_handed_on(worker: int) -> None:
    """Have a worker's process end there, as with a full ``/dev/shm``: the run hears of it at once.

    It would else print a traceback, drop the batch and wait for ever; the class has no other hook for it.
    """
    Queue._on_queue_feeder_error = staticmethod(lambda error, batch: os._exit(1))  # type: ignore[attr-defined]
