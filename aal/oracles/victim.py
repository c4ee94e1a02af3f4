"""The victim: a model whose labels an adversary asks for, and which counts every query."""

from collections.abc import Callable

import torch
from torch import Tensor

from aal.checks import at_least
from aal.models.classifier import Classifier
from aal.models.fitting import predict
from aal.oracles.base import Oracle

LABELS, ATTACK = "labels", "attack"
"""What queries are for: labels to train on, or an attack that looks for adversarial examples."""


class Victim(Oracle):
    """Answers with the label that a trained model gives a sample (paper *shadow*, section 4: the victim f_v).

    Every query strategy steals the model where this is the oracle. The labeler is number 0.

    Args:
        model: The trained classifier.
        samples: Gives the samples ``(n, ...)`` of indices ``(n,)`` of the adversary's pool.
        batch_size: Samples it looks at together.

    Attributes:
        queries: Samples that it was asked about so far, by what for: ``labels`` and ``attack``.

    Raises:
        UserError: A ``batch_size`` below 1.
    """

    def __init__(self, model: Classifier, samples: Callable[[Tensor], Tensor], batch_size: int = 256) -> None:
        at_least(1, {"batch_size": batch_size})
        self.model, self.samples, self.batch_size = model, samples, batch_size
        self.queries = {LABELS: 0, ATTACK: 0}

    def probabilities(self, x: Tensor, purpose: str = ATTACK) -> Tensor:
        """Return the probabilities ``(B, C)``, float32, of samples ``(B, ...)``, which counts as ``B`` queries.

        They are the softmax of the logits, whatever these are: of k-NN the numbers of votes.
        """
        return self.logits(x, purpose).double().softmax(1).float().to(x.device)

    def predict(self, x: Tensor, purpose: str = ATTACK) -> Tensor:
        """Return the labels ``(B,)`` of samples ``(B, ...)``, which counts as ``B`` queries."""
        return self.logits(x, purpose).argmax(1).to(x.device)

    def logits(self, x: Tensor, purpose: str = ATTACK) -> Tensor:
        """Return the logits ``(B, C)`` of samples ``(B, ...)``, which counts as ``B`` queries."""
        self.queries[purpose] += len(x)
        return predict(self.model, x, self.batch_size)

    def answers(self, indices: Tensor) -> Tensor:
        """Return the labels ``(n,)`` of indices ``(n,)`` of the pool, which counts as ``n`` queries for labels."""
        return self.predict(self.samples(indices), LABELS)

    def label(self, indices: Tensor, *, round: int = 0) -> tuple[Tensor, Tensor]:
        """Label the samples ``(n,)`` as the model does."""
        return self.answers(indices), torch.zeros_like(indices)
