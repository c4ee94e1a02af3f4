"""LeNet-5 for gray images of 28x28 pixels, with rectified units and max pooling."""

from torch import nn


class LeNet5(nn.Sequential):
    """Two convolutions and three dense layers, from images ``(B, 1, 28, 28)`` to logits ``(B, C)``.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", section II.B:
    the sizes of the layers. Units are rectified and pooling takes the largest, as is usual today.

    Args:
        num_classes: Number of classes C.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
