"""Spaces in which strategies measure distances, and the points that samples are in them."""

from typing import Literal

from torch import Tensor

from aal.strategies.base import Strategy, View, refuse_nan
from aal.strategies.distances import faults

Space = Literal["samples", "features", "logits"]


def points_in(strategy: Strategy, view: View, space: Space) -> tuple[Tensor, Tensor]:
    """Return the candidates ``(U, D)`` and the labelled samples ``(L, D)`` as points of a space, on the CPU.

    Args:
        strategy: What asks.
        view: What it was given.
        space: ``samples``, the samples themselves, all of which are then in memory; ``features``, the inputs of the
            last layer; or ``logits``.

    Raises:
        RunStopped: A coordinate is not finite; the message names the strategy and the first such index.
    """

    def points(indices: Tensor, named: str) -> Tensor:
        found: Tensor = view.map(view.images, indices) if space == "samples" else getattr(view, named)
        return found.flatten(1).cpu()

    candidates = points(view.candidates, space)
    labelled = points(view.labelled, f"labelled_{space}") if len(view.labelled) else candidates[:0]
    for indices, x in ((view.candidates, candidates), (view.labelled, labelled)):
        refuse_nan(strategy, indices, faults(x))
    return candidates, labelled
