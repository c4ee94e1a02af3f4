"""The soft k-nearest-neighbour classifier as a module that learns by taking in its training set."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.models.classifier import Classifier
from aal.networks.soft_knn import SoftKNN


class SoftKNNClassifier(Classifier):
    """A soft k-NN (paper *noise*, chapter 3): an epoch takes in the training set, and nothing is descended.

    The training set is part of the weights: checkpoints hold it, and fresh weights are none of it.

    Args:
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample; the CLI takes it from the datamodule.
        k: Neighbours that vote.

    Raises:
        UserError: ``k`` below 1; no class.
    """

    def __init__(self, num_classes: int, sample_shape: tuple[int, ...], k: int = 1) -> None:
        super().__init__(num_classes)
        self.network = SoftKNN(tuple(sample_shape), num_classes, k)
        self.automatic_optimization = False  # there is no gradient to follow
        self.unused = nn.Parameter(torch.zeros(()))  # several ranks, and optimizers, insist on having one
        self._taken: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to logits ``(B, C)``."""
        logits: Tensor = self.network(x)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to what neighbours are sought among: themselves, flattened ``(B, D)``."""
        return x.flatten(1)

    def renew(self, generator: torch.Generator) -> None:
        """Forget the training set."""
        self.network.take_in(self.network.points[:0], self.network.labels[:0])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Take in a batch of samples ``(B, ...)`` and labels ``(B,)``; return the mean cross entropy, 0 but at last.

        With the last batch the epoch's samples take the place of what was known, and are classified.
        """
        self._taken.append(batch)
        if self.trainer.is_last_batch:
            x, labels = (torch.cat(parts) for parts in zip(*self._taken, strict=True))
            self.network.take_in(x, labels)
            with torch.no_grad():
                for inputs, own in self._taken:
                    self._loss_sum += F.cross_entropy(self.classify(inputs), own, reduction="sum")
            self._samples = len(labels)
            self._taken = []
        return self._loss_sum / max(self._samples, 1)
