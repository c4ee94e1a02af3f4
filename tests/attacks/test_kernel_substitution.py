"""Kernel substitution: the soft vote by its formula, its width by brute force, and what it does to k-NN."""

import math
from typing import Any

import pytest
import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn

from aal.attacks import APGD, FGSM, PGD, DeepFool, KernelSubstitution
from aal.attacks.kernel_substitution import likeliest_width
from aal.attacks.soft_vote import soft_vote
from aal.attacks.training_set import TrainingSet
from aal.errors import UserError
from aal.networks import NearestNeighbours
from aal.seeds import generator

ANYWHERE = (-math.inf, math.inf)


def knn(points: Tensor, labels: Tensor, k: int = 1, classes: int = 2) -> NearestNeighbours:
    network = NearestNeighbours(tuple(points.shape[1:]), classes, k)
    network.take_in(points, labels)
    return network


def moons() -> tuple[NearestNeighbours, Tensor, Tensor]:
    """Return 1-NN of 500 points, and 100 samples that it gets right, with their labels."""
    x, y = make_moons(700, noise=0.25, random_state=0)
    points, labels = torch.from_numpy((x - x.min(0)) / (x.max(0) - x.min(0))), torch.from_numpy(y)
    network = knn(points[:500], labels[:500])
    right = (network(points[500:]).argmax(1) == labels[500:]).nonzero()[:100, 0] + 500
    return network, points[right], labels[right]


class Asked(nn.Module):
    """A model that counts the samples that it is shown, and answers with labels alone."""

    def __init__(self, network: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.network, self.scale, self.shown = network, scale, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        return nn.functional.one_hot(self.network(x).argmax(1), 2) * self.scale + 0.0


def test_the_vote_is_equation_10() -> None:
    draw = generator(0, "points")
    points, x = torch.rand(30, 2, 2, generator=draw), torch.rand(9, 2, 2, generator=draw)
    labels = torch.randint(3, (30,), generator=draw)
    votes = soft_vote(x, points, labels, 3, 0.2).softmax(1)
    for row in range(9):
        weights = [math.exp(-(math.dist(x[row].flatten(), point.flatten()) ** 2) / 0.2) for point in points]
        for label in range(3):
            own = sum(weight for weight, other in zip(weights, labels, strict=True) if other == label)
            assert float(votes[row, label]) == pytest.approx(own / sum(weights), rel=1e-5)


def test_a_feature_that_is_the_same_for_all_points_has_no_slope() -> None:
    draw = generator(1, "points")
    points, labels = torch.rand(50, 3, generator=draw, dtype=torch.float64), torch.randint(2, (50,), generator=draw)
    points[:, 1] = 0.1  # whose mean is not 0.1
    x = torch.rand(20, 3, generator=draw, dtype=torch.float64)
    x[:10, 1] = 0.1
    leaf = x.clone().requires_grad_()
    logits = soft_vote(leaf, points, labels, 2, 0.05)
    (slope,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), leaf)
    assert (slope[:, 1] == 0).all()
    assert (slope[:, [0, 2]] != 0).all()
    attack = KernelSubstitution(inner=FGSM(radius=0.3), width=0.05)
    result = attack(knn(points, labels), x, knn(points, labels)(x).argmax(1))
    assert torch.equal(result.x[:, 1], x[:, 1])
    assert result.success.any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_least_of_the_radii_that_fools_the_model_is_taken(norm: str) -> None:
    network = knn(torch.tensor([[0.2, 0.5], [0.8, 0.5]]), torch.tensor([0, 1]))
    x, y = torch.tensor([[0.305, 0.5], [0.1, 0.5], [0.695, 0.5], [0.9, 0.5]]), torch.tensor([0, 0, 1, 0])
    result = KernelSubstitution(inner=FGSM(radius=0.3, norm=norm), tries=30)(network, x, y)
    assert result.success.tolist() == [True, False, True, True]
    torch.testing.assert_close(result.distance, torch.tensor([0.2, 0.3, 0.2, 0.0]))  # the middle is at 0.5
    torch.testing.assert_close(result.x[1], torch.tensor([0.4, 0.5]))  # what failed is as far as it came
    assert torch.equal(result.x[3], x[3]), "the model is wrong about it as it is"
    assert result.queries.tolist() == [21, 31, 21, 1]
    once = KernelSubstitution(inner=FGSM(radius=0.3, norm=norm), tries=1)(network, x, y)
    torch.testing.assert_close(once.distance, torch.tensor([0.3, 0.3, 0.3, 0.0]))


def test_half_moons_are_fooled_and_nothing_beats_the_bound() -> None:
    network, x, y = moons()
    found = {
        name: KernelSubstitution(inner=inner)(network, x, y, bounds=ANYWHERE)
        for name, inner in {"fgsm": None, "pgd": PGD(radius=0.15, steps=10, random_start=False)}.items()
    }
    away = torch.cdist(x, network.points)
    same = network.labels == y[:, None]
    least = (away.masked_fill(same, math.inf).amin(1) - away.masked_fill(~same, math.inf).amin(1)) / 2
    for result in found.values():
        assert torch.equal(result.success, network(result.x).argmax(1) != y)
        assert ((result.x - x).norm(dim=1) >= least - 1e-12)[result.success].all()
        assert (result.distance <= 0.15 + 1e-12).all()
        assert not torch.isin(result.x, network.points).all(1).any(), "no training point is ever returned"
    assert found["fgsm"].success.double().mean() > 0.6
    assert found["pgd"].success.double().mean() > 0.8


def test_the_model_is_asked_for_labels_alone_and_every_one_is_counted() -> None:
    network, x, y = moons()
    attack = KernelSubstitution().fit(network.points, network.labels)
    results = []
    for scale in (1.0, 1e-3, 1e6):
        asked = Asked(network, scale)
        results.append(attack(asked, x, y, bounds=ANYWHERE))
        assert asked.shown == int(results[-1].queries.sum())
    assert all(torch.equal(result.x, results[0].x) for result in results)
    assert torch.equal(results[0].x, KernelSubstitution()(network, x, y, bounds=ANYWHERE).x), "the model's own points"


def test_a_target_is_reached_or_not() -> None:
    points = torch.tensor([[0.0], [0.4], [1.0]])
    network = knn(points, torch.tensor([0, 1, 2]), classes=3)
    x, y = torch.tensor([[0.1], [0.1]]), torch.tensor([0, 0])
    attack = KernelSubstitution(inner=FGSM(radius=0.5), width=0.05)
    result = attack(network, x, y, target=torch.tensor([1, 2]))
    assert result.success.tolist() == [True, False]
    assert network(result.x[:1]).argmax(1).tolist() == [1]
    assert (result.x[1] > 0.5).all(), "towards it all the same"


def by_brute_force(points: Tensor, labels: Tensor) -> dict[float, float]:
    """Return the mean log-likelihood of each width that is compared."""
    away = torch.cdist(points, points).square()
    away.fill_diagonal_(math.inf)
    usual = float(away.amin(1).median())
    scores = {}
    for power in range(-10, 13):
        votes = (-away / (usual * 2.0**power)).softmax(1)
        own = (votes * (labels[:, None] == labels)).sum(1)
        scores[usual * 2.0**power] = float(own.log().mean())
    return scores


def test_the_width_is_the_likeliest_by_brute_force() -> None:
    network, _, _ = moons()
    points, labels = network.points, network.labels
    scores = by_brute_force(points, labels)
    width = likeliest_width(TrainingSet(points, labels))
    best = max(scores, key=scores.__getitem__)
    assert width == pytest.approx(best)
    assert min(scores) < width < max(scores)
    assert KernelSubstitution().fit(points, labels).width == width
    assert KernelSubstitution(width=3.0).fit(points, labels).width == 3.0
    info = KernelSubstitution()(network, points[:2], labels[:2]).info
    assert info["width"].tolist() == [width, width]


def test_of_many_points_some_are_judged() -> None:
    draw = generator(2, "points")
    points = torch.rand(1100, 2, generator=draw)
    labels = (points[:, 0] > points[:, 1]).long()
    width = likeliest_width(TrainingSet(points, labels))
    whole = by_brute_force(points.double(), labels)
    assert whole[min(whole, key=lambda other: abs(math.log(other / width)))] > max(whole.values()) - 0.01


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        (torch.zeros(5, 2), torch.tensor([0, 1, 1, 0, 1])),  # one point with two labels
        (torch.rand(5, 2, generator=generator(3, "x")), torch.ones(5).long()),
        (torch.full((1, 2), 0.5), torch.tensor([1])),
        (torch.rand(2, 2, generator=generator(4, "x")), torch.tensor([0, 1])),
        (torch.rand(2, 2, generator=generator(4, "x")).repeat(3, 1), torch.tensor([0, 1, 0, 1, 1, 0])),
    ],
)
def test_what_cannot_be_fooled_fails_and_what_can_be_is(points: Tensor, labels: Tensor) -> None:
    network = knn(points, labels)
    width = likeliest_width(TrainingSet(points, labels))
    assert width > 0
    assert math.isfinite(width)
    x = torch.tensor([[0.4, 0.6], [0.9, 0.2]])
    y = network(x).argmax(1)
    result = KernelSubstitution(inner=FGSM(radius=1.0))(network, x, y)
    assert torch.equal(result.success, network(result.x).argmax(1) != y)
    assert not result.success.any() or len(network(points).argmax(1).unique()) > 1
    assert result.x.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0.0}, r"^width: must be above 0, got 0.0$"),
        ({"tries": 0}, r"^tries: must be at least 1, got 0$"),
        ({"inner": DeepFool()}, r"^inner: must be an attack within a radius, such as FGSM or PGD, not DeepFool$"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        KernelSubstitution(**arguments)


def test_it_is_fitted_first_and_takes_any_attack_within_a_radius() -> None:
    with pytest.raises(UserError, match=r"KernelSubstitution\(\)\.fit\(points, labels\)$"):
        KernelSubstitution()(nn.Linear(2, 2), torch.rand(1, 2), torch.tensor([0]))
    network, x, y = moons()
    result = KernelSubstitution(inner=APGD(radius=0.15, steps=10), tries=3)(network, x[:20], y[:20], bounds=ANYWHERE)
    assert result.success.double().mean() > 0.6
