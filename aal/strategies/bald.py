"""BALD: the candidates on which networks drawn by dropout are each sure, and disagree."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.checks import FROM_1, FROM_2, or_none, refuse
from aal.models import Classifier, ConvClassifier, TransferClassifier
from aal.models.dropout import dropout_layers
from aal.strategies.base import Selection, Strategy, View, highest


@dataclass(frozen=True)
class BALD(Strategy):
    """Query the highest mutual information of prediction and weights, in nats, in [0, ln C].

    The weights' posterior is that of dropout: each draw is a pass with units dropped as in training. Memory is that of
    a batch's draws and the scores.

    Source: paper *dfal*, section 4.2: 10 draws, a random subset of the unlabelled samples; Houlsby, Huszár, Ghahramani
    and Lengyel, "Bayesian Active Learning for Classification and Preference Learning", Equation 2; by dropout: Gal,
    Islam and Ghahramani, "Deep Bayesian Active Learning with Image Data", section 4. How large the subset is the paper
    does not say.

    Args:
        draws: Networks drawn, at least 2.
        subset: Candidates looked at, drawn anew for each query, but never fewer than it queries; ``null`` for all.

    Raises:
        UserError: Fewer than 2 draws, or a subset below 1; in ``check``, a network that drops no units.
    """

    draws: int = 10
    subset: int | None = 1000
    ranges = Strategy.ranges | {"draws": FROM_2, "subset": or_none(FROM_1)}

    def check(self, module: Classifier) -> None:
        """Refuse a network that drops no units in some round.

        Raises:
            UserError: Says which argument makes it drop some.
        """
        what, remedy = "the network", f"put an nn.Dropout into {type(module).__name__}"
        if isinstance(module, TransferClassifier):
            what, remedy = "a trained part of the network", "set the head's dropout above 0"
        elif isinstance(module, ConvClassifier):
            remedy = "set the network's dropout above 0 (LeNet5, MLP, VGG8 and VGG16 take it)"
        refuse(
            not dropout_layers(module, in_every_round=True), f"draws: BALD needs dropout, and {what} has none; {remedy}"
        )

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose the ``n`` candidates of highest mutual information."""
        some = view.among(self.subset, n, generator)
        return highest(self, some, some.draws(self.draws, generator, information_of), n, generator)


def information_of(probabilities: Tensor) -> Tensor:
    """Return the mutual information, in nats, of prediction and draw: the mean's entropy less the mean entropy.

    It is the sum over classes of ``m - p + p ln(p / m)``, m the mean of p over the draws, on average over them: terms
    of which none is below 0, while those two would cancel where all draws are sure of one class.

    Args:
        probabilities: Of each class under each draw, ``(B, k, C)``, in float64.

    Returns:
        One value a sample ``(B,)``, at least 0.
    """
    mean = probabilities.mean(1, keepdim=True)
    ratios = probabilities / mean.clamp_min(torch.finfo(probabilities.dtype).tiny)
    return (torch.xlogy(probabilities, ratios) - probabilities + mean).sum(-1).mean(1).clamp_min(0)
