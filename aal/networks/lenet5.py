"""LeNet-5 for images, with rectified units and max pooling."""

from torch import nn

from aal.checks import below_one, refuse
from aal.networks.end_to_end import image_shape

LEAST = 12  # pixels that two convolutions and two poolings leave one of


class LeNet5(nn.Sequential):
    """Two convolutions and three dense layers, from images ``(B, *sample_shape)`` in [0, 1] to logits ``(B, C)``.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", section II.B:
    the sizes of the layers, for ``(1, 28, 28)``. Units are rectified and pooling takes the largest, as is usual today.

    Args:
        sample_shape: Channels, height and width of an image, the latter two at least 12.
        num_classes: Number of classes C.
        dropout: Share of units dropped before each dense layer but the first in training, in [0, 1). The paper has
            none; strategies that draw networks by dropout (BALD) need it.

    Raises:
        UserError: The samples are no images, or too small; ``dropout`` outside its range.
    """

    def __init__(
        self, sample_shape: tuple[int, ...] = (1, 28, 28), num_classes: int = 10, dropout: float = 0.0
    ) -> None:
        channels, height, width = image_shape(sample_shape)
        refuse(
            min(height, width) < LEAST,
            f"sample_shape: got {sample_shape}, but LeNet5 takes images of {LEAST}x{LEAST} or more",
        )
        below_one({"dropout": dropout})
        drop = [nn.Dropout(dropout)] if dropout else []
        super().__init__(
            nn.Conv2d(channels, 6, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2), 120),
            nn.ReLU(),
            *drop,
            nn.Linear(120, 84),
            nn.ReLU(),
            *drop,
            nn.Linear(84, num_classes),
        )
