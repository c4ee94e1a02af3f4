"""The contract of every oracle: ``label(indices, round) -> (labels, labelers)``."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from aal.checks import kind_of, refuse
from aal.errors import RunStopped

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


def ask(oracle: Oracle, indices: Tensor, classes: int, *, round: int = 0) -> tuple[Tensor, Tensor]:
    """Have an oracle answer a query, and see that it keeps its contract.

    Args:
        oracle: Who is asked.
        indices: The samples ``(n,)``.
        classes: Number of classes C.
        round: The round that will be the first to train on the labels.

    Returns:
        What it answers.

    Raises:
        RunStopped: It does not answer with a class and a labeler a sample; the message names the oracle.
    """
    answers, asked, name = oracle.label(indices.clone(), round=round), kind_of(indices), type(oracle).__name__
    given = tuple(map(kind_of, answers)) if isinstance(answers, tuple | list) else (kind_of(answers),)
    refuse(
        given != (asked, asked),
        f"{name}: must answer {len(indices)} samples with labels and labelers, each {asked}; not {', '.join(given)}",
        RunStopped,
    )
    labels, labelers = answers
    for index, label in zip(indices.tolist(), labels.tolist(), strict=True):
        refuse(
            not 0 <= label < classes, f"{name}: gave index {index} the label {label} of {classes} classes", RunStopped
        )
    return labels, labelers
