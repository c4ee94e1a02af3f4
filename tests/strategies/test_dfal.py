"""DFAL against closed forms and single-sample DeepFool: order, copies, and what each variant changes."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import DeepFool
from aal.errors import UserError
from aal.models import Classifier, ConvClassifier
from aal.networks import LeNet5
from aal.seeds import generator
from aal.sharding import Results, Shard
from aal.strategies import DFAL, Selection, View
from tests.strategies.views import view_of

WEIGHTS = torch.tensor([[3.0, 4.0], [-3.0, -4.0]]).double()


class Affine(Classifier):
    """Two classes on both sides of a line; the samples are points of the plane."""

    def __init__(self, weights: Tensor = WEIGHTS) -> None:
        super().__init__(2)
        self.layer = nn.Linear(2, 2, bias=False).double()
        self.layer.weight.data = weights

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x)
        return logits

    def features(self, x: Tensor) -> Tensor:
        return x


def affine(x: Tensor) -> View:
    return replace(view_of(Affine(), x), bounds=(-10.0, 10.0))


def points(n: int = 40) -> Tensor:
    return torch.randn(n, 2, generator=generator(0, "points"), dtype=torch.float64)


def distances(x: Tensor) -> Tensor:
    """From points to the line 3a + 4b = 0, the longer way of 6 and 8 over 10."""
    return (x @ WEIGHTS[0]).abs() / 5


def select(strategy: DFAL, view: View, n: int) -> Selection:
    return strategy.select(view, n, generator=generator(0, "query"))


def digits_net() -> tuple[ConvClassifier, Tensor]:
    """A LeNet-5 with large random weights, so that samples lie at many distances, and images it takes."""
    module = ConvClassifier(LeNet5, num_classes=10, sample_shape=(1, 12, 12)).double()
    module.renew(generator(0, "weights"))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    return module, torch.rand(60, 1, 12, 12, generator=generator(0, "images"), dtype=torch.float64)


def test_the_nearest_to_the_boundary_are_queried_with_their_distances() -> None:
    x = points()
    selection = select(DFAL(), affine(x), 7)
    expected = distances(x[1:]).argsort()[:7] + 1
    assert selection.indices.tolist() == expected.tolist()
    assert selection.scores is not None
    torch.testing.assert_close(selection.scores, distances(x[expected]), rtol=2e-3, atol=1e-9)
    assert selection.figures["perturbation"] == pytest.approx(float(distances(x[expected]).mean()), rel=2e-3)


def test_each_enters_training_twice_the_copy_just_across_the_boundary() -> None:
    x = points()
    selection = select(DFAL(), affine(x), 7)
    assert selection.crafted is not None
    copies, sources = selection.crafted.x, selection.crafted.sources
    assert sources.tolist() == selection.indices.tolist()
    assert ((copies @ WEIGHTS[0]) * (x[sources] @ WEIGHTS[0]) < 0).all()
    torch.testing.assert_close((copies - x[sources]).norm(dim=1), distances(x[sources]), rtol=2e-3, atol=1e-9)
    assert select(DFAL(craft=False), affine(x), 7).crafted is None


def test_linf_distances_have_the_dual_norm() -> None:
    x = points()
    selection = select(DFAL(norm="linf"), affine(x), 5)
    assert selection.scores is not None
    expected = (x[selection.indices] @ WEIGHTS[0]).abs() / 7
    torch.testing.assert_close(selection.scores, expected, rtol=2e-3, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("slack", [None, 2.0])
def test_the_order_is_that_of_single_sample_deepfool(slack: float | None) -> None:
    module, x = digits_net()
    view = view_of(module, x, batch=16)
    found = []
    for sample in x[1:]:
        one = DeepFool()(module, sample[None], module(sample[None]).argmax(1))
        found.append(float(one.distance) if one.success else float("inf"))
    alone = torch.tensor(found, dtype=torch.float64)
    selection = select(DFAL(slack=slack), view, 10)
    assert selection.scores is not None
    assert selection.indices.tolist() == (alone.argsort()[:10] + 1).tolist()
    torch.testing.assert_close(selection.scores, alone.sort().values[:10])


def test_slack_spares_the_far_and_exact_mode_attacks_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x = points(400)
    attacked = []
    call = DeepFool.__call__
    monkeypatch.setattr(DeepFool, "__call__", lambda *a, **k: attacked.append(len(a[2])) or call(*a, **k))
    exact = select(DFAL(slack=None), affine(x), 5)
    everything = sum(attacked)
    attacked.clear()
    spared = select(DFAL(slack=2.0), affine(x), 5)
    assert everything == 399 + 5
    assert sum(attacked) < 150
    assert torch.equal(exact.indices, spared.indices)


def test_two_ranks_select_what_one_does() -> None:
    module, x = digits_net()
    alone = select(DFAL(), view_of(module, x, batch=8), 6)
    for rank in range(2):
        # each rank's own part with the other's added, as the sum over processes would
        other = view_of(module, x, batch=8, shard=Shard(1 - rank, 2, lambda tensor: tensor))

        def both(function: Callable[[Tensor], Results], indices: Tensor, mine: View, other: View) -> Results:
            one, two = mine.map(function, indices), other.map(function, indices)
            if isinstance(one, Tensor) and isinstance(two, Tensor):
                return one + two
            return {name: one[name] + two[name] for name in one}

        mine = view_of(module, x, batch=8, shard=Shard(rank, 2, lambda tensor: tensor))
        summed = partial(both, mine=mine, other=other)
        shared = select(DFAL(), replace(view_of(module, x, batch=8), map=summed), 6)
        assert torch.equal(shared.indices, alone.indices)
        assert shared.crafted is not None
        assert alone.crafted is not None
        assert torch.equal(shared.crafted.x, alone.crafted.x)


@pytest.mark.parametrize("magnitude", [0.05, 0.37])
def test_magnitude_is_the_whole_perturbation_or_what_is_beyond(magnitude: float) -> None:
    x = points()
    own = select(DFAL(), affine(x), 7).crafted
    whole = select(DFAL(magnitude=magnitude), affine(x), 7).crafted
    beyond = select(DFAL(magnitude=magnitude, beyond=True), affine(x), 7).crafted
    assert own is not None
    assert whole is not None
    assert beyond is not None
    start = x[own.sources]
    size = (own.x - start).norm(dim=1)
    torch.testing.assert_close((whole.x - start).norm(dim=1), torch.full_like(size, magnitude))
    torch.testing.assert_close((beyond.x - start).norm(dim=1), size + magnitude)
    for copies in (whole.x, beyond.x):
        torch.testing.assert_close(
            nn.functional.cosine_similarity(copies - start, own.x - start), torch.ones(7).double()
        )


def test_copies_stay_within_the_bounds() -> None:
    module, x = digits_net()
    crafted = select(DFAL(magnitude=50.0), view_of(module, x, batch=16), 5).crafted
    assert crafted is not None
    assert (crafted.x.min(), crafted.x.max()) == (0, 1)


def test_confidence_ranks_by_the_copies_class() -> None:
    module, x = digits_net()
    view = view_of(module, x, batch=16)
    found = DeepFool()(module, x[1:], module(x[1:]).argmax(1))
    sure = module(found.x).double().softmax(1).amax(1).masked_fill(~found.success, -1).detach()
    selection = select(DFAL(rank="confidence"), view, 8)
    assert selection.scores is not None
    torch.testing.assert_close(1 - selection.scores.sigmoid(), sure.sort(descending=True).values[:8])
    assert set(selection.indices.tolist()) != set(select(DFAL(), view, 8).indices.tolist())


def test_diversity_leaves_a_clump_of_the_nearest_for_others() -> None:
    near = torch.tensor([0.04, -0.03]).double()  # on the line
    clump = near + 1e-4 * torch.randn(10, 2, generator=generator(0, "clump"), dtype=torch.float64)
    away = torch.tensor([[4.0, -3.0], [-4.0, 3.0]]).double() + torch.tensor([3.0, 4.0]).double() * 1e-3
    x = torch.cat([torch.tensor([[5.0, 5.0]]).double(), clump, away, points(50) + 5])
    assert max(select(DFAL(), affine(x), 3).indices.tolist()) <= 10
    diverse = select(DFAL(diversity=4), affine(x), 3)
    assert {11, 12} <= set(diverse.indices.tolist())
    assert diverse.crafted is not None
    assert diverse.crafted.sources.tolist() == diverse.indices.tolist()
    assert diverse.scores is not None
    torch.testing.assert_close(diverse.scores, distances(x[diverse.indices]), rtol=2e-3, atol=1e-7)


def test_a_subset_is_drawn_at_random_and_never_smaller_than_the_query() -> None:
    x = points(200)
    chosen = {
        tuple(DFAL(subset=20).select(affine(x), 5, generator=generator(r, "q")).indices.tolist()) for r in range(5)
    }
    assert len(chosen) == 5
    assert len(select(DFAL(subset=3), affine(x), 9).indices) == 9


def test_without_a_boundary_something_is_queried_and_nothing_crafted() -> None:
    view = replace(view_of(Affine(torch.zeros(2, 2).double()), points()), bounds=(-10.0, 10.0))
    selection = select(DFAL(), view, 4)
    assert max(selection.indices.tolist()) > 10, "chance decides, not the index"
    assert selection.crafted is not None
    assert len(selection.crafted.x) == 0
    assert "perturbation" not in selection.figures


class Capped(Affine):
    """Class 0 begins at 1 along the first axis, but below the axis the slope towards it ends half the way."""

    def forward(self, x: Tensor) -> Tensor:
        over = torch.where(x[:, 1] < 0, x[:, 0].clamp(max=0.5), x[:, 0]) - 1
        return torch.stack([over, torch.zeros_like(over)], dim=1)


@pytest.mark.parametrize("rank", ["distance", "confidence"])
def test_those_that_cannot_be_moved_come_last_by_their_linearised_distance(
    rank: Literal["distance", "confidence"],
) -> None:
    x = torch.rand(200, 2, generator=generator(0, "points"), dtype=torch.float64) - torch.tensor([0.6, 1.0])
    x[150:160, 1] += 1  # these can
    selection = select(DFAL(rank=rank), replace(view_of(Capped(), x), bounds=(-10.0, 10.0)), 20)
    assert set(selection.indices[:10].tolist()) == set(range(150, 160))
    failed = (1 - x[:, 0]).index_fill(0, torch.tensor([0, *range(150, 160)]), torch.inf).argsort()[:10]
    assert selection.indices[10:].tolist() == failed.tolist()
    assert selection.crafted is not None
    assert selection.crafted.sources.tolist() == selection.indices[:10].tolist()


def test_a_classifier_of_one_class_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    x = points(400)
    view = replace(affine(x + 5), bounds=(4.0, 10.0))
    attacked = []
    call = DeepFool.__call__
    monkeypatch.setattr(DeepFool, "__call__", lambda *a, **k: attacked.append(len(a[2])) or call(*a, **k))
    view = view.only((x[1:] > -0.99).all(1))
    selection = select(DFAL(), view, 5)
    assert sum(attacked) == 2 * 64 + 5
    assert selection.indices.tolist() != list(view.candidates[:5])
    attacked.clear()
    select(DFAL(slack=None), view, 5)
    assert sum(attacked) == len(view.candidates) + 5


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"norm": "l1"}, "norm"),
        ({"subset": 0}, "subset"),
        ({"slack": 0.5}, "slack"),
        ({"diversity": 0}, "diversity"),
        ({"rank": "best"}, "rank"),
        ({"magnitude": 0.0}, "magnitude"),
        ({"beyond": True}, "beyond"),
    ],
)
def test_bad_values_are_named(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(UserError, match=key):
        DFAL(**arguments)  # type: ignore[arg-type]
