"""Paths against a closed form, and buckets against counting."""

from dataclasses import replace

import pytest
import torch

from aal.attacks import AdversarialPath
from aal.errors import UserError
from aal.flips import PathLength, Suspects, TooFew
from aal.flips.flip_view import ARRIVED, STEPS
from aal.flips.path_length import bucket_of
from aal.seeds import generator
from tests.flips.views import view_of

# The logit of class 1 against class 0 is 3 x - y, so a step of s along the gradient's sign changes it by 4 s.
STEP = 0.25
WALK = AdversarialPath(step_size=STEP, steps=50)


def samples(margins: torch.Tensor) -> torch.Tensor:
    """Return samples whose logit of class 1 is as given."""
    return torch.stack([margins / 3, torch.zeros_like(margins)], dim=1)


def test_a_path_is_as_long_as_on_an_affine_classifier() -> None:
    margins = torch.tensor([-0.5, -1.5, -7.5, 0.5, 3.5, 20.5])
    view = view_of(samples(margins), (margins > 0).long())
    for targeted in (True, False):
        paths = view.paths(WALK, targeted=targeted)
        steps = torch.ceil(margins.abs().double())
        torch.testing.assert_close(paths[:, STEPS], steps)
        torch.testing.assert_close(paths[:, 1], steps * STEP * 2**0.5, rtol=1e-5, atol=0)
        assert paths[:, ARRIVED].all()


def test_a_path_that_does_not_arrive_is_the_longest_and_an_error_of_the_classifier_the_shortest() -> None:
    margins = torch.tensor([-0.5, -99.5, 1.5, -3.5])
    labels = torch.tensor([0, 0, 0, 0])  # the third is taken for class 1 already
    view = view_of(samples(margins), labels)
    paths = view.paths(WALK, targeted=True)
    assert paths[:, STEPS].tolist() == [1, 50, 0, 4]
    assert paths[:, ARRIVED].tolist() == [1, 0, 1, 1]
    order, _ = Suspects(attack=WALK).order(view)
    assert order.tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("ranks", [1, 3])
def test_quantile_buckets_hold_equally_many_and_ascend(ranks: int) -> None:
    margins = -torch.rand(43, generator=generator(0, "margins")) * 12
    view = view_of(samples(margins), torch.zeros(43, dtype=torch.int64), ranks=ranks)
    paths = view.paths(WALK, targeted=True)
    buckets = bucket_of(paths, 5, "quantile")
    assert sorted(buckets.bincount().tolist()) == [8, 8, 9, 9, 9]
    highest = [float(paths[buckets == k, STEPS].max()) for k in range(5)]
    lowest = [float(paths[buckets == k, STEPS].min()) for k in range(5)]
    assert all(highest[k] <= lowest[k + 1] for k in range(4))


def test_among_equal_paths_chance_decides_which_bucket_a_sample_is_in() -> None:
    view = view_of(samples(torch.full((60,), -1.5)), torch.zeros(60, dtype=torch.int64))
    near = PathLength(attack=WALK, buckets=3, bucket=0)
    chosen = [near.select(replace(view, seed=s), 20, generator=generator(0, "x")).indices // 10 for s in range(9)]
    assert len(torch.cat(chosen).unique()) > 50, "of 60: not the first 20 of the pool"
    far = PathLength(attack=WALK, buckets=3, bucket=2).select(view, 20, generator=generator(5, "x")).indices // 10
    assert not torch.isin(far, chosen[0]).any(), "all trials of a run have the same buckets"
    order, _ = Suspects(attack=WALK).order(view)
    assert order.tolist() != sorted(order.tolist())


def test_buckets_of_equal_width_hold_what_falls_into_their_range() -> None:
    paths = torch.zeros(6, 3, dtype=torch.float64)
    paths[:, STEPS] = torch.tensor([0.0, 1, 4, 5, 9, 10])
    assert bucket_of(paths, 5, "width").tolist() == [0, 0, 2, 2, 4, 4]  # of two steps each; 10 closes the last
    paths[:, STEPS] = 7
    assert bucket_of(paths, 5, "width").tolist() == [0] * 6


def test_a_bucket_with_fewer_samples_than_the_budget_is_too_few() -> None:
    margins = -torch.tensor([0.5, 0.6, 0.7, 9.5])
    view = view_of(samples(margins), torch.zeros(4, dtype=torch.int64))
    near, middle, far = PathLength(attack=WALK, buckets=3, divide="width").variants()
    assert near.select(view, 3, generator=generator(0, "x")).indices.sort().values.tolist() == [0, 10, 20]
    assert far.select(view, 1, generator=generator(0, "x")).indices.tolist() == [30]
    for selector, n in ((middle, 1), (far, 2)):
        with pytest.raises(TooFew, match=r"bucket \d of 3 has \d samples"):
            selector.select(view, n, generator=generator(0, "x"))


def test_each_bucket_is_a_variant_at_its_own_position() -> None:
    variants = PathLength(buckets=4).variants()
    assert [variant.position for variant in variants] == [0, 1, 2, 3]
    assert [variant.variants() for variant in variants] == [(variant,) for variant in variants]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"buckets": 0}, "buckets: must be at least 1, got 0"),
        ({"buckets": 3, "bucket": 3}, "bucket: must be from 0 to 2, got 3"),
        ({"divide": "half"}, "divide: must be one of quantile, width, got 'half'"),
    ],
)
def test_buckets_that_make_no_sense_are_refused(arguments: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        PathLength(**arguments)
    assert str(caught.value) == line
