"""Entropy, margin and least confidence against their definitions."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aal.models import TransferClassifier
from aal.networks import DenseHead
from aal.seeds import generator
from aal.strategies import Entropy, LeastConfidence, Margin, Strategy
from aal.strategies.entropy import log_entropy_of
from aal.strategies.least_confidence import doubt_of
from aal.strategies.margin import margin_of
from tests.contracts.test_strategies import Given
from tests.strategies.views import view_of

LOGITS = 3 * torch.randn(40, 5, generator=generator(0, "logits"))


class Logits(TransferClassifier):
    """Its inputs are its logits."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__(Given(), DenseHead(), num_classes=classes)

    def classify(self, inputs: Tensor) -> Tensor:
        return inputs


def entropy(p: list[float]) -> float:
    return -math.fsum(q * math.log(q) for q in p)


def margin(p: list[float]) -> float:
    first, second = sorted(p, reverse=True)[:2]
    return second - first


def doubt(p: list[float]) -> float:
    return 1 - max(p)


@pytest.mark.parametrize(
    ("strategy", "definition", "sign"), [(Entropy(), entropy, 1), (Margin(), margin, -1), (LeastConfidence(), doubt, 1)]
)
def test_the_best_by_definition_are_chosen(
    strategy: Strategy, definition: Callable[[list[float]], float], sign: int
) -> None:
    expected = torch.tensor([definition(p) for p in LOGITS[1:].double().softmax(-1).tolist()], dtype=torch.float64)
    best = expected.argsort(descending=True)[:7]
    selection = strategy.select(view_of(Logits(), LOGITS), 7, generator=generator(0, "query"))
    assert torch.equal(selection.indices, best + 1)
    assert selection.scores is not None
    scores = selection.scores if isinstance(strategy, Entropy) else selection.scores.sigmoid()
    torch.testing.assert_close(scores, sign * expected[best])


@pytest.mark.parametrize(
    ("strategy", "even", "sure"), [(Entropy(), math.log(5), 0.0), (Margin(), 0.0, 1.0), (LeastConfidence(), 0.8, 0.0)]
)
def test_an_even_prediction_comes_first_and_a_sure_one_last(strategy: Strategy, even: float, sure: float) -> None:
    logits = torch.tensor([[0.0] * 5, [-1e4, 0.0, -torch.inf, -1e4, -1e4], [7.0] * 5])
    selection = strategy.select(view_of(Logits(), logits), 2, generator=generator(0, "query"))
    assert selection.indices.tolist() == [2, 1]
    assert selection.scores is not None
    scores = selection.scores if isinstance(strategy, Entropy) else selection.scores.sigmoid()
    torch.testing.assert_close(scores, torch.tensor([even, sure]).double())


GAPS = torch.tensor([38.0, 45, 60, 90, 800, 900, 2e4])  # in probabilities all but the first few are 0 and 1


@pytest.mark.parametrize("strategy", [Entropy(), Margin(), LeastConfidence()])
def test_a_classifier_that_is_sure_of_all_is_asked_where_it_is_least_sure(strategy: Strategy) -> None:
    """Candidates come with the surest first: the order by index would be the opposite."""
    logits = torch.stack([torch.zeros(len(GAPS) + 1), torch.cat([torch.zeros(1), GAPS.flip(0)])], dim=1)
    selection = strategy.select(view_of(Logits(2), logits), len(GAPS), generator=generator(0, "query"))
    assert selection.indices.tolist() == list(range(len(GAPS), 0, -1))


def test_scores_of_far_logits_are_the_closed_forms() -> None:
    """With two classes: odds e^-d, the margin tanh(d / 2), the entropy about (d + 1) e^-d."""
    d = GAPS.double()
    logits = torch.stack([torch.zeros_like(d), d], dim=1)
    torch.testing.assert_close(doubt_of(logits), -d)
    torch.testing.assert_close(margin_of(logits), d - math.log(2))
    torch.testing.assert_close(log_entropy_of(logits), (d + 1).log() - d, rtol=1e-14, atol=0)
