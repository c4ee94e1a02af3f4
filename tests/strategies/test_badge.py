"""BADGE against gradients, explicit outer products and k-means++ as its definition says."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from aal.errors import UserError
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from aal.seeds import generator
from aal.strategies import BADGE
from aal.strategies.badge import drawn, outer_distances, residuals_of, seeds
from tests.strategies.views import view_of


class Given(Backbone):
    """A backbone whose features are the samples."""

    feature_size = 6

    def forward(self, x: Tensor) -> Tensor:
        return x


def model() -> TransferClassifier:
    made = TransferClassifier(Given(), DenseHead(hidden=8), num_classes=4)
    made.renew(generator(0, "weights"))
    return made.double()


def gradients(module: TransferClassifier, x: Tensor) -> Tensor:
    """Return the gradients of the loss of the predicted label to the last layer's weights, by autograd."""
    embeddings = []
    for sample in x:
        logits = module(sample[None])
        loss = cross_entropy(logits, logits.argmax(1))
        weights = [p for p in module.parameters() if p.shape == (4, 8)]
        embeddings.append(torch.autograd.grad(loss, weights)[0].flatten())
    return torch.stack(embeddings)


def plain_seeds(embeddings: Tensor, n: int, g: torch.Generator) -> list[int]:
    """Choose by k-means++ as it is written down."""
    chosen: list[int] = []
    for _ in range(n):
        if chosen:
            weights = (embeddings[:, None] - embeddings[chosen]).square().sum(-1).amin(1)
        else:
            weights = torch.ones(len(embeddings)).double()
        at = float(torch.rand((), dtype=torch.float64, generator=g)) * float(weights.sum())
        place = 0
        while at >= float(weights[place]):
            at -= float(weights[place])
            place += 1
        chosen.append(place)
    return chosen


def test_choice_is_k_means_plus_plus_on_the_gradients_of_the_last_layer() -> None:
    module, x = model(), torch.randn(40, 6, generator=generator(1, "samples")).double()
    view, embeddings = view_of(module, x), gradients(module, x[1:])
    for seed in range(20):
        selection = BADGE().select(view, 12, generator=generator(seed, "query"))
        wanted = plain_seeds(embeddings, 12, generator(seed, "query"))
        assert selection.indices.tolist() == [1 + place for place in wanted]


def test_distances_are_those_of_the_outer_products() -> None:
    g = generator(0, "factors")
    a, h = torch.randn(30, 5, generator=g).double(), 100 + torch.randn(30, 7, generator=g)
    a[4], h[4] = a[3], h[3]
    products = (a[:, :, None] * h.double()[:, None]).flatten(1)
    found = outer_distances(a, h, products.square().sum(1), 3)
    torch.testing.assert_close(found, (products - products[3]).square().sum(1), rtol=1e-9, atol=1e-9)
    assert found[3] == found[4] == 0


def test_seeds_are_drawn_in_proportion_to_squared_distances() -> None:
    """Of three products with distances 1 and 2 from the first, the farther one is drawn four times as often."""
    a, h = torch.tensor([[0.0], [1.0], [2.0]]).double(), torch.ones(3, 1)
    pairs = [tuple(seeds(a, h, 2, generator(s, "seeds")).tolist()) for s in range(1500)]
    after_first = [second for first, second in pairs if first == 0]
    assert 430 < len(after_first) < 570
    assert sum(second == 2 for second in after_first) / len(after_first) == pytest.approx(0.8, abs=0.05)


def test_copies_are_taken_last_and_by_chance() -> None:
    a = torch.tensor([[1.0, -1.0], [2.0, -2.0]]).double().repeat(4, 1)
    h = torch.ones(8, 3) / 3
    thirds = set()
    for seed in range(60):
        chosen = seeds(a, h, 8, generator(seed, "seeds")).tolist()
        assert {place % 2 for place in chosen[:2]} == {0, 1}
        assert sorted(chosen) == list(range(8))
        thirds.add(chosen[2])
    assert thirds == set(range(8))


def test_weight_zero_is_never_drawn() -> None:
    weights = torch.tensor([0.0, 1e-300, 0.0, 1.0, 0.0]).double()
    left = torch.tensor([False, True, True, True, True])
    assert {drawn(weights, left, generator(s, "draw")) for s in range(200)} == {3}
    assert {drawn(torch.zeros(5).double(), left, generator(s, "draw")) for s in range(60)} == {1, 2, 3, 4}


def test_a_classifier_that_is_sure_of_all_still_has_long_and_short_gradients() -> None:
    """In probabilities, gaps of 900 and 902 both leave p - e at 0; the embeddings' lengths are as e^2 to 1."""
    found = residuals_of(torch.tensor([[900.0, 0.0, -5.0], [0.0, 902.0, -3.0]]).double())
    wanted = torch.tensor([[-1 - math.exp(-5), 1, math.exp(-5)], [1, -1 - math.exp(-3), math.exp(-3)]]).double()
    torch.testing.assert_close(found, wanted * torch.tensor([[1.0], [math.exp(-2)]]))


def test_subset_must_have_candidates() -> None:
    with pytest.raises(UserError, match=r"^subset: must be at least 1, got 0"):
        BADGE(subset=0)
    view = view_of(model(), torch.randn(40, 6, generator=generator(1, "samples")).double())
    assert len(BADGE(subset=2).select(view, 5, generator=generator(0, "query")).indices) == 5
