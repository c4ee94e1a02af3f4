"""Work dealt out to ranks gives what one rank gives."""

from functools import reduce

import pytest
import torch
from torch import Tensor

from aal.sharding import Shard


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 5, 20, 23])
def test_any_number_of_ranks_composes_the_same_batches(world: int, n: int) -> None:
    asked: list[list[int]] = []

    def function(batch: Tensor) -> Tensor:
        asked.append(batch.tolist())
        return torch.stack([batch.float(), batch.float() ** 2], dim=1)

    indices = torch.arange(100, 100 + n)
    parts = []
    for rank in range(world):  # each rank alone, its sum over ranks taken afterwards
        shard = Shard(rank, world, lambda part: parts.append(part) or part)  # type: ignore[func-returns-value]
        result = shard.map(function, indices, batch_size=5)
    total = reduce(torch.add, parts) if world > 1 else result
    torch.testing.assert_close(total, torch.stack([indices.float(), indices.float() ** 2], dim=1))
    whole = [batch.tolist() for batch in indices.split(5)]
    assert all(batch in whole for batch in asked)
    if world <= len(whole):
        assert sorted(asked) == sorted(whole), "work done twice"
