"""BADGE: k-means++ on the gradients that the predicted labels would give the last layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.checks import FROM_1, or_none
from aal.distances import faults
from aal.strategies.base import Selection, Strategy, View, refuse_nan

ROWS = 512  # of the features that are float64 at a time: they stay in the cache


@dataclass(frozen=True)
class BADGE(Strategy):
    """Query the seeds of k-means++ among the gradient embeddings: long gradients, unlike each other.

    A sample's embedding is the gradient of the cross entropy with its predicted label to the weights of the last layer:
    the outer product of ``p - e``, the class probabilities less those of the prediction, and of the layer's input. The
    first seed is drawn uniformly, each further one with a probability in proportion to its squared distance from the
    seeds; once all distances are 0 chance decides.

    Source: Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds", Algorithm 1; Arthur
    and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", section 2.2.

    Args:
        subset: How many candidates to look at, drawn at random; ``null`` for all.

    Raises:
        UserError: A subset below 1.
    """

    subset: int | None = None
    ranges = Strategy.ranges | {"subset": or_none(FROM_1)}

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` seeds from a random subset, at least as large as ``n``."""
        view = view.among(self.subset, n, generator)
        logits = refuse_nan(self, view.candidates, view.logits.cpu().double())
        inputs = view.features.cpu().flatten(1)
        refuse_nan(self, view.candidates, faults(inputs))
        return Selection(view.candidates[seeds(residuals_of(logits), inputs, n, generator)])


def residuals_of(logits: Tensor) -> Tensor:
    """Return ``p - e`` of logits ``(U, C)`` in units of the largest p of a class that is not predicted.

    Thus none vanishes where the classifier is sure of all: seeds are drawn by how long embeddings are beside others.
    """
    predicted = logits.argmax(1, keepdim=True)
    others = logits.log_softmax(1).scatter(1, predicted, -torch.inf)
    others = (others - others.amax()).exp()
    return others.scatter(1, predicted, -others.sum(1, keepdim=True))


def seeds(residuals: Tensor, inputs: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Choose seeds by k-means++ among outer products, which are never formed.

    Args:
        residuals: Their left factors ``(U, C)``, float64.
        inputs: Their right factors ``(U, D)``.
        n: How many, at most ``U``.
        generator: The source of randomness: one draw a seed.

    Returns:
        Places of the seeds ``(n,)``.
    """
    norms = residuals.square().sum(1) * torch.cat([block.double().square().sum(1) for block in inputs.split(ROWS)])
    distances, left = torch.ones_like(norms), torch.ones(len(norms), dtype=torch.bool)
    chosen = torch.empty(n, dtype=torch.int64)
    for k in range(n):
        chosen[k] = place = drawn(distances, left, generator)
        left[place] = False
        new = outer_distances(residuals, inputs, norms, place)
        distances = new if k == 0 else torch.minimum(distances, new)
        distances[~left] = 0.0
    return chosen


def drawn(weights: Tensor, left: Tensor, generator: torch.Generator) -> int:
    """Draw a place with a probability in proportion to its weight.

    Args:
        weights: Weights ``(U,)``, at least 0, float64.
        left: Which places there are, bool ``(U,)``; where all weights are 0 each is as likely.
        generator: The source of randomness: one draw.
    """
    weights = torch.where(weights.any(), weights, left.double())
    total = weights.cumsum(0)
    at = torch.rand((), dtype=torch.float64, generator=generator) * total[-1]
    last = int(weights.nonzero()[-1])  # rounding may bring the draw up to the total
    return min(int(torch.searchsorted(total, at, right=True)), last)


def outer_distances(residuals: Tensor, inputs: Tensor, norms: Tensor, place: int) -> Tensor:
    """Return squared distances of outer products ``a h`` from one of them, ``|ah|^2 + |bk|^2 - 2 (ab) (hk)``.

    What rounding cannot tell from 0 is 0, so that a copy of a seed has no chance.

    Args:
        residuals: Left factors ``(U, C)``, float64.
        inputs: Right factors ``(U, D)``.
        norms: Squared norms of the outer products ``(U,)``, float64.
        place: Which of them.

    Returns:
        The squared distances ``(U,)``, float64.
    """
    toward = inputs[place].double()
    along = torch.cat([block.double() @ toward for block in inputs.split(ROWS)])
    sums = norms + norms[place]
    distances = sums - 2 * (residuals @ residuals[place]) * along
    lost = 4 * (residuals.shape[1] + inputs.shape[1]) * torch.finfo(torch.float64).eps
    return distances.masked_fill(distances <= lost * sums, 0.0)
