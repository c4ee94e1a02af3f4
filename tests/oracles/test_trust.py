"""Trust: who examines, what is contradicted, what it costs, who is convicted."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from aal.errors import UserError
from aal.oracles import Crowd
from aal.oracles.trust import DISPUTED, UNEXAMINED, Rules, Trust, examiners_needed
from tests.oracles.crowds import crowd, truth

LIAR = 3  # of tests.oracles.crowds.crowd()


def rules(h: int = 2) -> Rules:
    return Rules(h, 0.9391, amount=0.05, sure=0.9, distrust=0.5, level=0.01)


def asked(oracle: Crowd, labelers: list[int], h: int = 2) -> Trust:
    """Return the trust after samples 0, 1, ... were labelled by ``labelers`` in round 1."""
    trust, by = Trust(oracle, rules(h)), torch.tensor(labelers)
    indices = torch.arange(len(by))
    trust.note(torch.stack([indices, torch.ones_like(indices), by, oracle.ask(indices, by)], dim=1), "given")
    return trust


def cases(*rows: tuple[int, int, int]) -> Tensor:
    """Cases of labelers, their labels and the verdicts, on samples 0, 1, ..."""
    return torch.tensor([(index, *row) for index, row in enumerate(rows)])


def test_three_examiners_are_needed_as_in_the_paper() -> None:
    assert examiners_needed(0.9391, 0.9995) == 3
    assert examiners_needed(0.9, 0.9) == 1
    assert examiners_needed(0.95, 0.9975) == 2 == examiners_needed(0.99, 0.9999), "not one more for a rounding error"
    for p_one, p_h in ((0.6, 0.99), (0.8, 0.9), (0.95, 0.999999)):
        h = examiners_needed(p_one, p_h)
        assert 1 - (1 - p_one) ** h >= p_h > 1 - (1 - p_one) ** (h - 1)
    for p_one, p_h, name in ((1.0, 0.9, "p_one"), (0.0, 0.9, "p_one"), (0.9, 1.0, "p_h")):
        with pytest.raises(UserError, match=f"^{name}: must be above 0 and below 1"):
            examiners_needed(p_one, p_h)


def test_lies_are_contradicted_and_a_liar_among_the_examiners_makes_a_dispute() -> None:
    trust = asked(crowd(), [LIAR] * 6 + [0] * 24)
    found, first = trust.examine(torch.arange(30), round=1, kind="examined")
    index, giver, label, verdict = found.unbind(1)
    assert torch.equal(index, torch.arange(30))
    assert giver.tolist() == [LIAR] * 6 + [0] * 24
    assert torch.equal(verdict[:6], truth()[:6]), "three honest labelers agree"
    assert (label[:6] != verdict[:6]).tolist() == [True, False, False] * 2, "airplanes were called frogs"
    answers = {(row[0], row[2]) for row in trust.answers.tolist() if row[4] == 1}
    assert all((i, f) in answers for i, f in zip(index.tolist(), first.tolist(), strict=True))
    by_liar = torch.tensor([(i, LIAR) in answers for i in range(6, 30)])
    airplane = truth()[6:30] == 0
    assert ((verdict[6:] == DISPUTED) == (by_liar & airplane)).all()
    assert (by_liar & airplane).any()
    assert trust.given == 30
    assert trust.extra == 60
    assert not len(trust.unexamined(round=1))


def test_one_examiner_is_believed_and_few_or_none_are_made_do_with() -> None:
    oracle = crowd(1, 1)
    trust = asked(oracle, [0, 1, 1], h=1)
    found, _ = trust.examine(torch.arange(2), round=1, kind="examined")
    assert found[:, 3].tolist() == [2, 1], "the liar is believed about an airplane, the honest one about a cat"
    oracle.trusted[0] = False
    found, _ = trust.examine(torch.tensor([2]), round=1, kind="audited")
    assert found[:, 3].tolist() == [UNEXAMINED], "nobody but its own labeler is left"
    assert trust.extra == 2
    fewer, _ = asked(crowd(3, 1), [0] * 6, h=9).examine(torch.arange(6), round=1, kind="examined")
    assert fewer[:, 3].tolist() == [DISPUTED, 1, 2] * 2, "three examine, the liar among them"


def test_a_crowd_that_lies_as_one_contradicts_nobody() -> None:
    trust = asked(crowd(0, 3), [0, 1, 2] * 4)
    found, _ = trust.examine(torch.arange(12), round=1, kind="examined")
    assert torch.equal(found[:, 2], found[:, 3])


def test_an_unsure_model_lowers_confidence_and_a_sure_misclassification_asks_for_an_audit() -> None:
    trust = Trust(crowd(), rules())
    trust.cases = cases((1, 2, 0), (2, 2, 0), (0, 2, 0))
    probabilities = torch.tensor([[0.3, 0.2, 0.5], [0.02, 0.03, 0.95], [0.95, 0.03, 0.02]])
    assert trust.weigh(trust.cases, probabilities) == [2], "sure, and not what the examiners say"
    expected = torch.tensor([1 - 0.05 / 0.95, 1 - 0.05 / 0.5, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(trust.confidence, expected, rtol=1e-6, atol=0)
    many = cases(*[(1, 2, k % 3) for k in range(9)])
    assert trust.weigh(many[many[:, 3] != 2], torch.full((6, 3), 1 / 3)) == [1], "less than 0.5 is left"
    assert float(trust.confidence[1]) == pytest.approx(0, abs=1e-6)
    trust.condemn(1, round=4, dismiss=False)
    assert trust.weigh(many[:1], probabilities[1:2]) == [], "who is distrusted is not audited again"
    assert trust.crowd.trusted.all()


def tail(n: int, k: int, p: float) -> float:
    """Probability of ``k`` or more errors among ``n``."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("classes", [1, 3])
def test_conviction_is_a_binomial_test_by_class(classes: int) -> None:
    met = [(0, c, c) for c in range(1, classes)]  # a right label of each other class
    outcomes = []
    for contradicted in range(12):
        trust = Trust(crowd(), rules())
        trust.cases = cases(*met, *[(0, 2 if k < contradicted else 0, 0) for k in range(12)])
        outcomes.append(trust.convicts(0))
        assert outcomes[-1] == (tail(12, contradicted, 0.0609) < 0.01 / classes)
        assert not trust.convicts(1), "of whom nothing is known"
    assert not outcomes[1]
    assert outcomes[-1]
    assert all(after >= before for before, after in pairwise(outcomes))


def test_disputes_prove_nothing_and_lost_confidence_leads_to_an_audit_which_may_clear() -> None:
    trust = Trust(crowd(), rules())
    trust.cases = cases(*[(0, 2, DISPUTED)] * 9, *[(0, 2, UNEXAMINED)] * 9, (0, 1, 1))
    unsure = torch.tensor([[0.4, 0.3, 0.3]])
    trust.confidence[0] = 0.63
    assert trust.weigh(cases((0, 2, 1)), unsure) == [], "0.63 less 0.05 / 0.4 is just above the half"
    assert trust.weigh(cases((0, 2, 1)), unsure) == [0]
    assert not trust.convicts(0)
    trust.clear(0)
    assert trust.confidence[0] == 1


def test_of_an_honest_crowd_hardly_anybody_is_distrusted_however_much_is_examined() -> None:
    oracle = crowd(11, 0, error=0.05)
    trust = asked(oracle, [k % 11 for k in range(2992)], h=3)
    for batch in torch.arange(2992).split(16):
        found, _ = trust.examine(batch, round=1, kind="examined")
        contradicted = found[(found[:, 3] >= 0) & (found[:, 2] != found[:, 3])]
        if len(contradicted):
            for labeler in trust.weigh(contradicted, torch.tensor([[0.7, 0.2, 0.1]]).expand(len(contradicted), -1)):
                if trust.convicts(labeler):
                    trust.condemn(labeler, round=1, dismiss=False)
                else:
                    trust.clear(labeler)
    assert int((trust.since >= 0).sum()) <= 2


def test_an_audit_takes_some_of_a_labelers_own_labels_not_examined_yet() -> None:
    trust = asked(crowd(), [0, 1] * 20)
    trust.examine(torch.arange(10), round=1, kind="examined")
    drawn = trust.to_audit(1, 7)
    assert len(drawn.unique()) == 7
    assert torch.equal(drawn, drawn.sort().values)
    assert set(drawn.tolist()) < set(range(11, 40, 2))
    assert drawn.tolist() != list(range(11, 25, 2)), "drawn, not the first"
    assert trust.to_audit(1, 99).tolist() == list(range(11, 40, 2))
    assert trust.unexamined(labeler=0).tolist() == list(range(10, 40, 2))


def test_the_liar_has_the_largest_error_by_every_estimate_and_state_is_whole() -> None:
    oracle = crowd(6, 1, error=0.05)
    trust = asked(oracle, [k % 7 for k in range(700)], h=3)
    trust.examine(torch.arange(700), round=1, kind="examined")
    trust.condemn(6, round=3, dismiss=True)
    rows = trust.labelers(truth()[trust.answers[:, 0]], 3)
    assert [row["labeler"] for row in rows] == list(range(7))
    assert sum(row["given"] for row in rows) == 700
    assert sum(row["extra"] for row in rows) == 2100 == trust.extra
    assert [row["distrusted_since"] for row in rows] == [None] * 6 + [3]
    for name in ("error_contradicted", "error_dawid_skene", "error_true"):
        errors = [row[name] for row in rows]
        assert max(errors[:6]) < 0.12 < errors[6], name
    for row in rows:
        assert row["error_dawid_skene"] == pytest.approx(row["error_true"], abs=0.03)
        assert row["contradicted"] <= row["examined"] <= row["given"]
    other = Trust(crowd(6, 1), rules())
    other.load_state_dict(trust.state_dict())
    assert other.labelers(truth()[other.answers[:, 0]], 3) == rows
    assert not other.crowd.trusted[6]
    silent = Trust(crowd(), rules()).labelers(torch.empty(0, dtype=torch.int64), 3)
    assert all(row["error_true"] is row["error_dawid_skene"] is row["error_contradicted"] is None for row in silent)
