"""The selector by class-graph: planted clusters, spaces against brute force, and graphs that tell nothing."""

import math

import pytest
import torch
from torch import Tensor, nn

from aal.errors import RunStopped, UserError
from aal.flips import ClassGraph, FlipView
from aal.networks import MLP
from aal.seeds import generator
from tests.flips.views import view_of


class Second(nn.Sequential):
    """Samples of two numbers, the second of which is the feature."""

    def __init__(self, sample_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(nn.Linear(2, 1), nn.Linear(1, num_classes))
        with torch.no_grad():
            self[0].weight.copy_(torch.tensor([[0.0, 1.0]]))
            self[0].bias.zero_()


def clusters(*sizes: int) -> Tensor:
    """Return points ``(N, 2)``: clusters of some sizes, of width 1, 100 apart."""
    g = generator(0, "clusters")
    return torch.cat([torch.rand(size, 2, generator=g) + 100 * k for k, size in enumerate(sizes)])


def of_one_class(x: Tensor, **others: object) -> FlipView:
    return view_of(x, torch.zeros(len(x), dtype=torch.int64), **others)  # type: ignore[arg-type]


def places(view: FlipView, indices: Tensor) -> list[int]:
    return torch.searchsorted(view.candidates, indices).tolist()


def test_greedy_takes_the_densest_cluster_and_dominating_one_of_each() -> None:
    view = of_one_class(clusters(7, 12, 9, 2))
    greedy = ClassGraph(gamma=5.0).select(view, 12, generator=generator(0, "x"))
    assert sorted(places(view, greedy.indices)) == list(range(7, 19))
    assert greedy.scores is not None
    assert greedy.scores.tolist() == [11.0] * 12
    edges = 21 + 66 + 36 + 1
    assert dict(greedy.figures) == pytest.approx(
        {"gamma": 5.0, "edges": edges, "mean_degree": 2 * edges / 30, "dominated": 12 / 30}
    )
    dominating = ClassGraph(gamma=5.0, selection="dominating").select(view, 4, generator=generator(0, "x"))
    chosen = places(view, dominating.indices)
    assert [(7 <= chosen[0] < 19), (19 <= chosen[1] < 28), (chosen[2] < 7), (chosen[3] >= 28)] == [True] * 4
    assert dominating.scores is not None
    assert dominating.scores.tolist() == [12, 9, 7, 2]
    assert dominating.figures["dominated"] == 1


def test_neighbours_are_of_the_same_class() -> None:
    x = torch.zeros(10, 2)
    view = view_of(x, torch.tensor([0] * 6 + [1] * 4))
    flips = ClassGraph(gamma=1.0).select(view, 6, generator=generator(0, "x"))
    assert sorted(places(view, flips.indices)) == list(range(6))
    assert flips.figures["edges"] == 15 + 6


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("space", ["input", "pca", "features"])
def test_degrees_are_those_of_brute_force_in_each_space(norm: str, space: str) -> None:
    g = generator(0, "spaces")
    x = torch.randn(80, 1, 3, 4, generator=g) * torch.tensor([5.0, 1, 2, 0.2])
    labels = torch.arange(80) % 2
    torch.manual_seed(0)
    view = view_of(x, labels, network=MLP).only(labels == 1)
    if space == "input":
        points = x[labels == 1].flatten(1)
    elif space == "features":
        points = view.module.features(x[labels == 1]).detach()
    else:  # of all samples, not of the class alone
        centred = x.flatten(1).double() - x.flatten(1).double().mean(0)
        points = (centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:3].T)[labels == 1]
    apart = torch.cdist(points.double(), points.double(), p=2.0 if norm == "l2" else math.inf)
    levels = apart[apart > 0].unique()
    gamma = float(levels[100] + levels[101]) / 2
    selector = ClassGraph(space=space, norm=norm, gamma=gamma, components=3)  # type: ignore[arg-type]
    flips = selector.select(view, 40, generator=generator(0, "x"))
    degrees = (apart <= gamma).sum(1) - 1
    assert flips.scores is not None
    assert flips.scores.tolist() == degrees[places(view, flips.indices)].tolist()
    assert flips.scores.tolist() == sorted(degrees.tolist(), reverse=True)
    assert degrees.unique().numel() > 3


def test_more_components_than_there_are_lose_nothing() -> None:
    view = of_one_class(clusters(5, 9, 3))
    wanted = ClassGraph(gamma=5.0).select(view, 9, generator=generator(0, "x"))
    found = ClassGraph(gamma=5.0, space="pca", components=50).select(view, 9, generator=generator(0, "x"))
    assert found.indices.tolist() == wanted.indices.tolist()


@pytest.mark.parametrize("neighbours", [2.0, 6.0])
def test_gamma_is_chosen_for_a_mean_degree(neighbours: float) -> None:
    x = torch.rand(100, 3, generator=generator(0, "x"))
    for space in ("input", "pca"):
        selector = ClassGraph(neighbours=neighbours, space=space)  # type: ignore[arg-type]
        flips = selector.select(of_one_class(x, network=MLP), 5, generator=generator(0, "x"))
        assert flips.figures["mean_degree"] == neighbours
        assert flips.figures["edges"] == 50 * neighbours


def two_spaces() -> FlipView:
    """Return 8 samples that are near as samples, 8 whose features are, and 4 near in both; 34 edges in each space."""
    eight, four = torch.arange(8.0), torch.ones(4)
    near = torch.stack([torch.zeros(8), eight], 1)
    alike = torch.stack([1000 + 1000 * eight, torch.full((8,), -50.0)], 1)
    return of_one_class(torch.cat([near, alike, torch.stack([-5000 * four, -20 * four], 1)]), network=Second)


def test_both_takes_first_what_is_chosen_in_both_spaces() -> None:
    view = two_spaces()
    flips = ClassGraph(space="both", neighbours=3.4).select(view, 6, generator=generator(0, "x"))
    chosen = places(view, flips.indices)
    assert set(chosen[:4]) == {16, 17, 18, 19}
    assert sorted(place // 8 for place in chosen[4:]) == [0, 1]  # then the first of either space
    assert flips.figures["in_both"] == pytest.approx(4 / 6)
    assert (flips.figures["edges"], flips.figures["feature_edges"]) == (34, 34)
    assert (flips.figures["gamma"], flips.figures["feature_gamma"]) == (7, 0)
    assert flips.figures["dominated"] == flips.figures["feature_dominated"] == 12 / 20


def test_both_fills_up_with_the_best_of_either_space() -> None:
    """Of 8 in each space none is chosen in both."""
    view = two_spaces()
    for k in range(5):
        flips = ClassGraph(space="both", neighbours=3.4).select(view, 4, generator=generator(0, "x", k))
        assert sorted(place // 8 for place in places(view, flips.indices)) == [0, 0, 1, 1]
        assert flips.figures["in_both"] == 0


@pytest.mark.parametrize("selection", ["greedy", "dominating"])
@pytest.mark.parametrize("n", [3, 20, 30])
def test_both_meets_the_budget(selection: str, n: int) -> None:
    torch.manual_seed(0)
    view = of_one_class(torch.rand(30, 6, generator=generator(0, "x")), network=MLP)
    selector = ClassGraph(space="both", selection=selection)  # type: ignore[arg-type]
    flips = selector.select(view, n, generator=generator(0, "x"))
    assert len(flips.indices.unique()) == n
    assert flips.figures["in_both"] == 1 or n == 3  # two times 20 of 30 are all of them


@pytest.mark.parametrize("selection", ["greedy", "dominating"])
@pytest.mark.parametrize(("gamma", "edges", "dominated"), [(0.0, 0, 3 / 25), (1e9, 300, 1.0)])
def test_without_edges_or_with_all_chance_decides(selection: str, gamma: float, edges: int, dominated: float) -> None:
    view = of_one_class(clusters(25))
    selector = ClassGraph(selection=selection, gamma=gamma)  # type: ignore[arg-type]
    drawn = [selector.select(view, 3, generator=generator(0, "x", k)) for k in range(40)]
    assert all(flips.figures["edges"] == edges for flips in drawn)
    assert all(flips.figures["dominated"] == pytest.approx(dominated) for flips in drawn)
    assert len({index for flips in drawn for index in flips.indices.tolist()}) > 20


def test_a_class_of_one_sample_is_flipped() -> None:
    view = of_one_class(clusters(1))
    for space in ("input", "both"):
        flips = ClassGraph(space=space).select(view, 1, generator=generator(0, "x"))  # type: ignore[arg-type]
        assert flips.indices.tolist() == [0]
        assert flips.figures["edges"] == 0


def test_a_sample_that_is_not_finite_is_named() -> None:
    x = clusters(12)
    x[4, 1] = torch.nan
    with pytest.raises(RunStopped, match=r"^ClassGraph: index 40 is no point: not finite; nothing was flipped$"):
        ClassGraph().select(of_one_class(x), 2, generator=generator(0, "x"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"space": "output"}, "space: must be one of input, pca, features, both, got 'output'"),
        ({"selection": "best"}, "selection: must be one of greedy, dominating, got 'best'"),
        ({"norm": "l1"}, "norm: must be one of l2, linf, got 'l1'"),
        ({"gamma": -1.0}, "gamma: must be at least 0, got -1.0"),
        ({"neighbours": 0.0}, "neighbours: must be above 0, got 0.0"),
        ({"components": 0}, "components: must be at least 1, got 0"),
        (
            {"space": "both", "gamma": 1.0},
            "gamma: samples and features have different units; with space both, leave it null",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        ClassGraph(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == line
