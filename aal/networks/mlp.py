"""A perceptron of any widths and activation, for samples of any shape."""

import math
from collections.abc import Sequence

from torch import nn

from aal.checks import at_least, below_one


class MLP(nn.Sequential):
    """Dense layers, from samples ``(B, *sample_shape)``, flattened, to logits ``(B, C)``.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        widths: Units of each hidden layer; empty for a linear classifier.
        activation: What follows each hidden layer: a class such as ``torch.nn.Tanh`` that is built without arguments.
        dropout: Share of units dropped after each hidden layer in training, in [0, 1).
        batch_norm: Whether every hidden layer is followed by a batch norm, before its activation.

    Raises:
        UserError: A width below 1; ``dropout`` outside its range.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        num_classes: int,
        widths: Sequence[int] = (100,),
        activation: type[nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        below_one({"dropout": dropout})
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(sample_shape)
        for width in widths:
            at_least(1, {"widths": width})
            norm = [nn.BatchNorm1d(width)] if batch_norm else []
            layers += [nn.Linear(units, width), *norm, activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
            units = width
        super().__init__(*layers, nn.Linear(units, num_classes))
