"""Labelers err as often and as evenly as asked, lie consistently, and say the same whenever they are asked."""

import pytest
import torch

from aal.errors import UserError
from aal.oracles import NOBODY, Crowd, Malicious, Noisy, Oracle, Perfect
from tests.oracles.crowds import SIZE, crowd, ready, truth

ALL = torch.arange(SIZE)


def test_errors_have_their_rate_and_go_evenly_to_the_other_classes() -> None:
    labels, labelers = ready(Noisy(0.3)).label(ALL)
    assert labelers.unique().tolist() == [0]
    wrong = labels != truth()
    assert float(wrong.double().mean()) == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / SIZE) ** 0.5)
    for offset in (1, 2):
        share = ((labels - truth()) % 3 == offset).double().mean()
        assert float(share) == pytest.approx(0.15, abs=4 * (0.15 * 0.85 / SIZE) ** 0.5)
    assert torch.equal(ready(Noisy(0.0)).label(ALL)[0], truth())
    assert not (ready(Noisy(1.0)).label(ALL)[0] == truth()).any()
    assert torch.equal(ready(Perfect()).label(ALL)[0], truth())


def test_a_liar_always_flips_its_class_and_errs_only_about_others() -> None:
    for error, oracle in ((0.0, Malicious("airplane", "frog")), (0.2, Malicious(0, 2, error=0.2))):
        labels, _ = ready(oracle).label(ALL)
        assert (labels[truth() == 0] == 2).all()
        others = truth() != 0
        rate = (labels != truth())[others].double().mean()
        assert float(rate) == pytest.approx(error, abs=4 * (error * (1 - error) / 4000) ** 0.5)


def test_an_answer_depends_on_seed_labeler_and_sample_alone() -> None:
    whole = ready(Crowd(8, 2, 0.4, 0, 2))
    labels, labelers = whole.label(ALL[:300])
    some = torch.tensor([250, 3, 77])
    again, by = ready(Crowd(8, 2, 0.4, 0, 2)).label(some)
    assert torch.equal(again, labels[some])
    assert torch.equal(by, labelers[some])
    assert torch.equal(whole.ask(some, labelers[some]), labels[some]), "asked twice"
    assert torch.equal(ready(Crowd(8, 0, 0.4)).ask(ALL, ALL % 8), whole.ask(ALL, ALL % 8)), "whoever else there is"
    assert not torch.equal(ready(Crowd(8, 2, 0.4, 0, 2), seed=1).label(ALL[:300])[0], labels)
    wide = whole.ask(some, torch.tensor([[0, 5], [9, NOBODY], [7, 1]]))
    assert torch.equal(wide[:, 0], whole.ask(some, torch.tensor([0, 9, 7])))
    assert wide[1, 1] == -1
    assert whole.ask(ALL[:0], torch.empty(0, 3, dtype=torch.int64)).shape == (0, 3)
    errs = torch.stack([whole.ask(ALL, torch.full_like(ALL, k)) != truth() for k in range(8)]).double()
    assert (torch.corrcoef(errs) - torch.eye(8)).abs().max() < 0.05, "labelers err independently"


def shares(oracle: Crowd, round: int = 1) -> list[float]:
    labelers = oracle.label(ALL, round=round)[1]
    return (labelers.bincount(minlength=oracle.size).double() / SIZE).tolist()


def test_queries_are_shared_out_evenly_or_as_asked_among_the_trusted() -> None:
    assert shares(crowd(3, 1)) == pytest.approx([0.25] * 4, abs=0.023)
    oracle = ready(Crowd(2, 2, 0.0, 0, 2, malicious_share=0.8))
    assert shares(oracle) == pytest.approx([0.1, 0.1, 0.4, 0.4], abs=0.023)
    assert shares(oracle, round=0) == pytest.approx([0.25] * 4, abs=0.023), "the initial labels"
    oracle.trusted[2] = False
    assert shares(oracle) == pytest.approx([0.1, 0.1, 0, 0.8], abs=0.023)
    oracle.trusted[3] = False
    assert shares(oracle) == pytest.approx([0.5, 0.5, 0, 0], abs=0.023)
    oracle.trusted[:] = torch.tensor([False, False, True, True])
    assert shares(oracle) == pytest.approx([0, 0, 0.5, 0.5], abs=0.023)
    assert not oracle.exhausted
    oracle.trusted[:] = False
    assert oracle.exhausted
    everything = ready(Crowd(3, 1, 0.0, 0, 2, malicious_share=1.0, share_from=0))
    assert shares(everything, round=0) == [0, 0, 0, 1]


def test_one_labeler_may_answer_a_whole_batch() -> None:
    oracle = ready(Crowd(10, 1, 0.05, 0, 2, draw="batch"))
    by = [oracle.label(batch)[1].unique().tolist() for batch in ALL.split(40)]
    assert all(len(labelers) == 1 for labelers in by)
    assert {labelers[0] for labelers in by} == set(range(11))


def test_examiners_are_distinct_trusted_and_not_the_labeler_examined() -> None:
    oracle = crowd(4, 1)
    oracle.trusted[1] = False
    givers = ALL[:900] % 5
    drawn = oracle.examiners(ALL[:900], givers, 3)
    for giver, row in zip(givers.tolist(), drawn.tolist(), strict=True):
        assert len(set(row)) == 3
        assert not {1, giver, NOBODY} & set(row)
    assert (drawn.flatten().bincount(minlength=5) > 300).tolist() == [True, False, True, True, True]
    assert torch.equal(oracle.examiners(ALL[450:460], givers[450:460], 3), drawn[450:460])
    few = oracle.examiners(ALL[:2], torch.tensor([0, 1]), 9)
    assert few.shape == (2, 5)
    assert [sorted(row) for row in few.tolist()] == [[-1, -1, 2, 3, 4], [-1, 0, 2, 3, 4]]
    oracle.trusted[:] = torch.tensor([True, False, False, False, False])
    assert oracle.examiners(ALL[:2], torch.tensor([0, 1]), 2).tolist() == [[-1, -1], [0, -1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Crowd(0, 0), "honest: must be at least 1 where malicious is 0, got 0"),
        (lambda: Crowd(-1, 2, source=0, target=1), "honest: must be at least 0, got -1"),
        (lambda: Noisy(1.5), "error: must be from 0 to 1, got 1.5"),
        (lambda: Malicious(0, 1, error=-0.1), "error: must be from 0 to 1, got -0.1"),
        (lambda: Crowd(malicious_share=2.0, source=0, target=1), "malicious_share: must be from 0 to 1, got 2.0"),
        (lambda: Crowd(malicious=0, malicious_share=0.5), "malicious_share: nobody of this crowd is malicious"),
        (lambda: Crowd(target=1), "source: a malicious labeler needs a class"),
        (lambda: Crowd(source=1), "target: a malicious labeler needs a class"),
        (
            lambda: ready(Malicious("dog", "frog")),
            "source: there is no class 'dog'; the classes are airplane, cat, frog",
        ),
        (lambda: ready(Malicious("cat", "frog"), names=None), "source: the classes have no names but numbers, 0 to 2"),
        (lambda: ready(Malicious(0, 3)), "target: must be from 0 to 2, got 3"),
        (lambda: ready(Malicious("frog", 2)), "target: 2 is the class source itself"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(make: type[Oracle], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        make()
