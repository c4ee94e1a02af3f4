"""Near pairs against brute force, and the distance chosen for a mean degree against counting."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from aal.flips import near_pairs as module
from aal.flips.near_pairs import Distance, gamma_for, near_pairs, pair_distances
from aal.seeds import generator

NORMS: tuple[Distance, ...] = ("l2", "linf")
BLOCKS = [(256, 1024), (16, 64), (7, 13), (200, 1)]
every_norm = pytest.mark.parametrize("norm", NORMS)


def drawn(kind: str, n: int = 90, dimensions: int = 150) -> Tensor:
    """Return points ``(n, dimensions)``, more than the coordinates between two looks at what is left."""
    g = generator(0, kind)
    x = torch.rand(n, dimensions, generator=g)
    x[n // 2 :] = 0.9 * x[: n - n // 2] + 0.1 * x[n // 2 :]  # some nearer to each other
    return {"uniform": x, "8 bits": x.mul(255).round() / 255, "far off": x.double() * 1e-3 - 40}[kind]


def brute_force(x: Tensor, norm: Distance) -> Tensor:
    """Return all distances ``(N, N)``, in float64 by differences."""
    p, x = (2.0 if norm == "l2" else math.inf), x.double()
    return torch.cdist(x, x, p=p, compute_mode="donot_use_mm_for_euclid_dist")


def as_matrix(pairs: tuple[Tensor, Tensor], n: int) -> Tensor:
    """Return which pairs there are, ``(n, n)``; each pair once."""
    i, j = (part.long() for part in pairs)
    assert len({*zip(i.tolist(), j.tolist(), strict=True)}) == len(i)
    return torch.zeros(n, n, dtype=torch.bool).index_put((i, j), torch.tensor(True))


@pytest.mark.slow
@every_norm
@pytest.mark.parametrize("kind", ["uniform", "8 bits", "far off"])
@pytest.mark.parametrize("block", BLOCKS)
def test_pairs_are_those_of_brute_force(norm: Distance, kind: str, block: tuple[int, int]) -> None:
    x = drawn(kind)
    before, apart = x.clone(), brute_force(x, norm)
    sorted_ = apart[torch.ones_like(apart).triu(1).bool()].sort().values
    for share in (0.0, 0.002, 0.05, 0.5, 0.99):
        k = int(share * len(sorted_))
        # in L-inf nothing is summed, so that even the distance itself is exact
        gamma = float(sorted_[k]) if norm == "linf" else float(sorted_[k] + sorted_[k + 1]) / 2
        wanted = (apart <= gamma).triu(1)
        assert torch.equal(as_matrix(near_pairs(x, gamma, norm, block), len(x)), wanted)
        assert k <= wanted.sum() < len(sorted_)
    assert torch.equal(x, before)


@every_norm
def test_no_pair_and_every_pair(norm: Distance) -> None:
    x = drawn("8 bits")
    n, apart = len(x), brute_force(x, norm)
    least = float(apart[apart > 0].min())
    assert not len(near_pairs(x, 0.0, norm)[0])
    assert not len(near_pairs(x, 0.999 * least, norm)[0])
    for gamma in (float(apart.max()) * 1.001, 1e200):
        assert len(near_pairs(x, gamma, norm)[0]) == n * (n - 1) // 2
    assert len(near_pairs(x[:1].repeat(5, 1), 0.0, norm)[0]) == 10  # the same point again and again
    assert not len(near_pairs(x[:1], 1.0, norm)[0])


@every_norm
def test_points_that_are_not_finite_are_refused(norm: Distance) -> None:
    for wrong in (torch.nan, torch.inf):
        x = drawn("uniform")
        x[3, 4] = wrong
        with pytest.raises(ValueError, match="finite"):
            near_pairs(x, 1.0, norm)


@every_norm
def test_memory_is_that_of_blocks_points_and_pairs(norm: Distance) -> None:
    x = drawn("uniform", n=1000, dimensions=70)

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
            result = func(*args, **(kwargs or {}))
            parts = result if isinstance(result, tuple | list) else [result]
            own = [part.numel() for part in parts if isinstance(part, Tensor)]
            self.elements = max([self.elements, *own])
            return result

    with Largest() as largest:
        pairs = near_pairs(x, float(brute_force(x[:200], norm).quantile(0.02)), norm, (32, 64))
    assert 1000 < len(pairs[0]) < x.numel()
    assert largest.elements <= max(x.numel(), module.ELEMENTS)  # all pairs would be a million


def test_distances_are_those_of_the_pairs() -> None:
    x, (i, j) = drawn("uniform"), torch.randint(90, (2, 3000), generator=generator(0, "pairs"))
    for norm in NORMS:
        torch.testing.assert_close(pair_distances(x, i, j, norm), brute_force(x, norm)[i, j], rtol=1e-14, atol=0)


@every_norm
@pytest.mark.parametrize("neighbours", [0.1, 3.0, 20.0, 1e6])
def test_gamma_is_the_least_distance_with_as_many_neighbours(norm: Distance, neighbours: float) -> None:
    x, labels = drawn("uniform"), torch.arange(90) % 2 + (torch.arange(90) > 80) * 5
    gamma = gamma_for(neighbours, x, labels, norm, generator(0, "gamma"))
    apart = brute_force(x, norm) * (1 + 1e-14)  # sums may be of another order
    within = (labels[:, None] == labels) & ~torch.eye(90, dtype=torch.bool)
    wanted = min(neighbours * 90, int(within.sum()))
    assert (apart[within] <= gamma * (1 + 1e-13)).sum() >= wanted - 1e-6
    assert (apart[within] < gamma * (1 - 1e-13)).sum() < wanted


@every_norm
def test_gamma_of_many_points_is_about_that(norm: Distance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 1000)
    x, labels = drawn("uniform", n=400, dimensions=5), (torch.arange(400) > 250).long()
    within = (labels[:, None] == labels) & ~torch.eye(400, dtype=torch.bool)
    degrees = []
    for k in range(20):
        gamma = gamma_for(20.0, x, labels, norm, generator(0, "gamma", k))
        degrees.append(float(((brute_force(x, norm) <= gamma) & within).sum() / 400))
    assert len(set(degrees)) > 1
    assert sum(degrees) / 20 == pytest.approx(
        20.0, rel=0.1
    )  # of 1,000 pairs about 96 are as near: one draw is off by 10%


def test_gamma_for_more_neighbours_than_there_are_takes_in_all() -> None:
    x = drawn("uniform")
    labels = torch.zeros(len(x), dtype=torch.int64)
    for neighbours in (1e6, 1e308):
        assert gamma_for(neighbours, x, labels, "l2", generator(0, "pairs")) == pytest.approx(
            float(brute_force(x, "l2").max())
        )


def test_gamma_without_pairs_is_nothing() -> None:
    assert gamma_for(10.0, torch.rand(3, 4), torch.arange(3), "l2", generator(0, "gamma")) == 0.0


def test_gamma_counts_the_pairs_of_all_classes_together() -> None:
    """Three points of one class, two of another: four pairs, each of which gives two of five points a neighbour."""
    x = torch.tensor([[0.0], [1.0], [3.0], [100.0], [107.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    found = [gamma_for(n, x, labels, "l2", generator(0, "x")) for n in (0.4, 0.8, 1.2, 1.6)]
    assert found == [1, 2, 3, 7]
