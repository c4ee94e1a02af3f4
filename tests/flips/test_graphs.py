"""Class-graphs, dominating sets and colours against brute force on small graphs."""

import math
from itertools import combinations

import pytest
import torch
from torch import Tensor

from aal.flips.graphs import Graph, class_graph, colours_two_apart, dominating
from aal.flips.near_pairs import Distance
from aal.seeds import generator


def graph_of(matrix: Tensor) -> Graph:
    """Return the graph with these edges, bool ``(N, N)``, of which the upper half counts."""
    return Graph.of(len(matrix), *matrix.triu(1).nonzero(as_tuple=True))


def matrix_of(graph: Graph) -> Tensor:
    """Return which vertices are neighbours, bool ``(N, N)``."""
    matrix = torch.zeros(graph.vertices, graph.vertices, dtype=torch.bool)
    for vertex in range(graph.vertices):
        own = graph.around(torch.tensor([vertex]))
        assert own.tolist() == sorted(set(own.tolist()))
        matrix[vertex, own] = True
    return matrix


def random_matrix(n: int, share: float, k: int) -> Tensor:
    upper = (torch.rand(n, n, generator=generator(0, "graph", n, k)) < share).triu(1)
    return upper | upper.T


def star(leaves: int) -> Tensor:
    matrix = torch.zeros(leaves + 1, leaves + 1, dtype=torch.bool)
    matrix[0, 1:] = matrix[1:, 0] = True
    return matrix


def complete(n: int) -> Tensor:
    return ~torch.eye(n, dtype=torch.bool)


def empty(n: int) -> Tensor:
    return torch.zeros(n, n, dtype=torch.bool)


SMALL = [random_matrix(9, share, k) for share in (0.0, 0.1, 0.25, 0.5, 0.8, 1.0) for k in range(5)] + [star(8)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_a_graph_knows_the_neighbours_of_each_vertex(share: float) -> None:
    matrix = random_matrix(30, share, 0)
    graph = graph_of(matrix)
    assert torch.equal(matrix_of(graph), matrix)
    assert (graph.vertices, graph.edges) == (30, int(matrix.sum()) // 2)
    assert torch.equal(graph.degrees, matrix.sum(1))
    some = torch.tensor([7, 2, 7])
    assert graph.around(some).tolist() == [j for i in some for j in matrix[i].nonzero()[:, 0].tolist()]
    chosen = torch.tensor([3, 11])
    dominated = matrix[chosen].any(0)
    dominated[chosen] = True
    assert graph.share_dominated(chosen) == pytest.approx(float(dominated.double().mean()))


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("block", [(256, 1024), (8, 16), (5, 3)])
def test_a_class_graph_has_the_edges_of_definition_1(norm: Distance, block: tuple[int, int]) -> None:
    x = torch.rand(60, 5, generator=generator(0, "points"))
    labels = torch.randint(3, (60,), generator=generator(0, "labels"))
    apart = torch.cdist(x.double(), x.double(), p=2.0 if norm == "l2" else math.inf)
    gamma = float(apart.quantile(0.3))
    wanted = (apart <= gamma) & (labels[:, None] == labels) & complete(60)
    graph = class_graph(x, labels, gamma, norm, block)
    assert torch.equal(matrix_of(graph), wanted)
    assert 0 < graph.edges < 200


def test_rounding_keeps_no_points_apart() -> None:
    """8 bits, all pairs 51 levels apart: as float32 some are a little more than 0.2, some a little less."""
    x = torch.stack([torch.arange(0, 205, 5), torch.arange(51, 256, 5)], 1).float().div(255)
    apart = (x[:, 0].double() - x[:, 1].double()).abs()
    assert 0 < (apart <= 0.2).sum() < len(x)
    labels = torch.arange(len(x)).repeat_interleave(2)
    assert class_graph(x.reshape(-1, 1), labels, 0.2, "linf").edges == len(x)
    assert class_graph(x.reshape(-1, 1), labels, 50.9 / 255, "linf").edges == 0


@pytest.mark.parametrize("matrix", SMALL)
def test_a_greedy_set_dominates_and_is_nearly_the_smallest(matrix: Tensor) -> None:
    n, closed = len(matrix), matrix | torch.eye(len(matrix), dtype=torch.bool)
    smallest = next(
        size for size in range(1, n + 1) for some in combinations(range(n), size) if closed[list(some)].any(0).all()
    )
    chosen, gained = dominating(graph_of(matrix), n, generator(0, "ties"))
    needed = next(size for size in range(1, n + 1) if closed[chosen[:size]].any(0).all())
    most = int(matrix.sum(1).max())
    assert smallest <= needed <= (math.log(max(most, 1)) + 2) * smallest
    assert gained[:needed].sum() == n
    assert sorted(chosen.tolist()) == list(range(n))


@pytest.mark.parametrize("matrix", [*SMALL, random_matrix(60, 0.05, 0), random_matrix(60, 0.3, 1)])
def test_each_choice_dominates_most_that_is_not_dominated(matrix: Tensor) -> None:
    n, closed = len(matrix), matrix | torch.eye(len(matrix), dtype=torch.bool)
    chosen, gained = dominating(graph_of(matrix), n, generator(0, "ties"))
    left, bare = torch.ones(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    begun_anew = 0
    for vertex, gain in zip(chosen.tolist(), gained.tolist(), strict=True):
        if not bare.any():
            bare, begun_anew = left.clone(), begun_anew + 1
        gains = (closed & bare).sum(1)
        assert gain == gains[vertex] == gains[left].max()
        assert left[vertex]
        left[vertex] = False
        bare &= ~closed[vertex]
    assert begun_anew > 0 or matrix.sum() == 0


def test_a_vertex_that_is_dominated_may_be_chosen_next() -> None:
    """The hub 0 has six neighbours; one of them, 1, has three more of its own that nothing else dominates."""
    matrix = torch.zeros(10, 10, dtype=torch.bool)
    matrix[0, 1:7] = matrix[1, 7:] = True
    chosen, gained = dominating(graph_of(matrix), 2, generator(0, "ties"))
    assert (chosen.tolist(), gained.tolist()) == ([0, 1], [7, 3])


def test_a_smaller_budget_is_the_beginning_of_a_larger_one() -> None:
    graph = graph_of(random_matrix(40, 0.1, 3))
    chosen, _ = dominating(graph, 40, generator(0, "ties"))
    for n in (1, 7, 25):
        assert dominating(graph, n, generator(0, "ties"))[0].tolist() == chosen[:n].tolist()


@pytest.mark.parametrize(
    ("matrix", "gains"), [(~complete(12) & complete(12), [1] * 4), (complete(12), [12, 11, 10, 9])]
)
def test_without_edges_or_with_all_chance_decides(matrix: Tensor, gains: list[int]) -> None:
    drawn = []
    for k in range(30):
        chosen, gained = dominating(graph_of(matrix), 4, generator(0, "ties", k))
        assert gained.tolist() == gains
        drawn.append(tuple(chosen.tolist()))
    assert len(set(drawn)) > 25
    assert {vertex for some in drawn for vertex in some} == set(range(12))


@pytest.mark.parametrize("matrix", [*SMALL, *(random_matrix(80, share, 0) for share in (0.02, 0.1, 0.5))])
def test_vertices_two_steps_apart_have_different_colours(matrix: Tensor) -> None:
    colours = colours_two_apart(graph_of(matrix))
    two = matrix | ((matrix.float() @ matrix.float()) > 0)
    two.fill_diagonal_(False)
    assert not (two & (colours[:, None] == colours)).any()
    assert colours.unique().tolist() == list(range(int(colours.max()) + 1))
    most = int(matrix.sum(1).max())
    assert most + 1 <= int(colours.max()) + 1 <= most**2 + 1


@pytest.mark.parametrize(("matrix", "number"), [(complete(130), 130), (star(70), 71), (empty(5), 1)])
def test_colours_are_as_few_as_closed_forms_have_it(matrix: Tensor, number: int) -> None:
    assert int(colours_two_apart(graph_of(matrix)).max()) + 1 == number


def test_a_long_path_has_three_colours() -> None:
    path = torch.diag(torch.ones(50, dtype=torch.int64), 1).bool()
    assert int(colours_two_apart(graph_of(path)).max()) + 1 in (3, 4, 5)  # 5 is the most that greedy may need
