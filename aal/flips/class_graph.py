"""Class graph: flip labels of samples that have many others of their class near to them."""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from aal.checks import FROM_0, FROM_1, one_of, or_none, positive, refuse
from aal.distances import faults, full
from aal.errors import RunStopped
from aal.flips.base import FlipSelector, highest_flips
from aal.flips.flip_view import FlipView
from aal.flips.graphs import Graph, class_graph, dominating
from aal.flips.near_pairs import Distance, gamma_for
from aal.strategies.base import Selection

GraphSpace = Literal["input", "pca", "features"]
BOTH: tuple[GraphSpace, GraphSpace] = ("input", "features")
OF_GRAPHS = FlipSelector.ranges | {
    "norm": partial(one_of, ("l2", "linf")),
    "gamma": or_none(FROM_0),
    "neighbours": positive,
}


@dataclass(frozen=True)
class ClassGraph(FlipSelector):
    """Take the degree of a sample in its class-graph for the density around it, and flip where it is high.

    Samples of the same class are neighbours where they are no farther apart than ``gamma``. A graph without edges, or
    with all of them, tells nothing: chance decides then. Source: paper *noise*, section 6.1.

    Args:
        space: Where distances are measured. ``input``: between the samples. ``pca``: along the principal components of
            all samples whose labels the run may flip. ``features``: between the inputs of the clean classifier's last
            layer. ``both``: twice the budget is chosen among the samples and twice among the features, and what is
            chosen in both is flipped, first that with the best places in both; what is missing is filled up with the
            best of what was chosen in one.
        selection: ``greedy``: the samples with the most neighbours (Algorithm 3). ``dominating``: each sample is the
            one that has the most neighbours that are next to no chosen one yet (Algorithm 4).
        norm: The norm of the distances: ``l2`` or ``linf``.
        gamma: Largest distance of neighbours, in the units of the space; ``null`` for the distance within which
            samples have about ``neighbours`` others. Left ``null`` with ``both``, whose spaces have different units.
        neighbours: How many neighbours samples shall have on average, above 0, where ``gamma`` is ``null``.
        components: Number of principal components, or as many as there are.

    Raises:
        UserError: A value outside its range; a ``gamma`` with ``both``.
    """

    space: Literal["input", "pca", "features", "both"] = "input"
    selection: Literal["greedy", "dominating"] = "greedy"
    norm: Distance = "l2"
    gamma: float | None = None
    neighbours: float = 10.0
    components: int = 50
    ranges = OF_GRAPHS | {
        "components": FROM_1,
        "space": partial(one_of, ("input", "pca", "features", "both")),
        "selection": partial(one_of, ("greedy", "dominating")),
    }

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        super().__post_init__()
        refuse(
            self.space == "both" and self.gamma is not None,
            "gamma: samples and features have different units; with space both, leave it null",
        )

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates by their place in the graph."""
        if self.space != "both":
            return self._within(view, self.space, n, generator)
        size = min(2 * n, len(view.candidates))
        samples, features = (self._within(view, space, size, generator) for space in BOTH)
        points = torch.zeros(len(view.candidates), dtype=torch.float64)
        for part in (samples, features):
            points[torch.searchsorted(view.candidates, part.indices)] += torch.arange(size, 0, -1).double()
        shared = samples.indices[torch.isin(samples.indices, features.indices)]
        points[torch.searchsorted(view.candidates, shared)] += 2 * size  # above all that were chosen in one
        flips = highest_flips(self, view, points, n, generator)
        figures = {f"feature_{name}": figure for name, figure in features.figures.items()}
        figures["in_both"] = float(torch.isin(flips.indices, shared).double().mean())
        return replace(flips, figures={**samples.figures, **figures})

    def _within(self, view: FlipView, space: GraphSpace, n: int, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates by the graph of one space."""
        graph, figures = graph_of(
            self, view, points_of(view, space, self.components), (self.norm, self.gamma, self.neighbours), generator
        )
        if self.selection == "greedy":
            flips = highest_flips(self, view, graph.degrees.double(), n, generator)
        else:
            chosen, gained = dominating(graph, n, generator)
            flips = Selection(view.candidates[chosen], gained.double())
        chosen = torch.searchsorted(view.candidates, flips.indices)
        return replace(flips, figures={**figures, "dominated": graph.share_dominated(chosen)})


def points_of(view: FlipView, space: GraphSpace, components: int) -> Tensor:
    """Return a view's candidates as points of a space, ``(U, D)`` on the CPU.

    Args:
        view: The candidates.
        space: As of :class:`ClassGraph`.
        components: Number of principal components, or as many as there are.
    """
    if space == "input":
        return full(view.images(view.candidates).cpu())
    if space == "features":
        return full(view.features)

    @cache
    def fitted() -> PCA:
        samples = full(view.images(view.clean.indices).cpu())
        return PCA(min(components, *samples.shape), random_state=0).fit(samples.numpy())  # alike where approximated

    def projected(batch: Tensor) -> Tensor:
        low_rank = fitted().transform(full(view.images(batch).cpu()).numpy())
        return torch.from_numpy(low_rank).to(view.module.device)

    return view.measure(f"pca({components})", projected)


def graph_of(
    selector: FlipSelector,
    view: FlipView,
    points: Tensor,
    distance: tuple[Distance, float | None, float],
    generator: torch.Generator,
) -> tuple[Graph, dict[str, float]]:
    """Return the class-graph of a view's candidates, and what is worth recording of it.

    Args:
        selector: Who asks.
        view: The candidates, whose classes count.
        points: Where they are ``(U, D)``.
        distance: Norm, ``gamma`` and ``neighbours``, as of :class:`ClassGraph`.
        generator: The source of randomness.

    Returns:
        The graph; ``gamma``, and the graph's ``edges`` and ``mean_degree``.

    Raises:
        RunStopped: A point is not finite; names the first such index.
    """
    wrong = faults(points).isnan()
    if wrong.any():
        index = int(view.candidates[wrong][0])
        raise RunStopped(f"{type(selector).__name__}: index {index} is no point: not finite; nothing was flipped")
    norm, gamma, neighbours = distance
    if gamma is None:
        gamma = gamma_for(neighbours, points, view.labels, norm, generator)
    graph = class_graph(points, view.labels, gamma, norm)
    return graph, {"gamma": gamma, "edges": graph.edges, "mean_degree": float(graph.degrees.double().mean())}
