"""The region-based attack beside independent solvers over all cells, and where there is nothing to find."""

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from sklearn.datasets import make_moons
from torch import Tensor, nn

from aal.attacks import Adversarial, Direct, RegionBased
from aal.attacks.least_squares import _solution
from aal.errors import UserError
from aal.networks import NearestNeighbours

Array = NDArray[np.float64]
ANYWHERE = (-math.inf, math.inf)
ORDERS = {"linf": math.inf, "l2": 2.0}


def nearest_neighbours(points: Tensor, labels: Tensor, k: int = 1) -> NearestNeighbours:
    network = NearestNeighbours(tuple(points.shape[1:]), int(labels.max()) + 2, k)
    network.take_in(points, labels)
    return network


def drawn(seed: int) -> tuple[Array, NDArray[np.int64], Array]:
    """Return points, labels and a sample: at random, on a lattice, with a constant feature, or with duplicates."""
    draw = np.random.default_rng(seed)
    n, d, kind = int(draw.integers(6, 25)), 1 + seed % 10, seed // 10
    points, x = draw.random((n, d)), draw.random(d)
    if kind in (1, 4):  # and the sample in the middle of lattice points, with many ties
        points, x = np.round(points * 3) / 3, np.round(x * 6) / 6
    if kind == 2:
        points[:, d - 1] = 0.5
    if kind in (3, 4):
        points[n // 2 :] = points[: n - n // 2]
    labels = draw.integers(0, 2 + seed % 2, n)
    labels[:2] = [0, 1]
    return points, labels, x


def least(weights: Array, limits: Array, norm: str) -> float:
    """Return the least length of v where W v <= b, by a linear program or by Lawson and Hanson's LDP; inf if none."""
    n, d = weights.shape
    if norm == "l2":
        factors, rest = nnls(np.vstack([-weights.T, -limits[None]]), np.eye(d + 1)[d], maxiter=1000)
        residual = np.vstack([-weights.T, -limits[None]]) @ factors - np.eye(d + 1)[d]
        return float(np.linalg.norm(residual[:d] / residual[d])) if rest > 1e-8 else math.inf
    sides = np.vstack([np.c_[np.eye(d), -np.ones(d)], np.c_[-np.eye(d), -np.ones(d)]])
    rows = np.vstack([np.c_[weights, np.zeros(n)], sides])
    ends = np.concatenate([limits, np.zeros(2 * d)])
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(np.eye(d + 1)[d], rows, ends, bounds=[(None, None)] * d + [(0, None)], options=options)
    return float(found.fun) if found.status == 0 else math.inf


def brute_force(points: Array, goal: Array, x: Array, norm: str, bounds: tuple[float, float] = ANYWHERE) -> float:
    """Return how far the nearest of all cells of points of a goal is from a sample."""
    moves = points - x
    halves = 0.5 * (moves**2).sum(1)
    found = math.inf
    for site in np.flatnonzero(goal):
        weights, limits = moves[~goal] - moves[site], halves[~goal] - halves[site]
        if math.isfinite(bounds[0]):
            weights = np.vstack([weights, np.eye(len(x)), -np.eye(len(x))])
            limits = np.concatenate([limits, bounds[1] - x, x - bounds[0]])
        found = min(found, least(weights, limits, norm))
    return found


def right(network: nn.Module, x: Array, device: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    samples = torch.from_numpy(x).to(device)
    return samples, network(samples).argmax(1)


@pytest.mark.parametrize("norm", ORDERS)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 50))])
def test_the_distance_is_that_of_the_nearest_of_all_cells(seed: int, norm: str) -> None:
    points, labels, x = drawn(seed)
    network = nearest_neighbours(torch.from_numpy(points), torch.from_numpy(labels))
    samples, y = right(network, x[None])
    box = (float(x.min()) - 0.05, float(x.max()) + 0.1)
    for bounds in (ANYWHERE, box):
        found = RegionBased(norm=norm, box=True)(network, samples, y, bounds=bounds)
        wanted = brute_force(points, labels != int(y[0]), x, norm, bounds)
        distance, certificate = float(found.distance[0]), float(found.info["certificate"][0])
        assert distance == pytest.approx(wanted, abs=1e-9)
        if wanted < math.inf:
            assert distance - 1e-9 <= certificate <= distance
        if found.success[0]:
            assert network(found.x).argmax(1) != y
        elif wanted < math.inf:  # only a place that points of two labels share may be lost to the tie
            assert len(np.unique(points, axis=0)) < len(points)
    for attack in (Direct(norm=norm), Direct(norm=norm, parts=3)):
        other = attack(network, samples, y, bounds=ANYWHERE)
        assert not other.success[0] or brute_force(points, labels != int(y[0]), x, norm) <= other.distance[0] + 1e-12


@pytest.mark.parametrize("norm", ORDERS)
@pytest.mark.parametrize("seed", range(0, 50, 3))
def test_targets_are_reached_by_their_nearest_cell(seed: int, norm: str) -> None:
    points, labels, x = drawn(seed)
    network = nearest_neighbours(torch.from_numpy(points), torch.from_numpy(labels))
    samples, y = right(network, x[None])
    target = torch.tensor([(int(y[0]) + 1) % 2])
    found = RegionBased(norm=norm)(network, samples, y, target=target, bounds=ANYWHERE)
    assert float(found.distance[0]) == pytest.approx(brute_force(points, labels == int(target), x, norm), abs=1e-9)
    assert not found.success[0] or network(found.x).argmax(1) == target


def moons(seed: int, random: np.random.RandomState) -> tuple[NearestNeighbours, Tensor, Tensor, Array]:
    """Return 1-NN on the half moons, 100 held out samples that it gets right, their labels and the training points."""
    x, y = make_moons(2200, noise=0.25, random_state=seed)
    order = random.permutation(2200)
    x, y = x[order], y[order]
    low, high = x[:-200].min(0), x[:-200].max(0)
    x = (x - low) / (high - low)
    network = nearest_neighbours(torch.from_numpy(x[:-200]), torch.from_numpy(y[:-200]))
    samples, labels = torch.from_numpy(x[-200:]), torch.from_numpy(y[-200:])
    good = (network(samples).argmax(1) == labels).nonzero()[:, 0].numpy()
    chosen = random.permutation(good)[:100]
    return network, samples[chosen], labels[chosen], x[:-200]


def test_half_moons_have_the_mean_distance_that_is_known() -> None:
    network, x, y, points = moons(0, np.random.RandomState(0))
    found = RegionBased()(network, x, y, bounds=ANYWHERE)
    assert float(found.distance.mean()) == pytest.approx(0.0571, abs=5e-5)
    gaps = (x[:, None] - torch.from_numpy(points)).abs().amax(2)
    gaps[y[:, None] == network.labels] = math.inf
    assert float(gaps.amin(1).mean()) == pytest.approx(0.0685, abs=5e-5)
    assert found.success.all()
    assert (found.distance - found.info["certificate"]).max() < 1e-9
    assert (found.info["size"] / found.distance).max() < 1 + 1.001e-6
    others = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    predicted = network(others).argmax(1)
    for norm, order in ORDERS.items():
        exact = RegionBased(norm=norm)(network, x, y, bounds=ANYWHERE).distance
        for label in (0, 1):
            reached = torch.cdist(x[y == label], others[predicted != label], p=order).amin(1)
            assert (exact[y == label] <= reached).all()
            assert float(exact[y == label].mean()) > 0.9 * float(reached.mean()), "the nearest of so many is near"


@pytest.mark.slow
def test_half_moons_of_ten_seeds_are_alike() -> None:
    for seed in range(10):
        network, x, y, _ = moons(seed, np.random.RandomState(seed))
        assert 0.048 < float(RegionBased()(network, x, y, bounds=ANYWHERE).distance.mean()) < 0.066


@pytest.mark.parametrize("norm", ORDERS)
def test_few_cells_are_approximate_and_the_certificate_holds_for_all(norm: str) -> None:
    network, x, y, _ = moons(0, np.random.RandomState(0))
    exact = RegionBased(norm=norm)(network, x, y, bounds=ANYWHERE).distance
    worse = []
    for cells in (1, 5, 1800):
        found = RegionBased(norm=norm, cells=cells)(network, x, y, bounds=ANYWHERE)
        assert (found.distance >= exact - 1e-12).all()
        assert (found.info["certificate"] <= exact + 1e-12).all()
        assert found.success.all()
        worse.append(float((found.distance - exact).mean()))
    assert worse[0] > worse[1] >= worse[2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("norm", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_point_succeeds_and_stays_in_the_box_in_either_precision(norm: str, dtype: torch.dtype) -> None:
    """In 40 dimensions the ends of the box meet most features."""
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(300, 40, generator=draw).to(dtype).round(decimals=1)
    labels = (points[:, :5].sum(1) > 2.5).long()
    network = nearest_neighbours(points, labels)
    x = torch.rand(30, 40, generator=draw).to(dtype).mul_(1.6).sub_(0.3).clamp_(0, 1)
    y = network(x).argmax(1)
    free, held = (RegionBased(norm=norm, box=box)(network, x, y) for box in (False, True))
    assert free.success.all()
    assert held.success.all()
    assert held.x.dtype == dtype
    assert ((held.x >= 0) & (held.x <= 1)).all()
    assert (free.x < 0).any() or (free.x > 1).any()
    assert (held.distance >= free.distance).all()
    assert (held.distance > 1.001 * free.distance).any()
    for found in (free, held):
        assert (found.distance - found.info["certificate"]).max() < 1e-9
        assert (found.info["size"] <= found.distance * 1.01).all()
    numbers = points.double().numpy()
    for row in range(1):
        goal = labels.numpy() != int(y[row])
        wanted = brute_force(numbers, goal, x[row].double().numpy(), norm, (0.0, 1.0))
        assert float(held.distance[row]) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1e12, 0.0), (1e-12, 0.0), (1e-160, 0.0), (1.0, 1e6)])
def test_units_and_offsets_of_the_features_make_no_difference(scale: float, offset: float) -> None:
    draw = torch.Generator().manual_seed(0)
    for d in (4, 40):  # by differences, and by products of what is centered
        points, x = (torch.rand(n, d, generator=draw, dtype=torch.float64) for n in (200, 10))
        labels = torch.arange(200) % 2
        y = nearest_neighbours(points, labels)(x).argmax(1)
        for norm in ORDERS:
            attack = RegionBased(norm=norm)
            wanted = attack.fit(points, labels)(Answers(y), x, y, bounds=ANYWHERE)
            moved = attack.fit(points * scale + offset, labels)
            found = moved(Answers(y), x * scale + offset, y, bounds=ANYWHERE)
            torch.testing.assert_close(found.distance / scale, wanted.distance, rtol=1e-8, atol=1e-9)
            assert ((found.distance - found.info["certificate"]) / scale).max() < 1e-9


class Answers(nn.Module):
    """Says of every sample that it has its label, whatever it is."""

    def __init__(self, y: Tensor) -> None:
        super().__init__()
        self.y = y

    def forward(self, x: Tensor) -> Tensor:
        label = self.y[: len(x)] if len(x) == len(self.y) else self.y[:1].expand(len(x))
        return torch.nn.functional.one_hot(label, 2).to(x.dtype)


def test_features_of_very_different_units() -> None:
    draw = torch.Generator().manual_seed(1)
    units = torch.tensor([1e6, 1.0, 1e-6], dtype=torch.float64)
    points, x = (torch.rand(n, 3, generator=draw, dtype=torch.float64) * units for n in (100, 10))
    labels = torch.arange(100) % 2
    network = nearest_neighbours(points, labels)
    y = network(x).argmax(1)
    for norm in ORDERS:
        found = RegionBased(norm=norm)(network, x, y, bounds=ANYWHERE)
        assert found.success.all()
        assert ((found.distance - found.info["certificate"]) / found.distance).max() < 1e-9


def only(found: Adversarial) -> tuple[bool, float, float, list[float]]:
    return bool(found.success[0]), float(found.distance[0]), float(found.info["certificate"][0]), found.x[0].tolist()


LINE = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
AT = torch.tensor([[0.3]], dtype=torch.float64)


@pytest.mark.parametrize("attack", [RegionBased(), RegionBased(norm="l2"), RegionBased(k=3), RegionBased(cells=1)])
class TestWhereThereIsNothingToFind:
    def test_one_class(self, attack: RegionBased) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 0, 0]), attack.k)
        assert only(attack(network, AT, torch.tensor([0]))) == (False, math.inf, math.inf, [0.3])

    def test_a_target_that_no_point_has(self, attack: RegionBased) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 1, 0]), attack.k)
        found = attack(network, AT, torch.tensor([0]), target=torch.tensor([2]))
        assert only(found) == (False, math.inf, math.inf, [0.3])

    def test_a_model_that_is_wrong_already(self, attack: RegionBased) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 1, 0]), attack.k)
        assert only(attack(network, AT, torch.tensor([1]))) == (True, 0.0, 0.0, [0.3])

    def test_a_box_that_cuts_all_regions_off(self, attack: RegionBased) -> None:
        points = torch.tensor([[0.0], [0.1], [1.0], [3.0]], dtype=torch.float64)
        network = nearest_neighbours(points, torch.tensor([0, 0, 1, 1]), attack.k)
        success, distance, _, x = only(replace(attack, box=True)(network, AT, torch.tensor([0]), bounds=(0.0, 0.4)))
        assert (success, distance, x) == (False, math.inf, [0.3])


@pytest.mark.parametrize("norm", ORDERS)
class TestSmallSets:
    def test_one_feature(self, norm: str) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 1, 2]))
        success, distance, certificate, x = only(RegionBased(norm=norm)(network, AT, torch.tensor([0])))
        assert success
        assert distance == certificate == pytest.approx(0.2, abs=1e-12)
        assert 0.5 < x[0] < 0.5 + 1e-6

    def test_bounds_that_cut_the_nearest_cell_off(self, norm: str) -> None:
        """The nearest cell is above the box; the other one is in it, with its point far outside."""
        points = torch.tensor([[0.5, 0.5], [0.5, 1.7], [4.0, 0.5]], dtype=torch.float64)
        network = nearest_neighbours(points, torch.tensor([0, 1, 1]))
        x, y = torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.tensor([0])
        attack = RegionBased(norm=norm, box=True)
        assert only(attack(network, x, y, bounds=(0.0, 1.2)))[1] == pytest.approx(0.6, abs=1e-12)
        success, distance, certificate, where = only(attack(network, x, y, bounds=(-1.0, 2.26)))
        assert (success, distance) == (True, pytest.approx(0.6, abs=1e-12))
        points[1, 1] = 6.0
        network = nearest_neighbours(points, torch.tensor([0, 1, 1]))
        success, distance, certificate, where = only(attack(network, x, y, bounds=(0.0, 2.26)))
        assert (success, distance) == (True, pytest.approx(1.75, abs=1e-12))
        assert certificate == pytest.approx(distance, abs=1e-9)
        assert 2.25 < where[0] <= 2.26

    def test_points_at_one_place_with_different_labels(self, norm: str) -> None:
        """Where the tie goes to the sample's label the distance is still 0, and the next region is moved into."""
        points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
        x, y = torch.tensor([[0.1, 0.0]], dtype=torch.float64), torch.tensor([0])
        network = nearest_neighbours(points, torch.tensor([0, 1, 1]))
        found = RegionBased(norm=norm)(network, x, y, bounds=ANYWHERE)
        assert only(found)[:3] == (True, 0.0, 0.0)
        assert float(found.info["size"][0]) == pytest.approx(0.9, abs=1e-5)
        only_there = nearest_neighbours(points[:2], torch.tensor([0, 1]))
        assert only(RegionBased(norm=norm)(only_there, x, y))[:3] == (False, 0.0, 0.0)
        others = nearest_neighbours(points, torch.tensor([1, 0, 1]))
        assert only(RegionBased(norm=norm)(others, x, y)) == (True, 0.0, 0.0, [0.1, 0.0])

    def test_a_sample_on_a_border(self, norm: str) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 1, 0]))
        x = torch.tensor([[0.5]], dtype=torch.float64)
        success, distance, certificate, where = only(RegionBased(norm=norm)(network, x, torch.tensor([0])))
        assert (success, distance, certificate) == (True, 0.0, 0.0)
        assert 0.5 < where[0] < 0.5 + 1e-5

    @pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-13])
    def test_a_sample_near_a_border(self, norm: str, gap: float) -> None:
        network = nearest_neighbours(LINE, torch.tensor([0, 1, 0]))
        x = torch.tensor([[0.5 - gap]], dtype=torch.float64)
        success, distance, certificate, _ = only(RegionBased(norm=norm)(network, x, torch.tensor([0])))
        assert success
        assert distance == pytest.approx(gap, rel=1e-2)
        assert distance - 1e-9 <= certificate <= distance


def of_subsets(points: Array, labels: NDArray[np.int64], x: Array, label: int, k: int, norm: str) -> float:
    """Return how far the nearest region of ``k`` nearest points with another vote is: of all subsets."""
    moves, found = points - x, math.inf
    halves = 0.5 * (moves**2).sum(1)
    for inside in itertools.combinations(range(len(points)), k):
        if np.bincount(labels[list(inside)]).argmax() != label:
            pairs = [(i, j) for i in inside for j in range(len(points)) if j not in inside]
            weights = np.array([moves[j] - moves[i] for i, j in pairs])
            limits = np.array([halves[j] - halves[i] for i, j in pairs])
            found = min(found, least(weights, limits, norm))
    return found


@pytest.mark.parametrize("norm", ORDERS)
def test_more_neighbours_are_never_nearer_than_all_subsets_allow(norm: str) -> None:
    ratios = []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        points, labels = draw.random((9, 1 + seed % 3)), np.arange(9) % (2 + seed % 2)
        network = nearest_neighbours(torch.from_numpy(points), torch.from_numpy(labels), 3)
        samples, y = right(network, draw.random((1, 1 + seed % 3)))
        found = RegionBased(norm=norm, k=3)(network, samples, y, bounds=ANYWHERE)
        wanted = of_subsets(points, labels, samples[0].numpy(), int(y[0]), 3, norm)
        assert found.info["certificate"][0] <= wanted + 1e-9
        assert found.distance[0] >= wanted - 1e-9
        ratios.append(float(found.distance[0]) / wanted)
    assert np.median(ratios) < 1 + 1e-9, "most are exact"


def test_more_neighbours_on_the_half_moons() -> None:
    network, x, y, _ = moons(0, np.random.RandomState(0))
    voting = nearest_neighbours(network.points, network.labels, 3)
    x = x[voting(x).argmax(1) == y][:20]
    y = voting(x).argmax(1)
    found = RegionBased(k=3)(voting, x, y, bounds=ANYWHERE)
    direct = Direct()(voting, x, y, bounds=ANYWHERE)
    assert found.success.all()
    ratios = (found.distance / direct.distance)[direct.success]
    assert (ratios <= 1 + 1e-5).all()
    assert float(ratios.mean()) < 0.95


def test_all_points_vote_where_there_are_fewer_than_k() -> None:
    network = nearest_neighbours(LINE, torch.tensor([0, 1, 0]), 50)
    assert only(RegionBased(k=50)(network, AT, torch.tensor([0])))[:2] == (False, math.inf)


def test_no_table_of_all_pairs_is_made() -> None:
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(60_000, 8, generator=draw, dtype=torch.float64)
    labels = (points[:, 0] > 0.5).long()
    network = nearest_neighbours(points, labels)
    x = torch.rand(2, 8, generator=draw, dtype=torch.float64)
    y = network(x).argmax(1)
    tracemalloc.start()
    found = RegionBased()(network, x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.success.all()
    assert peak < 20 * points.nbytes, "a table of all pairs would be 7,500 times the points"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [({"norm": "l1"}, "norm: must be linf or l2"), ({"k": 0}, "k: must be at least 1"), ({"cells": 0}, "cells: ")],
)
def test_values_outside_their_range_are_refused(arguments: dict[str, int], line: str) -> None:
    with pytest.raises(UserError, match=line):
        RegionBased(**arguments)  # type: ignore[arg-type]


def test_rows_that_depend_on_each_other_have_a_solution_still() -> None:
    assert _solution(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0])).tolist() == [1.0, 0.5]
    assert np.allclose(_solution(np.ones((2, 2)), np.ones(2)), [0.5, 0.5])
