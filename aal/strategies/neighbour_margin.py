"""Neighbour margin: the candidates with the nearest neighbour that is classified otherwise."""

from dataclasses import dataclass
from functools import partial

import torch

from aal.checks import FROM_1, one_of, or_none
from aal.distances import nearest
from aal.strategies.base import Selection, Space, Strategy, View, lowest, points_in, refuse_nan


@dataclass(frozen=True)
class NeighbourMargin(Strategy):
    """Query the smallest distance to a sample of another predicted class.

    Neighbours are the candidates of a random subset and the labelled samples, each with the class that is predicted
    for it. Where all are of one predicted class, distances are infinite and chance decides.

    Source: paper *dfal*, section 3.1 and Figure 1(b): the coarse stand-in for the distance to a decision boundary that
    DFAL improves on.

    Args:
        subset: How many candidates to look at, drawn at random; ``null`` for all.
        space: Where distances are Euclidean: the ``samples`` themselves, all of which are then in memory; ``features``,
            the input of the last layer; or ``logits``.

    Raises:
        UserError: A subset below 1; an unknown space.
    """

    subset: int | None = 1000
    space: Space = "samples"
    ranges = Strategy.ranges | {
        "subset": or_none(FROM_1),
        "space": partial(one_of, ("samples", "features", "logits")),
    }

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of smallest distance from a random subset, at least as large as ``n``."""
        view = view.among(self.subset, n, generator)
        logits = view.logits.cpu()
        if len(view.labelled):
            logits = torch.cat([logits, view.labelled_logits.cpu()])
        classes = refuse_nan(self, torch.cat([view.candidates, view.labelled]), logits).argmax(1)
        points, labelled = points_in(self, view, self.space)
        return lowest(
            self, view, nearest(points, torch.cat([points, labelled]), (classes[: len(points)], classes)), n, generator
        )
