"""A network trained end to end, from the samples, in every round."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from aal.checks import below_one, refuse
from aal.models.classifier import Classifier, dry_run, reset_parameters
from aal.networks.base import take_last


class ConvClassifier(Classifier):
    """A whole network, of which nothing is pre-trained: it is trained on the samples themselves.

    Args:
        network: Builds the network from a sample's shape and the number of classes, such as
            :class:`aal.networks.LeNet5`; its last layer, in order of definition, is an ``nn.Linear`` to the logits.
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample; the CLI takes it from the datamodule.
        learning_rate: The optimizer's step size.
        weight_decay: Its L2 penalty.
        momentum: None for Adam; a number in [0, 1) for stochastic gradient descent with that momentum.

    Raises:
        UserError: The network cannot take samples of this shape, or its last layer is not linear; a ``momentum``
            outside its range.
    """

    def __init__(
        self,
        network: Callable[[tuple[int, ...], int], nn.Module],
        num_classes: int,
        sample_shape: tuple[int, ...],
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float | None = None,
    ) -> None:
        super().__init__(num_classes, learning_rate, weight_decay)
        if momentum is not None:
            below_one({"momentum": momentum})
        self.momentum = momentum
        self.network = network(tuple(sample_shape), num_classes)
        logits = dry_run(self.network, sample_shape, "network")
        self.last_name, self.last = take_last(self.network, (nn.Linear,))
        embedded = dry_run(self.network, sample_shape, "network")
        with torch.no_grad():
            refuse(
                logits.shape != (2, num_classes) or not torch.allclose(self.last(embedded), logits, atol=1e-6),
                f"network: the last nn.Linear of {type(self.network).__name__} must give the logits of {num_classes} "
                "classes",
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` in the data's range to logits ``(B, C)``."""
        return cast(Tensor, self.last(self.network(x)))

    def features(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to the input of the last layer ``(B, D)``."""
        return cast(Tensor, self.network(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam, or stochastic gradient descent where there is a momentum, over the whole network."""
        if self.momentum is None:
            return super().configure_optimizers()
        return torch.optim.SGD(
            self.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def renew(self, generator: torch.Generator) -> None:
        """Draw fresh weights for the whole network, by its own rule for the last layer too where it has one."""
        identity = self.network.get_submodule(self.last_name)
        self.network.set_submodule(self.last_name, self.last)
        try:
            reset_parameters(self.network, generator)
        finally:
            self.network.set_submodule(self.last_name, identity)
