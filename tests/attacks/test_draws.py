"""Random numbers by sample: distribution, independence, and no influence of the batch."""

import pytest
import torch
from scipy import stats

from aal.attacks.draws import normal, uniform
from aal.seeds import sample_seeds


def test_uniform_and_normal_numbers_are_distributed_as_they_should_be() -> None:
    seeds = torch.arange(200)
    assert stats.kstest(uniform(seeds, 0, (100,), torch.float64).flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(normal(seeds, 0, (100,), torch.float64).flatten().numpy(), "norm").pvalue > 0.01
    counts = torch.bincount((uniform(seeds, 0, (100,), torch.float64) * 7).long().flatten(), minlength=7)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_uniform_numbers_never_reach_one(dtype: torch.dtype) -> None:
    values = uniform(torch.arange(1000), 0, (1000,), dtype)
    assert values.dtype == dtype
    assert values.min() >= 0
    assert values.max() < 1


def test_seeds_draws_and_elements_are_independent() -> None:
    seeds = sample_seeds(0, "test", torch.arange(500))
    first, second = uniform(seeds, 0, (40,), torch.float64), uniform(seeds, 1, (40,), torch.float64)
    for pairs in ((first.flatten(), second.flatten()), (first[:-1].flatten(), first[1:].flatten())):
        assert abs(float(torch.corrcoef(torch.stack(pairs))[0, 1])) < 0.03
    neighbours = torch.stack([first[:, :-1].flatten(), first[:, 1:].flatten()])
    assert abs(float(torch.corrcoef(neighbours)[0, 1])) < 0.03
    assert len(torch.cat([first, second]).unique()) == 2 * 500 * 40


def test_a_sample_draws_the_same_alone_as_in_a_batch() -> None:
    seeds = sample_seeds(0, "test", torch.arange(9))
    assert torch.equal(normal(seeds, 3, (2, 5), torch.float32)[4:5], normal(seeds[4:5], 3, (2, 5), torch.float32))


def test_the_default_generator_is_neither_asked_nor_moved() -> None:
    torch.manual_seed(0)
    state, first = torch.get_rng_state(), uniform(torch.arange(3), 0, (4,), torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(uniform(torch.arange(3), 0, (4,), torch.float32), first)
