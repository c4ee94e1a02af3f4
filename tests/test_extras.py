"""What is trained on besides labelled samples: crafted copies and pseudo-labels."""

import copy
import io
import math

import pytest
import torch

from aal.extras import Extras
from aal.pool import UNLABELLED, Pool
from tests.test_pool import given

SHAPE = (1, 2, 2)


@pytest.fixture
def extras() -> Extras:
    """Copies of the indices 4, 1 and 3 (their values tell which), and pseudo-labels of 0 and 2."""
    extras = Extras(SHAPE)
    extras.craft(copies(4, 1), torch.tensor([4, 1]), round=1)
    extras.craft(copies(3), torch.tensor([3]), round=2)
    extras.revise(torch.tensor([0, 2]), torch.tensor([7, 5]), round=2)
    return extras


def copies(*sources: int) -> torch.Tensor:
    return torch.tensor(sources, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, *SHAPE) / 10


def same(one: Extras, other: Extras) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return (mine.keys(), mine["kept"]) == (theirs.keys(), theirs["kept"]) and all(
        torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name]))
        for name, value in mine.items()
        if name != "kept"
    )


def test_at_first_there_are_none() -> None:
    extras = Extras(SHAPE)
    assert extras.counts == {}
    assert extras.in_use(Pool(6)).tolist() == []
    assert {name: len(tensor) for name, tensor in extras.tensors(Pool(6)).items()} == dict.fromkeys(
        (
            *("x", "label", "source", "round", "maker", "pseudo_source", "pseudo_label", "pseudo_round"),
            *("synthetic", "synthetic_labels", "synthetic_rounds"),
            *("softened", "soft", "synthetic_softened", "synthetic_soft"),
        ),
        0,
    )
    assert extras.crafted.shape == (0, *SHAPE)


def test_copies_are_kept_in_order_with_source_and_round(extras: Extras) -> None:
    assert torch.equal(extras.crafted, copies(4, 1, 3))
    assert extras.sources.tolist() == [4, 1, 3]
    assert extras.rounds.tolist() == [1, 1, 2]
    assert extras.counts == {"crafted": 3, "pseudo": 2}


def test_a_copy_is_float32_without_a_gradient_and_does_not_follow_what_it_was_given() -> None:
    extras, x = Extras(SHAPE), copies(4).double().requires_grad_()
    extras.craft(x, torch.tensor([4]), round=1)
    with torch.no_grad():
        x.zero_()
    assert extras.crafted.dtype == torch.float32
    assert not extras.crafted.requires_grad
    assert torch.equal(extras.crafted, copies(4))


def test_a_copy_is_in_use_while_its_source_has_a_label(extras: Extras) -> None:
    pool = Pool(6)
    assert extras.in_use(pool).tolist() == []
    given(pool, [3, 4, 5], [2, 9, 1])
    assert extras.in_use(pool).tolist() == [0, 2]
    pool.discard(torch.tensor([4]))
    assert extras.in_use(pool).tolist() == [2]


def test_a_copy_has_the_label_that_its_source_has_now(extras: Extras) -> None:
    pool = Pool(6)
    given(pool, [3, 4], [2, 9])
    assert extras.tensors(pool)["label"].tolist() == [9, UNLABELLED, 2]
    pool.relabel(torch.tensor([4]), torch.tensor([8]), labelers=torch.zeros(1), round=2, strategy="s")
    assert extras.tensors(pool)["label"].tolist() == [8, UNLABELLED, 2]
    assert extras.tensors(pool)["source"].tolist() == [4, 1, 3]
    assert extras.tensors(pool)["round"].tolist() == [1, 1, 2]


def test_one_index_may_have_several_copies() -> None:
    extras, pool = Extras(SHAPE), Pool(6)
    extras.craft(copies(4, 4), torch.tensor([4, 4]), round=1)
    extras.craft(copies(4), torch.tensor([4]), round=3)
    given(pool, [4], [6])
    assert extras.in_use(pool).tolist() == [0, 1, 2]
    assert extras.tensors(pool)["label"].tolist() == [6, 6, 6]


def test_the_copies_of_one_maker_can_be_dropped(extras: Extras) -> None:
    extras.craft(copies(0, 2), torch.tensor([0, 2]), round=2, maker="retraining")
    extras.craft(copies(5), torch.tensor([5]), round=3)
    extras.drop("strategy")
    assert torch.equal(extras.crafted, copies(0, 2))
    assert extras.sources.tolist() == [0, 2]
    assert extras.rounds.tolist() == [2, 2]
    assert extras.tensors(Pool(6))["maker"].tolist() == [1, 1]
    extras.drop("retraining")
    assert extras.crafted.shape == (0, *SHAPE)


def test_pseudo_labels_are_revised_as_a_whole_and_copies_stay(extras: Extras) -> None:
    extras.revise(torch.tensor([5]), torch.tensor([3]), round=4)
    held = extras.tensors(Pool(6))
    assert [held[f"pseudo_{what}"].tolist() for what in ("source", "label", "round")] == [[5], [3], [4]]
    assert extras.counts == {"crafted": 3, "pseudo": 1}
    extras.revise(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), round=5)
    assert extras.counts == {"crafted": 3}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_copy_that_is_not_finite_is_refused_by_its_index_and_changes_nothing(value: float, extras: Extras) -> None:
    before, x = copy.deepcopy(extras), copies(2, 5).clone()
    x[1, 0, 1, 0] = value
    with pytest.raises(ValueError, match="the copy crafted of index 5 is not finite"):
        extras.craft(x, torch.tensor([2, 5]), round=3)
    assert same(extras, before)


@pytest.mark.parametrize("x", [copies(2), copies(2, 5)[:, :, :1], copies(2, 5)[:, 0]], ids=["number", "size", "axes"])
def test_copies_of_another_number_or_shape_are_refused_and_change_nothing(x: torch.Tensor, extras: Extras) -> None:
    before = copy.deepcopy(extras)
    with pytest.raises(ValueError, match=r"2 copies of shape \(1, 2, 2\), not \("):
        extras.craft(x, torch.tensor([2, 5]), round=3)
    assert same(extras, before)


def test_state_goes_through_a_checkpoint(extras: Extras) -> None:
    file, taken, pool = io.BytesIO(), Extras(SHAPE), Pool(6)
    torch.save(extras.state_dict(), file)
    file.seek(0)
    assert not same(taken, extras)
    taken.load_state_dict(torch.load(file, weights_only=True))
    assert same(taken, extras)
    given(pool, [1], [0])
    assert taken.in_use(pool).tolist() == [1]


def test_a_state_that_was_given_out_does_not_follow(extras: Extras) -> None:
    state = extras.state_dict()
    extras.craft(copies(0), torch.tensor([0]), round=3)
    extras.revise(torch.tensor([1]), torch.tensor([1]), round=3)
    taken = Extras(SHAPE)
    taken.load_state_dict(state)
    assert taken.sources.tolist() == [4, 1, 3]
    assert taken.pseudo.tolist() == [0, 2]


def test_synthetic_samples_have_labels_of_their_own_and_come_back() -> None:
    extras = Extras(SHAPE)
    extras.synthesize(copies(4, 1), torch.tensor([2, 0]), round=0)
    extras.synthesize(copies(3), torch.tensor([1]), round=2)
    again = Extras(SHAPE)
    again.load_state_dict(extras.state_dict())
    for one in (extras, again):
        assert torch.equal(one.synthetic, copies(4, 1, 3))
        assert (one.synthetic_labels.tolist(), one.synthetic_rounds.tolist()) == ([2, 0, 1], [0, 0, 2])
        assert one.counts == {"synthetic": 3}


def test_what_is_learned_is_labels_until_there_are_soft_ones() -> None:
    extras = Extras(SHAPE)
    labels = torch.tensor([2, 0])
    assert extras.targets(labels, torch.tensor([4, 1])) is labels


def test_soft_labels_take_the_place_of_labels_that_they_do_not_contradict() -> None:
    extras = Extras(SHAPE)
    extras.soften(torch.tensor([4, 0, 1]), torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]]))
    extras.soften(torch.tensor([0]), torch.tensor([[0.1, 0.8, 0.1]]))  # asked again
    extras.synthesize(copies(1), torch.tensor([2]), round=0)
    extras.synthesize(copies(3), torch.tensor([[0.25, 0.5, 0.25]]), round=1)
    again = Extras(SHAPE)
    again.load_state_dict(extras.state_dict())
    labels = torch.tensor([1, 0, 0, 2, 0, 2, 1])
    sources = torch.tensor([0, 4, 1, 3, -1])
    wanted = [[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [0.25, 0.5, 0.25]]
    for one in (extras, again):
        assert one.synthetic_labels.tolist() == [2, 1]
        assert torch.equal(one.targets(labels, sources), torch.tensor(wanted))
