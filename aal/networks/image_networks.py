"""Networks for images that are trained end to end: LeNet-5, VGG8 and VGG16, ResNet-18 and ResNet-20."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from aal.checks import at_least, below_one, refuse
from aal.networks.image_backbone import IMAGENET, channelwise
from aal.networks.weights import load_weights

LEAST = 12  # pixels that the two convolutions and two poolings of LeNet-5 leave one of
DENSE = 512  # units of a hidden dense layer of a VGG; ImageNet's 4096 are for a hundred times as many classes


def image_shape(sample_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, height and width.

    Raises:
        UserError: A sample is no image.
    """
    refuse(len(sample_shape) != 3, f"sample_shape: must be an image's (channels, height, width), got {sample_shape}")
    channels, height, width = sample_shape
    return channels, height, width


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
        UserError: The samples are no images, or too small; no class; ``dropout`` outside its range.
    """

    def __init__(
        self, sample_shape: tuple[int, ...] = (1, 28, 28), num_classes: int = 10, dropout: float = 0.0
    ) -> None:
        channels, height, width = image_shape(sample_shape)
        refuse(
            min(height, width) < LEAST,
            f"sample_shape: got {sample_shape}, but LeNet5 takes images of {LEAST}x{LEAST} or more",
        )
        at_least(1, {"num_classes": num_classes})
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


class HeWeights(nn.Module):
    """A network whose weights are first drawn so that a rectified signal keeps its size through all layers.

    torch's own let it die out in 16 layers.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", section 2.2.
    """

    def reset_parameters(self) -> None:
        """Draw the weights of convolutions and dense layers from torch's default generator; biases become 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class VGG(HeWeights):
    """Stages of 3x3 convolutions, each followed by pooling, and three dense layers.

    Pooling keeps a last odd row and column as a cell of their own, so that images of any size go through all stages.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", section 2,
    with dense layers of 512 units.

    Args:
        sample_shape: Channels, height and width of an image.
        num_classes: Number of classes C.
        batch_norm: Whether every convolution is followed by a batch norm.
        dropout: Share of units dropped after each hidden dense layer in training, in [0, 1).

    Attributes:
        stages: Output channels of each stage's convolutions.

    Raises:
        UserError: The samples are no images; no class; ``dropout`` outside its range.
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
        at_least(1, {"num_classes": num_classes})
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

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(B, *sample_shape)`` in [0, 1] to logits ``(B, C)``."""
        return cast(Tensor, self.layers(x))


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


class ResNet18(HeWeights, ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet-18 whose first convolution is 3x3 with stride 1, without the max pooling after it.

    From images ``(B, *sample_shape)`` in [0, 1] to logits ``(B, C)``.

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", Table 1, 18 layers; the stem is
    that of section 4.2, for CIFAR-10.

    Args:
        sample_shape: Channels, height and width of an image.
        num_classes: Number of classes C.

    Raises:
        UserError: The samples are no images; no class.
    """

    def __init__(self, sample_shape: tuple[int, ...] = (3, 32, 32), num_classes: int = 10) -> None:
        channels, _, _ = image_shape(sample_shape)
        at_least(1, {"num_classes": num_classes})
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
        self.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        self.maxpool = nn.Identity()
        self.reset_parameters()


class ResNet20(nn.Module):
    """For CIFAR-10: nine residual blocks in three stages of 16, 32 and 64 channels; shortcuts have no parameters.

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", section 4.2, n = 3, shortcuts of
    option A.

    Args:
        num_classes: Number of classes C.
        weights: ``"none"`` for random weights, else the path of a weight file.

    Raises:
        UserError: No class; the weight file is missing, damaged or of another network.
    """

    def __init__(self, num_classes: int = 10, weights: str = "none") -> None:
        at_least(1, {"num_classes": num_classes})
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = _stage(16, 16), _stage(16, 32), _stage(32, 64)
        self.linear = nn.Linear(64, num_classes)
        self.mean, self.deviation = channelwise(IMAGENET)  # which the published weights expect
        if weights != "none":
            load_weights(self, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map colour images ``(B, 3, 32, 32)`` in [0, 1] to logits ``(B, C)``."""
        x = F.relu(self.bn1(self.conv1((x - self.mean) / self.deviation)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return cast(Tensor, self.linear(x.mean((2, 3))))


class Shortcut(nn.Module):
    """Option A: every second pixel of every second row, and zeros for the channels that are new.

    Args:
        added: Number of channels of zeros on either side.
    """

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C + 2 added, H / 2, W / 2)``."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """Return three blocks; where channels double, the image halves."""
    halved = (2, Shortcut((outputs - inputs) // 2)) if outputs > inputs else (1, None)
    return nn.Sequential(
        BasicBlock(inputs, outputs, *halved), BasicBlock(outputs, outputs), BasicBlock(outputs, outputs)
    )
