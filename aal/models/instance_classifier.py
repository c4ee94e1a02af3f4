"""Classifiers whose training is to take in the training set."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.checks import refuse
from aal.models.classifier import Classifier, dry_run
from aal.networks.instance_network import InstanceNetwork


class InstanceClassifier(Classifier):
    """A network that classifies by its training set: an epoch takes it in, and nothing is descended.

    A round is one epoch. With its first batch the epoch's samples take the place of what was known, and are known from
    then on. They are part of the weights: checkpoints hold them, and fresh weights are none of them.

    Args:
        network: Builds the network from a sample's shape and the number of classes, such as
            :class:`aal.networks.NearestNeighbours`.
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample; the CLI takes it from the datamodule.

    Raises:
        UserError: The network is none that takes in a training set; no class.
    """

    at_once = True

    def __init__(
        self,
        network: Callable[[tuple[int, ...], int], nn.Module],
        num_classes: int,
        sample_shape: tuple[int, ...],
    ) -> None:
        super().__init__(num_classes)
        built = network(tuple(sample_shape), num_classes)
        refuse(
            not isinstance(built, InstanceNetwork),
            f"network: a {type(built).__name__} takes in no training set; ConvClassifier trains it",
        )
        assert isinstance(built, InstanceNetwork)
        dry_run(built, sample_shape, "network")
        self.network = built
        self.automatic_optimization = False  # there is no gradient to follow
        self.unused = nn.Parameter(torch.zeros(()))  # several ranks, and optimizers, insist on having one
        self._first = True  # the next batch is the first of an epoch
        self._batch = 1  # samples of the epoch's largest batch

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to logits ``(B, C)``."""
        logits: Tensor = self.network(x)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to what the network compares: themselves, flattened ``(B, D)``."""
        return x.flatten(1)

    def renew(self, generator: torch.Generator) -> None:
        """Forget the training set."""
        self.network.take_in(self.network.points[:0], self.network.labels[:0])

    @property
    def train_loss(self) -> float:
        """Mean cross entropy over what was taken in, in nats: measured when it is first asked for in an epoch."""
        if self._samples != len(self.network.labels):
            self._loss_sum, self._samples = torch.zeros((), device=self.device), len(self.network.labels)
            known = self.network.points, self.network.labels
            with torch.no_grad():
                for x, labels in zip(*(tensor.split(self._batch) for tensor in known), strict=True):
                    self._loss_sum += F.cross_entropy(self.classify(x), labels, reduction="sum")
        return super().train_loss

    def on_train_epoch_start(self) -> None:
        """Expect another training set."""
        super().on_train_epoch_start()
        self._first, self._batch = True, 1

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Take in a batch of samples ``(B, ...)`` and labels ``(B,)``; return 0, which has a gradient of 0."""
        x, labels = batch
        (self.network.take_in if self._first else self.network.add)(x, labels)
        self._first, self._batch = False, max(self._batch, len(x))
        return 0 * self.unused
