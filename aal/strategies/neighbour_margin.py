"""Neighbour margin: the candidates with the nearest neighbour that is classified otherwise."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from aal.checks import at_least
from aal.errors import UserError
from aal.strategies.base import KEY, Selection, Strategy, lowest, refuse_nan
from aal.strategies.distances import faults, nearest
from aal.strategies.view import View

SPACES = ("samples", "features", "logits")


@dataclass(frozen=True)
class NeighbourMargin(Strategy):
    """Query the smallest distance to a sample of another predicted class.

    Neighbours are the candidates of a random subset and the labelled samples, each with the class that is predicted
    for it. Where all are of one predicted class, distances are infinite and the lowest indices are taken.

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
    space: Literal["samples", "features", "logits"] = "samples"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.subset is not None:
            at_least(1, {f"{KEY}.subset": self.subset})
        if self.space not in SPACES:
            raise UserError(f"{KEY}.space: must be one of {', '.join(SPACES)}, got {self.space!r}")

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of smallest distance from a random subset, at least as large as ``n``."""
        view = view.among(None if self.subset is None else max(self.subset, n), generator)
        logits, points = view.logits.cpu(), self._points(view, view.candidates)
        indices = view.candidates
        if len(view.labelled):
            logits = torch.cat([logits, view.labelled_logits.cpu()])
            points = torch.cat([points, self._points(view, view.labelled)])
            indices = torch.cat([indices, view.labelled])
        refuse_nan(self, indices, logits)
        refuse_nan(self, indices, faults(points))
        classes, size = logits.argmax(1), len(view.candidates)
        return lowest(self, view, nearest(points[:size], points, (classes[:size], classes)), n)

    def _points(self, view: View, indices: Tensor) -> Tensor:
        """Return samples of the pool in the space, ``(N, ...)`` on the CPU."""
        if self.space == "samples":
            return view.map(view.images, indices).flatten(1).cpu()
        candidates = indices is view.candidates
        if self.space == "features":
            return (view.features if candidates else view.labelled_features).flatten(1).cpu()
        return (view.logits if candidates else view.labelled_logits).cpu()
