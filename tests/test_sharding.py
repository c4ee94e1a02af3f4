"""Work dealt out to ranks gives what one rank gives."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from threading import Barrier

import pytest
import torch
from torch import Tensor

from aal.errors import RunStopped, UserError
from aal.sharding import Shard

Found = Tensor | dict[str, Tensor]


def on_every_rank(world: int, work: Callable[[Shard], Found]) -> list[Found | Exception]:
    """Do the work on ranks that are threads and sum as processes do; return what each rank gives or raises."""
    barrier, parts = Barrier(world, timeout=20), [torch.zeros(())] * world

    def rank(number: int) -> Found | Exception:
        def add_up(tensor: Tensor) -> Tensor:
            parts[number] = tensor
            barrier.wait()
            total = reduce(torch.add, parts)
            barrier.wait()
            return total

        try:
            return work(Shard(number, world, add_up))
        except (UserError, RunStopped) as error:
            return error

    with ThreadPoolExecutor(world) as threads:
        return list(threads.map(rank, range(world)))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 5, 20, 23])
def test_any_number_of_ranks_composes_the_same_batches(world: int, n: int) -> None:
    asked: list[list[int]] = []

    def function(batch: Tensor) -> Tensor:
        asked.append(batch.tolist())
        return torch.stack([batch.float(), batch.float() ** 2], dim=1)

    indices = torch.arange(100, 100 + n)
    for total in on_every_rank(world, lambda shard: shard.map(function, indices, batch_size=5)):
        assert isinstance(total, Tensor)
        torch.testing.assert_close(total, torch.stack([indices.float(), indices.float() ** 2], dim=1))
    whole = [batch.tolist() for batch in indices.split(5)]
    assert all(batch in whole for batch in asked)
    if world <= len(whole):
        assert sorted(asked) == sorted(whole), "work done twice"


@pytest.mark.parametrize("world", [1, 2, 5])
def test_named_results_keep_their_dtypes_and_every_digit(world: int) -> None:
    indices = torch.arange(17)

    def function(batch: Tensor) -> dict[str, Tensor]:
        return {
            "long": batch + 2**62 + 1,  # no float holds it
            "double": batch.double()[:, None] / 3,
            "half": (batch / 7).half(),
            "even": batch % 2 == 0,
        }

    expected = function(indices)
    for found in on_every_rank(world, lambda shard: shard.map(function, indices, batch_size=4)):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype
            assert torch.equal(found[name], values), name


@pytest.mark.parametrize("kind", [UserError, RunStopped])
@pytest.mark.parametrize("world", [1, 3])
def test_every_rank_says_what_one_had_to_stop_for(world: int, kind: type[Exception]) -> None:
    def function(batch: Tensor) -> Tensor:
        if 7 in batch:
            raise kind("sample 7 is ä")
        return batch

    for error in on_every_rank(world, lambda shard: shard.map(function, torch.arange(20), batch_size=5)):
        assert type(error) is kind
        assert str(error) == "sample 7 is ä"
