"""What a strategy may look at: computed when first asked for, in batches, over all ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from aal.models.classifier import Classifier


@dataclass(frozen=True)
class View:
    """The learner's view of the pool at the end of a round.

    Attributes:
        module: The classifier as trained in this round.
        candidates: Unlabelled indices, ascending, int64 ``(U,)`` on the CPU.
        labelled: Labelled indices, ascending, int64 ``(L,)`` on the CPU.
        inputs: Gives what the classifier takes for indices ``(B,)``: features under a frozen backbone, else samples.
        images: Gives the samples themselves ``(B, ...)`` for indices ``(B,)``.
        map: Applies a function of indices ``(B,)`` to all of ``(N,)``: in eval mode, without gradients, in batches
            and shared out over the ranks.
        record: The columns of this round's record so far.
        budget_left: Labels that may still be asked for.
    """

    module: Classifier
    candidates: Tensor
    labelled: Tensor
    inputs: Callable[[Tensor], Tensor]
    images: Callable[[Tensor], Tensor]
    map: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]
    record: dict[str, Any]
    budget_left: int

    @cached_property
    def logits(self) -> Tensor:
        """Logits of the candidates ``(U, C)``."""
        return self.map(lambda batch: self.module.classify(self.inputs(batch)), self.candidates)

    @cached_property
    def probabilities(self) -> Tensor:
        """Class probabilities of the candidates ``(U, C)``."""
        return self.logits.softmax(-1)

    @cached_property
    def features(self) -> Tensor:
        """Inputs of the classifier's last layer for the candidates ``(U, D)``."""
        return self.map(lambda batch: self.module.embed(self.inputs(batch)), self.candidates)

    @cached_property
    def labelled_features(self) -> Tensor:
        """Inputs of the classifier's last layer for the labelled samples ``(L, D)``."""
        return self.map(lambda batch: self.module.embed(self.inputs(batch)), self.labelled)
