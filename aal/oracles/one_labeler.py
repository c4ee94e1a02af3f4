"""One labeler instead of a crowd: who is always right, who errs, or who lies about a class."""

import torch
from torch import Tensor

from aal.checks import probability
from aal.oracles.base import Oracle
from aal.oracles.crowd import Crowd


class Perfect(Oracle):
    """Gives the true label of natural samples and the base's true label of poisons; the labeler is number 0."""

    def label(self, indices: Tensor, *, round: int = 0) -> tuple[Tensor, Tensor]:
        """Label the samples ``(n,)`` truly."""
        return self.truth(indices), torch.zeros_like(indices)


class Noisy(Crowd):
    """One labeler who errs with a fixed probability, evenly over the other classes (paper *robust*, section I.A).

    Args:
        error: Probability of an error, in [0, 1].

    Raises:
        UserError: ``error`` is no probability.
    """

    def __init__(self, error: float = 0.05) -> None:
        super().__init__(honest=1, malicious=0, error=error)


class Malicious(Crowd):
    """One labeler who consistently gives a class another's name (paper *robust*, section I.A).

    Args:
        source: Class that is flipped: a number counts from 0, a text is a name.
        target: Class that is said instead.
        error: Probability of an error about a sample of another class, in [0, 1].

    Raises:
        UserError: ``error`` is no probability; in ``prepare``, classes that there are not, or that are equal.
    """

    def __init__(self, source: str | int, target: str | int, error: float = 0.0) -> None:
        probability({"error": error})
        super().__init__(honest=0, malicious=1, source=source, target=target, malicious_error=error)
