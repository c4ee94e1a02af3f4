"""Greedy k-center against float64 brute force on data that float32 cannot tell apart, and against the optimum."""

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from aal import distances
from aal.seeds import generator
from aal.strategies import k_center

KINDS = ("any", "duplicates", "offset", "ties", "far clusters", "all sizes", "float64", "tiny")


def made(kind: str, points: int, centers: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points and centers that make approximate distances go wrong in one way."""
    g = generator(seed, kind)
    x, c = torch.randn(points, size, generator=g), torch.randn(centers, size, generator=g)
    if kind == "duplicates":
        return x[torch.randint(max(1, points // 4), (points,), generator=g)], c
    if kind == "offset":
        return x + 1e4, c + 1e4
    if kind == "ties":
        return x.round(), c.round()
    if kind == "far clusters":
        return 1e-3 * x + 1e3 * (torch.arange(points) % 3)[:, None], 1e-3 * c
    if kind == "all sizes":
        return x * 10 ** (40 * torch.rand(points, 1, generator=g) - 22), c
    if kind == "float64":
        return 1e6 + 1e-4 * x.double(), 1e6 + 1e-4 * c.double()
    if kind == "tiny":
        return 1e-150 * x.double(), 1e-150 * c.double()
    return x, c


def brute_force(points: Tensor, centers: Tensor, n: int) -> tuple[list[int], list[float], float]:
    """Return picks, the distance of each when it was picked, and the radius afterwards, in float64 throughout."""
    x, c = points.double(), centers.double()
    squared = torch.full((len(x),), math.inf, dtype=torch.float64)
    for center in c:
        squared = torch.minimum(squared, (x - center).square().sum(1))
    picks, reached = [], []
    for _ in range(n):
        place = int((squared == squared.max()).nonzero()[0])
        picks.append(place)
        reached.append(math.sqrt(squared[place]))
        squared = torch.minimum(squared, (x - x[place]).square().sum(1))
        squared[picks] = -1
    return picks, reached, math.sqrt(max(0.0, float(squared.max())))


@pytest.mark.slow
@pytest.mark.parametrize("small_blocks", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("points", "centers", "size", "n"), [(150, 20, 12, 20), (40, 0, 3, 40), (1, 2, 1, 1)])
def test_picks_are_those_of_float64_brute_force(
    kind: str, points: int, centers: int, size: int, n: int, small_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small_blocks:  # as if the points did not fit
        for name, value in (("ROWS", 7), ("COLUMNS", 5), ("FEW", 2), ("DIRECT", 40)):
            monkeypatch.setattr(k_center, name, value)
        monkeypatch.setattr(distances, "ELEMENTS", 20)
    for seed in range(2):
        x, c = made(kind, points, centers, size, seed)
        cover = k_center.k_center(x, c, n)
        picks, reached, radius = brute_force(x, c, n)
        assert cover.picks.tolist() == picks
        assert (cover.distances.tolist(), cover.radius) == (reached, radius)


def test_radius_is_at_most_twice_the_least_there_could_be() -> None:
    for seed in range(20):
        x, c = made("any", 10, 2, 2, seed)
        between, given = torch.cdist(x, x), torch.cdist(x, c).amin(1)
        n = 1 + seed % 3
        least = min(
            float(torch.minimum(given, between[:, list(chosen)].amin(1)).max()) for chosen in combinations(range(10), n)
        )
        assert k_center.k_center(x, c, n).radius <= 2 * least * (1 + 1e-6)


def test_the_traversal_looks_at_few_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brute force would need 5,000 x 50 pairs in float64."""
    counted: list[int] = []
    original = k_center.squares_of_pairs

    def counting(points: Tensor, others: Tensor, pairs: tuple[Tensor, Tensor]) -> Tensor:
        counted.append(len(pairs[0]))
        return original(points, others, pairs)

    monkeypatch.setattr(k_center, "squares_of_pairs", counting)
    x, c = made("any", 5000, 20, 32, 0)
    k_center.k_center(x, c, 30)
    assert sum(counted) < 5000


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_points_must_be_finite(bad: float) -> None:
    x, c = made("any", 10, 2, 3, 0)
    x[4, 1] = bad
    with pytest.raises(ValueError, match="points must be finite"):
        k_center.k_center(x, c, 2)
    with pytest.raises(ValueError, match="points must be finite"):
        k_center.k_center(c, x, 1)
