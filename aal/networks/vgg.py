"""VGG for small images: VGG8 and VGG16."""

from collections.abc import Sequence

from torch import Tensor, nn

from aal.checks import below_one
from aal.networks.end_to_end import he_weights, image_shape

DENSE = 512  # units of a hidden dense layer; ImageNet's 4096 are for a hundred times as many classes


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each followed by pooling, and three dense layers.

    Pooling keeps a last odd row and column as a cell of their own, so that images of any size go through all stages.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", section 2,
    with dense layers of 512 units, and initial weights after He et al., "Delving Deep into Rectifiers".

    Args:
        sample_shape: Channels, height and width of an image.
        num_classes: Number of classes C.
        batch_norm: Whether every convolution is followed by a batch norm.
        dropout: Share of units dropped after each hidden dense layer in training, in [0, 1).

    Attributes:
        stages: Output channels of each stage's convolutions.

    Raises:
        UserError: The samples are no images; ``dropout`` outside its range.
    """

    stages: Sequence[Sequence[int]]

    def __init__(
        self,
        sample_shape: tuple[int, ...] = (3, 32, 32),
        num_classes: int = 10,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape(sample_shape)
        below_one({"dropout": dropout})
        layers: list[nn.Module] = []
        for stage in self.stages:
            for outputs in stage:
                norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
                layers += [nn.Conv2d(channels, outputs, kernel_size=3, padding=1), *norm, nn.ReLU()]
                channels = outputs
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            height, width = -(-height // 2), -(-width // 2)
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            *(nn.Linear(channels * height * width, DENSE), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(DENSE, DENSE), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(DENSE, num_classes),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights that keep the size of what passes through; torch's own let a signal die out in 16 layers."""
        he_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, *sample_shape)`` in [0, 1] to logits ``(B, C)``."""
        logits: Tensor = self.layers(x)
        return logits


class VGG8(VGG):
    """Five convolutions, 64 to 512 channels, with a pooling after each, and three dense layers.

    Papers name it without its layers (Ducoffe and Precioso, "Adversarial Active Learning for Deep Networks", section
    4.1): this is the paper's VGG11 with one convolution a stage. Arguments as of :class:`VGG`.
    """

    stages = ((64,), (128,), (256,), (512,), (512,))


class VGG16(VGG):
    """Thirteen convolutions in five stages (configuration D) and three dense layers.

    Arguments as of :class:`VGG`.
    """

    stages = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
