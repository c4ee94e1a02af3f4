"""The class-graph of a training set, and what is chosen from it: a dominating set, colours two steps apart."""

from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from aal.flips.near_pairs import BLOCK, Distance, near_pairs

TIE = 1e-6  # share by which distances that are equal but for rounding may differ


@dataclass(frozen=True)
class Graph:
    """An undirected graph.

    Attributes:
        matrix: Which vertices are neighbours, bool ``(N, N)``, symmetric, the columns of each row ascending.
    """

    matrix: csr_array

    @classmethod
    def of(cls, vertices: int, i: Tensor, j: Tensor) -> "Graph":
        """Return the graph with edges between vertices ``i`` and ``j`` ``(E,)``, each edge given once."""
        half = coo_array((np.ones(len(i), dtype=bool), (i.numpy(), j.numpy())), shape=(vertices, vertices)).tocsr()
        return cls((half + half.T).tocsr().sorted_indices())

    @property
    def vertices(self) -> int:
        """Their number N."""
        return int(self.matrix.shape[0])

    @property
    def edges(self) -> int:
        """Their number E."""
        return int(self.matrix.nnz) // 2

    @property
    def degrees(self) -> Tensor:
        """How many neighbours each vertex has, int64 ``(N,)``."""
        return torch.from_numpy(self.matrix.indptr.astype(np.int64)).diff()

    @property
    def neighbours(self) -> Tensor:
        """The neighbours of each vertex, one vertex after the other, int64 ``(2E,)``: an edge stands at both ends."""
        return torch.from_numpy(self.matrix.indices.astype(np.int64))

    def around(self, vertices: Tensor) -> Tensor:
        """Return the neighbours of vertices ``(V,)``, one vertex after the other, int64 ``(sum of degrees,)``."""
        return Graph(self.matrix[vertices.numpy()]).neighbours

    def share_dominated(self, chosen: Tensor) -> float:
        """Return the share of the vertices that are among ``chosen`` ``(B,)`` or next to one of them."""
        return len(torch.cat([chosen, self.around(chosen)]).unique()) / self.vertices


def class_graph(points: Tensor, labels: Tensor, gamma: float, norm: Distance, block: tuple[int, int] = BLOCK) -> Graph:
    """Return the class-graph: points of the same class that are no farther apart than ``gamma`` are neighbours.

    A millionth more counts as no farther: samples are rounded, and what is 51/255 apart shall be within 0.2. Memory:
    the points, the edges, and a block of pairs. Source: paper *noise*, Definition 1.

    Args:
        points: Points ``(N, D)`` on the CPU, finite.
        labels: Their classes ``(N,)``.
        gamma: The distance, in the units of the points, at least 0.
        norm: ``l2`` or ``linf``.
        block: Rows and columns of a block of pairs.

    Raises:
        ValueError: A coordinate is NaN or infinite.
    """
    ends: tuple[list[Tensor], list[Tensor]] = ([], [])
    for label in labels.unique():
        places = (labels == label).nonzero()[:, 0]
        for end, within in zip(ends, near_pairs(points[places], gamma * (1 + TIE), norm, block), strict=True):
            end.append(places.int()[within])
    return Graph.of(len(points), torch.cat(ends[0]), torch.cat(ends[1]))


def dominating(graph: Graph, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Choose vertices that dominate as many others as possible: each the one that dominates most that none does yet.

    Of all sets that dominate the whole graph, the one that this gives is at most ``log(Delta) + 2`` times as large as
    the smallest, where Delta is the largest degree.

    Source: paper *noise*, Algorithm 4. As printed, it takes from U before it adds to D, which then stays empty, so that
    only vertices that nothing dominates yet could be chosen, and the bound would not hold; here D has what was
    dominated, as the bound's proof has it. Where everything is dominated and there is budget left it begins anew with
    the vertices that were not chosen; the paper ends there.

    Args:
        graph: The graph.
        n: How many to choose, at most its vertices.
        generator: Decides among equal ones.

    Returns:
        The vertices in the order of choice, and how many each dominated that none did before, int64 ``(n,)`` each.
    """
    chance = torch.randperm(graph.vertices, generator=generator)
    left = torch.ones(graph.vertices, dtype=torch.bool)  # not chosen
    bare = left.clone()  # not dominated
    matrix = graph.matrix.astype(np.int64)
    chosen, gained = torch.empty(n, dtype=torch.int64), torch.empty(n, dtype=torch.int64)
    for k in range(n):
        if not bare.any():
            bare = left.clone()
        gains = torch.from_numpy(matrix @ bare.long().numpy()) + bare  # vertices that each would dominate
        best = torch.where(left, gains * graph.vertices + chance, -1).argmax()
        chosen[k], gained[k] = best, gains[best]
        left[best] = bare[best] = False
        bare[graph.around(best[None])] = False
    return chosen, gained


def colours_two_apart(graph: Graph) -> Tensor:
    """Colour the vertices so that neighbours have different colours, and second neighbours too.

    Each vertex in turn gets the first colour that is free, those of the highest degree first. Memory: a bit a vertex
    and colour. Source: paper *noise*, section 6.2, which leaves open how.

    Args:
        graph: The graph.

    Returns:
        The colours, from 0, int64 ``(N,)``.
    """
    colours = torch.zeros(graph.vertices, dtype=torch.int64)
    neighbours = graph.neighbours.split(graph.degrees.tolist())
    used = [0] * graph.vertices  # colours of each vertex and its neighbours, as the bits of a number
    for vertex in graph.degrees.argsort(descending=True, stable=True).tolist():
        around = [vertex, *neighbours[vertex].tolist()]
        taken = reduce(or_, (used[other] for other in around))
        free = ~taken & (taken + 1)  # the lowest
        for other in around:
            used[other] |= free
        colours[vertex] = free.bit_length() - 1
    return colours
