"""OPT and its next of kin on 1-NN, beside the smallest perturbations there are, which all sides and corners tell."""

import itertools

import pytest
import torch
from sklearn.datasets import make_moons
from torch import Tensor

from aal.attacks import OPT, HopSkipJump, SignOPT
from aal.attacks.hard_label import HardLabel

POINTS, SAMPLES, EDGE = 60, 20, 1e-9


class NearestNeighbour:
    """1-NN of half moons, as a function from samples to labels."""

    def __init__(self) -> None:
        x, y = make_moons(POINTS + 2 * SAMPLES, noise=0.25, random_state=0)
        x = (x - x.min(0)) / (x.max(0) - x.min(0))
        self.points, self.labels = torch.from_numpy(x[:POINTS]), torch.from_numpy(y[:POINTS])
        tried, truth = torch.from_numpy(x[POINTS:]), torch.from_numpy(y[POINTS:])
        right = self(tried) == truth
        self.x, self.y = tried[right][:SAMPLES], truth[right][:SAMPLES]

    def __call__(self, x: Tensor) -> Tensor:
        distances = torch.cdist(x, self.points, compute_mode="donot_use_mm_for_euclid_dist")
        return self.labels[distances.argmin(1)]

    def exact(self, x: Tensor, label: int) -> float:
        """Return the L2 distance to the nearest cell of another class.

        A cell is a polygon, a bisector for each point of the label; its nearest point is the foot on one of its sides
        or a corner.
        """
        own = self.points[self.labels == label]
        return min(self._to_cell(x, z, own) for z in self.points[self.labels != label])

    @staticmethod
    def _to_cell(x: Tensor, z: Tensor, own: Tensor) -> float:
        normals = own - z
        sides = ((own**2).sum(1) - (z**2).sum()) / 2 - normals @ x  # normals @ v <= sides within the cell
        feet = normals * (sides / (normals**2).sum(1))[:, None]
        first, second = torch.tensor(list(itertools.combinations(range(len(own)), 2))).T
        pairs = torch.stack([normals[first], normals[second]], dim=1)
        solvable = torch.linalg.det(pairs).abs() > 1e-12
        corners = torch.linalg.solve(pairs[solvable], torch.stack([sides[first], sides[second]], 1)[solvable])
        ways = torch.cat([feet, corners])
        inside = (ways @ normals.T <= sides + EDGE).all(1)
        return float(ways[inside].norm(dim=1).min()) if inside.any() else torch.inf


@pytest.fixture(scope="module")
def moons() -> NearestNeighbour:
    return NearestNeighbour()


@pytest.fixture(scope="module")
def exact(moons: NearestNeighbour) -> Tensor:
    return torch.tensor([moons.exact(x, int(y)) for x, y in zip(moons.x, moons.y, strict=True)])


def test_with_restarts_it_comes_near_the_smallest_perturbations(moons: NearestNeighbour, exact: Tensor) -> None:
    once, often = (OPT(queries=2500, starts=starts, restarts=restarts) for starts, restarts in ((2, 0), (50, 40)))
    stuck, near = (attack(moons, moons.x, moons.y, bounds=(-1.0, 2.0)) for attack in (once, often))
    assert near.success.all()
    assert ((near.distance <= 1.5 * exact).double().mean()) >= 0.9
    assert ((near.distance <= 1.01 * exact).double().mean()) >= 0.8
    assert stuck.success.all()
    assert ((stuck.distance <= 1.5 * exact).double().mean()) < 0.75, "without them many are stuck"
    assert (stuck.queries < near.queries).all()


@pytest.mark.parametrize("attack", [OPT(queries=600), SignOPT(queries=600), HopSkipJump(queries=600)])
def test_none_is_nearer_than_the_smallest(moons: NearestNeighbour, exact: Tensor, attack: HardLabel) -> None:
    for bounds in ((-1.0, 2.0), (0.0, 1.0), (-torch.inf, torch.inf)):
        result = attack(moons, moons.x.clamp(*bounds), moons.y, bounds=bounds)
        assert result.success.all()
        assert torch.equal(moons(result.x) != moons.y, result.success)
        assert (result.distance >= exact - 1e-6).all()
        assert (result.distance / exact).median() < 1.6
