"""Work over a pool, dealt out to ranks in whole batches, so that the result is the same on one rank or many."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from aal.errors import RunStopped, UserError

STOPS = (UserError, RunStopped)
LINE = 1000  # bytes of a message that the ranks tell each other
T = TypeVar("T")
Results = TypeVar("Results", Tensor, dict[str, Tensor])
"""One tensor ``(B, ...)``, or several by name, each of its own shape and dtype."""


def _alone(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Shard:
    """This process's part of the work.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
        sum: Adds a tensor up over all processes.
    """

    rank: int = 0
    world: int = 1
    sum: Callable[[Tensor], Tensor] = _alone

    @classmethod
    def of(cls, trainer: pl.Trainer) -> "Shard":
        """Return the part of this process of a Trainer."""

        def add_up(tensor: Tensor) -> Tensor:
            total = trainer.strategy.reduce(tensor.to(trainer.strategy.root_device), reduce_op="sum")
            assert isinstance(total, Tensor)
            return total

        return cls(trainer.global_rank, trainer.world_size, add_up)

    def map(
        self,
        function: Callable[[Tensor], Results],
        indices: Tensor,
        batch_size: int,
        advance: Callable[[int], None] | None = None,
    ) -> Results:
        """Apply ``function`` to all ``indices`` in batches; every rank gets every result.

        Whole batches go to ranks in turn. A batch is then composed alike on any number of ranks, and so is the
        order of its floating point sums: the result is the same to the bit.

        Args:
            function: Takes indices ``(B,)``, returns a tensor ``(B, ...)``, or several by name.
            indices: What to apply it to, ``(N,)``, not empty.
            batch_size: Indices a batch; it bounds the memory.
            advance: Told the number of samples done after each batch of all ranks.

        Returns:
            The results ``(N, ...)`` in the order of ``indices``, with the names and dtypes that ``function`` gave them.

        Raises:
            UserError: ``function`` did, on any rank: every rank says what the first of them has to say.
            RunStopped: Likewise.
        """

        def named(batch: Tensor) -> dict[str, Tensor]:
            found = function(batch)
            return found if isinstance(found, dict) else {"": found}

        results = self.together(lambda: self._own(named, indices, batch_size, advance))
        if self.world > 1:  # processes do not add truth values up
            for name, result in results.items():
                results[name] = self.sum(result.byte() if result.dtype == torch.bool else result).to(result.dtype)
        return cast(Results, results.get("", results))

    def _own(
        self,
        function: Callable[[Tensor], dict[str, Tensor]],
        indices: Tensor,
        batch_size: int,
        advance: Callable[[int], None] | None,
    ) -> dict[str, Tensor]:
        """Return the results of this rank's batches, and zeros for the others."""
        batches = indices.split(batch_size)
        results: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            if number % self.world == self.rank:
                for name, part in function(batch).items():
                    if name not in results:
                        results[name] = part.new_zeros(len(indices), *part.shape[1:])
                    results[name][number * batch_size : number * batch_size + len(batch)] = part
            if advance is not None:
                advance(len(batch))
        if not results:  # more ranks than batches: only the shapes are wanted
            results = {
                name: part.new_zeros(len(indices), *part.shape[1:]) for name, part in function(batches[0]).items()
            }
        return results

    def first(self, result: Tensor) -> Tensor:
        """Return on every rank what the first has of a result of the same shape on all."""
        if self.world == 1:
            return result
        return self.sum(result if self.rank == 0 else torch.zeros_like(result)).to(result.device)

    def together(self, work: Callable[[], T]) -> T:
        """Do this rank's part of the work; what stops one rank stops them all, else they would wait for it in vain.

        Raises:
            UserError: The work did, on any rank: every rank says what the first of them has to say.
            RunStopped: Likewise.
        """
        stop: UserError | RunStopped | None = None
        try:
            result = work()
        except STOPS as error:
            stop = error
        kinds = torch.zeros(self.world, dtype=torch.int64)
        kinds[self.rank] = 0 if stop is None else 1 + STOPS.index(type(stop))
        kinds = self.sum(kinds)
        if not kinds.any():
            return result
        first = int(kinds.nonzero()[0])
        line = torch.zeros(LINE, dtype=torch.int64)
        if self.rank == first:
            said = str(stop).encode()[:LINE]
            line[: len(said)] = torch.tensor(list(said))
        told = bytes(self.sum(line).tolist()).rstrip(b"\0").decode(errors="ignore")
        raise stop if stop is not None and self.rank == first else STOPS[int(kinds[first]) - 1](told)
