"""The k-NN network is scikit-learn's brute force, ties included, whatever the points are."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from aal.attacks import PGD
from aal.errors import UserError
from aal.networks import NearestNeighbours, k_nearest
from aal.seeds import generator


@pytest.fixture(autouse=True)
def _in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(k_nearest, "SMALL", 0)  # else these searches are done in one stage


def lattice(draw: torch.Generator, n: int, size: int) -> Tensor:
    return torch.randint(3, (n, size), generator=draw)


def halves(draw: torch.Generator, n: int, size: int) -> Tensor:
    return torch.randint(4, (n, size), generator=draw) / 2


def constant(draw: torch.Generator, n: int, size: int) -> Tensor:
    points = torch.randint(2, (n, size), generator=draw)
    points[:, ::2] = 7
    return points


def normal(draw: torch.Generator, n: int, size: int) -> Tensor:
    return torch.randn(n, size, generator=draw, dtype=torch.float64)


def one_point(draw: torch.Generator, n: int, size: int) -> Tensor:
    return torch.ones(n, size)


def pairs(draw: torch.Generator, n: int, size: int) -> Tensor:
    """Points that are there twice or more, in any order."""
    return torch.randint(-9, 9, (n // 2 + 1, size), generator=draw)[torch.randint(n // 2 + 1, (n,), generator=draw)]


def known(points: Tensor, labels: Tensor, k: int, classes: int = 3) -> NearestNeighbours:
    network = NearestNeighbours(tuple(points.shape[1:]), classes, k)
    network.take_in(points, labels)
    return network


def theirs(points: Tensor, labels: Tensor, x: Tensor, k: int) -> np.ndarray:
    with threadpool_limits(1, "openmp"):  # on several threads it splits small searches, and ties with them
        return KNeighborsClassifier(k, algorithm="brute").fit(points.numpy(), labels.numpy()).predict(x.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [lattice, halves, constant, normal, one_point, pairs])
@pytest.mark.parametrize("n", [1, 7, pytest.param(400, marks=pytest.mark.slow)])
def test_it_predicts_what_brute_force_of_scikit_learn_does(kind, n: int, dtype: torch.dtype) -> None:  # noqa: ANN001
    draw = generator(0, kind.__name__, n)
    for size in (1, 4):
        points, x = kind(draw, n, size).to(dtype), kind(draw, 60, size).to(dtype)
        labels = torch.randint(3, (n,), generator=draw)
        for k in sorted({1, 2, 3, 9, n - 1, n} & set(range(1, n + 1))):
            found = known(points, labels, k)(x)
            assert found.dtype == dtype
            assert torch.equal(found.sum(1), torch.full((60,), float(k), dtype=dtype))
            assert (found.argmax(1).numpy() == theirs(points, labels, x, k)).all(), (size, k)


def test_every_k_of_a_small_lattice_with_all_labels_equal_but_one() -> None:
    draw = generator(1, "lattice")
    points, x = lattice(draw, 24, 2).double(), lattice(draw, 60, 2).double()
    for k in range(1, 25):
        for odd in (0, 11, 23):
            labels = (torch.arange(24) == odd).long()
            votes = known(points, labels, k, 2)(x)[:, 1]  # whether the one is among the k nearest
            with threadpool_limits(1, "openmp"):
                fitted = KNeighborsClassifier(k, algorithm="brute").fit(points.numpy(), labels.numpy())
                assert np.allclose(votes.numpy() / k, fitted.predict_proba(x.numpy())[:, 1])


def test_points_that_float32_cannot_tell_apart_are_told_apart() -> None:
    """Far from 0 and almost in one place: a product in single precision sees one distance."""
    draw = generator(2, "near")
    points = 1e6 + 1e-4 * torch.randn(300, 20, generator=draw, dtype=torch.float64)
    points[200:] += 50.0
    x = points + 1e-5 * torch.randn(300, 20, generator=draw, dtype=torch.float64)
    labels = torch.randint(3, (300,), generator=draw)
    by_differences = (x[:, None] - points).square().sum(2)
    for k in (1, 5):
        wanted = torch.zeros(300, 3).double()
        wanted.scatter_add_(1, labels[by_differences.topk(k, largest=False).indices], torch.ones(300, k).double())
        assert torch.equal(known(points, labels, k)(x), wanted)


@pytest.mark.parametrize("kind", [lattice, halves, pairs, normal])
def test_one_stage_finds_what_many_find(kind, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    draw = generator(5, kind.__name__)
    points, x = kind(draw, 300, 2).float(), kind(draw, 50, 2).float()
    labels = torch.randint(3, (300,), generator=draw)
    wanted = [known(points, labels, k)(x) for k in (1, 2, 9)]
    monkeypatch.undo()
    assert all(torch.equal(known(points, labels, k)(x), votes) for k, votes in zip((1, 2, 9), wanted, strict=True))


def test_too_many_pairs_to_keep_are_searched_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = generator(3, "halves")
    points, x = lattice(draw, 400, 3).float(), lattice(draw, 120, 3).float()
    labels = torch.randint(3, (400,), generator=draw)
    wanted = known(points, labels, 5)(x)
    monkeypatch.setattr(k_nearest, "KEPT", 2000)
    assert torch.equal(known(points, labels, 5)(x), wanted)


def test_a_sample_gets_the_same_votes_alone_as_in_a_batch() -> None:
    draw = generator(4, "alone")
    points, x = halves(draw, 500, 3) / 10, halves(draw, 40, 3) / 10  # whose squares are rounded
    labels = torch.randint(3, (500,), generator=draw)
    network = known(points.double(), labels, 4)
    together = network(x.double())
    assert all(torch.equal(network(x[i : i + 1].double())[0], together[i]) for i in range(40))


def test_autocast_and_a_lower_precision_of_products_change_nothing() -> None:
    draw = generator(6, "precision")
    points, x = torch.rand(300, 30, generator=draw), torch.rand(50, 30, generator=draw)
    network = known(points, torch.randint(3, (300,), generator=draw), 3)
    wanted = network(x)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(network(x), wanted)
    finally:
        torch.set_float32_matmul_precision(before)


def test_fewer_points_than_k_all_vote_and_equal_votes_go_to_the_lower_class() -> None:
    points = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    labels = torch.tensor([2, 1, 2, 1])
    assert known(points, labels, 9)(torch.tensor([[0.0]])).tolist() == [[0.0, 2.0, 2.0]]
    assert known(points, labels, 9)(torch.tensor([[0.0]])).argmax(1).tolist() == [1]
    assert known(points, labels, 1)(torch.tensor([[0.5]])).tolist() == [[0.0, 0.0, 1.0]]  # the first of two as near


def test_images_are_compared_element_by_element() -> None:
    draw = generator(5, "images")
    points, labels = torch.rand(30, 2, 3, 4, generator=draw), torch.randint(3, (30,), generator=draw)
    x = torch.rand(10, 2, 3, 4, generator=draw)
    flat = known(points.flatten(1), labels, 3)(x.flatten(1))
    assert torch.equal(known(points, labels, 3)(x), flat)


def test_without_points_nothing_is_voted_and_a_sample_that_is_not_finite_has_no_votes() -> None:
    assert torch.equal(NearestNeighbours((2,), 3)(torch.rand(4, 2)), torch.zeros(4, 3))
    network = known(torch.rand(5, 2), torch.tensor([0, 1, 2, 0, 1]), 2)
    found = network(torch.tensor([[0.5, 0.5], [math.nan, 0.5], [0.5, math.inf]]))
    assert found.isnan().all(1).tolist() == [False, True, True]
    assert network(torch.empty(0, 2)).shape == (0, 3)


def test_a_gradient_attack_finds_no_slope() -> None:
    network = known(torch.tensor([[0.2], [0.8]]), torch.tensor([0, 1]), 1, 2)
    result = PGD(radius=0.1, random_start=False)(network, torch.tensor([[0.3]]), torch.tensor([0]))
    assert result.distance.tolist() == [0.0]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UserError, match=r"^k: must be at least 1, got 0$"):
        NearestNeighbours((2,), 3, 0)
    with pytest.raises(UserError, match=r"^num_classes: must be at least 1, got 0$"):
        NearestNeighbours((2,), 0)
