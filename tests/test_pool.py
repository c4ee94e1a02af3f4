"""The pool: labels, ledger, and refusals that change nothing."""

import io

import pytest
import torch
from torch import Tensor

from aal.pool import UNLABELLED, Label, Pool


def given(pool: Pool, indices: list[int], labels: list[int], *, round: int = 1) -> None:
    pool.label(
        torch.tensor(indices), torch.tensor(labels), round=round, strategy="s", labelers=torch.zeros(len(indices))
    )


@pytest.fixture
def pool() -> Pool:
    pool = Pool(6)
    pool.extend(2, "poison")
    given(pool, [4, 1], [9, 3], round=0)
    return pool


def test_labels_and_ledger(pool: Pool) -> None:
    pool.label(
        torch.tensor([7, 0]),
        torch.tensor([2, 5]),
        round=1,
        strategy="Entropy",
        labelers=torch.tensor([1, 0]),
        scores=torch.tensor([0.5, 0.25]),
    )
    assert pool.labelled.tolist() == [0, 1, 4, 7]
    assert pool.unlabelled.tolist() == [2, 3, 5, 6]
    assert pool.of_origin("poison").tolist() == [6, 7]
    assert pool.labels.tolist() == [5, 3, UNLABELLED, UNLABELLED, 9, UNLABELLED, UNLABELLED, 2]
    assert pool.ledger[2:] == [
        Label(7, 1, 0, 0.5, "Entropy", 1, 2, "kept"),
        Label(0, 1, 1, 0.25, "Entropy", 0, 5, "kept"),
    ]


@pytest.mark.parametrize(
    ("indices", "labels", "message"),
    [
        ([0, 4], [1, 1], "index 4 is labelled already"),
        ([0, 8], [1, 1], "index 8 is outside the pool of 8"),
        ([0, -1], [1, 1], "index -1 is outside"),
        ([2, 0, 2], [1, 1, 1], "index 2 is given twice"),
        ([2, 0], [1, -5], "index 0 has the label -5"),
        ([2, 0], [1], "2 indices, but 1 labels"),
    ],
)
def test_a_refused_label_names_the_index_and_changes_nothing(
    pool: Pool, indices: list[int], labels: list[int], message: str
) -> None:
    before = pool.state_dict()
    with pytest.raises(ValueError, match=message):
        given(pool, indices, labels)
    after = pool.state_dict()
    assert after["ledger"] == before["ledger"]
    assert torch.equal(after["labels"], before["labels"])


def test_relabel_and_discard_leave_their_trace(pool: Pool) -> None:
    pool.relabel(torch.tensor([4]), torch.tensor([0]), round=2, strategy="secured", labelers=torch.tensor([3]))
    pool.discard(torch.tensor([1]))
    assert [(row.index, row.label, row.status) for row in pool.ledger] == [
        (4, 9, "replaced"),
        (1, 3, "discarded"),
        (4, 0, "kept"),
    ]
    assert pool.labelled.tolist() == [4]
    assert 1 not in pool.unlabelled.tolist(), "a discarded sample is never queried again"
    with pytest.raises(ValueError, match="index 1 is labelled already or discarded"):
        given(pool, [1], [3])
    with pytest.raises(ValueError, match="index 2 has no label to replace"):
        pool.relabel(torch.tensor([2]), torch.tensor([0]), round=2, strategy="s", labelers=torch.tensor([3]))
    with pytest.raises(ValueError, match="index 0 has no label to discard"):
        pool.discard(torch.tensor([0]))


def test_what_was_asked_for_is_each_samples_first_label(pool: Pool) -> None:
    given(pool, [7, 0], [2, 5])
    pool.relabel(torch.tensor([4, 7]), torch.tensor([0, 1]), round=2, strategy="secured", labelers=torch.tensor([3, 3]))
    pool.discard(torch.tensor([1, 7]))
    asked = [(row.index, row.round, row.label, row.status) for row in pool.asked]
    assert asked == [(4, 0, 9, "replaced"), (1, 0, 3, "discarded"), (7, 1, 2, "replaced"), (0, 1, 5, "kept")]
    assert len(pool.ledger) == 6


def test_state_survives_a_safe_save(pool: Pool) -> None:
    pool.discard(torch.tensor([4]))
    buffer = io.BytesIO()
    torch.save(pool.state_dict(), buffer)
    buffer.seek(0)
    other = Pool(6)
    other.extend(2, "poison")
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert other.ledger == pool.ledger
    assert same(other.labels, pool.labels)
    assert same(other.unlabelled, pool.unlabelled)


def test_state_of_another_pool_is_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="the saved pool has 8 samples of other origins, this one 7"):
        Pool(7).load_state_dict(pool.state_dict())


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b)
