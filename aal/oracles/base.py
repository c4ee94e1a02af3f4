"""The contract of every oracle: ``label(indices) -> (labels, labelers)``."""

from torch import Tensor


class Oracle:
    """Answers queries. Simulated oracles are told the truth of the pool first.

    Attributes:
        truth: True label of every index of the pool ``(P,)`` int64.
    """

    truth: Tensor

    def learn_truth(self, truth: Tensor) -> None:
        """Tell the oracle the true labels of the pool ``(P,)``."""
        self.truth = truth

    def label(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Label the samples ``(n,)``; return their labels ``(n,)`` and the number of each one's labeler ``(n,)``."""
        raise NotImplementedError
