"""The contract of every oracle: ``label(indices, round) -> (labels, labelers)``."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

Truth = Callable[[Tensor], Tensor]  # the true labels (n,) of indices (n,)


class Oracle(ABC):
    """Answers queries. Simulated oracles are told how to look up the truth of the pool first.

    Attributes:
        truth: Gives the true labels of indices of the pool. It is a function since an attacker's samples come later.
    """

    truth: Truth

    def prepare(self, truth: Truth, *, num_classes: int, names: tuple[str, ...] | None, seed: int) -> None:
        """Get ready for a run, before anything is crafted or trained.

        Args:
            truth: Gives the true labels ``(n,)`` of indices ``(n,)``.
            num_classes: Number of classes C.
            names: Names of the classes, where they have any.
            seed: The run's seed.

        Raises:
            UserError: The oracle cannot work with these classes.
        """
        self.truth = truth

    @property
    def exhausted(self) -> bool:
        """Whether nobody is left who could answer, which ends a run."""
        return False

    @abstractmethod
    def label(self, indices: Tensor, *, round: int = 0) -> tuple[Tensor, Tensor]:
        """Answer a query.

        Args:
            indices: The samples ``(n,)``.
            round: The round that will be the first to train on the labels; initial ones are of round 0.

        Returns:
            Their labels ``(n,)`` and the number of each one's labeler ``(n,)``.
        """
