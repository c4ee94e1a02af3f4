"""Samples held out of a pool: as many as were asked for, each class among a victim's, and what cannot be."""

import pytest
import torch

from aal.data.samples import ImageSamples
from aal.datamodules.hold_out import fewer, hold_out
from aal.errors import UserError

RARE = torch.tensor([0] * 90 + [1] * 9 + [2])  # a class of one sample


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_is_held_out_and_what_is_kept_are_all() -> None:
    labels = torch.arange(100) % 4
    kept, out = hold_out("victim", 40, labels, None, 4, draw())
    assert torch.cat([kept, out]).sort().values.tolist() == list(range(100))
    assert labels[out].bincount().tolist() == [10] * 4
    again = hold_out("victim", 40, labels, None, 4, draw())
    assert torch.equal(out, again[1])


def test_a_victim_and_its_adversary_have_every_class() -> None:
    for size in (10, 50, 90):
        with pytest.raises(UserError) as caught:
            hold_out("victim", size, RARE, None, 3, draw())
        assert str(caught.value) == (
            f"victim: of 100 samples, {size} for victim leave a class out, there or in the pool: the rarest class has 1"
        )
    kept, out = hold_out("val", 10, RARE, None, 3, draw())  # nothing is trained on it alone
    assert (len(kept), len(out)) == (90, 10)


def test_groups_stay_whole() -> None:
    labels, groups = torch.arange(60) % 2, torch.arange(60) // 6
    kept, out = hold_out("victim", 30, labels, groups, 2, draw())
    assert not set(groups[kept].tolist()) & set(groups[out].tolist())
    assert len(out) == 30
    with pytest.raises(
        UserError, match=r"^victim: the pool's 1 speakers or recordings are too few to hold out 30 samples"
    ):
        hold_out("victim", 30, labels, torch.zeros(60), 2, draw())


@pytest.mark.parametrize("size", [1, 99, 1000])
def test_a_size_that_leaves_too_few_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=rf"^victim: must be from 2 \(a sample a class\) to 98, .* got {size}$"):
        hold_out("victim", size, torch.arange(100) % 2, None, 2, draw())


def test_fewer_are_some_of_the_same() -> None:
    pixels, labels = torch.arange(100).view(100, 1, 1, 1).to(torch.uint8), torch.arange(100) % 2
    samples, own = fewer("test", ImageSamples(pixels), labels, 30, draw())
    assert own.bincount().tolist() == [15, 15]
    assert torch.equal(samples.stored[:, 0, 0, 0].long() % 2, own)
    assert len(samples.stored.unique()) == 30
    with pytest.raises(UserError, match=r"^test_size: the split test has 100 samples, got 101$"):
        fewer("test", ImageSamples(pixels), labels, 101, draw())
    with pytest.raises(UserError, match=r"^test_size: 5 of 100 samples leave a class out$"):
        fewer("test", ImageSamples(pixels), RARE, 5, draw())
