"""ResNet-20 for colour images of 32x32 pixels: CIFAR-10's."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.networks.weights import load_weights

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the published weights expect


class ResNet20(nn.Module):
    """Nine residual blocks in three stages of 16, 32 and 64 channels; shortcuts have no parameters.

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", section 4.2, n = 3, shortcuts of
    option A.

    Args:
        num_classes: Number of classes C.
        weights: ``"none"`` for random weights, else the path of a weight file.

    Raises:
        UserError: The weight file is missing, damaged or of another network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_classes: int = 10, weights: str = "none") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16), Block(16, 16), Block(16, 16))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, num_classes)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        if weights != "none":
            load_weights(self, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map colour images ``(B, 3, 32, 32)`` in [0, 1] to logits ``(B, C)``."""
        x = F.relu(self.bn1(self.conv1((x - self.mean) / self.deviation)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two convolutions and a shortcut around them; where channels double, the image halves.

    Args:
        inputs: Number of channels that come in.
        outputs: Number of channels that go out: ``inputs``, or twice as many.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.padding = (outputs - inputs) // 2  # channels of zeros on either side
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(x + y)
