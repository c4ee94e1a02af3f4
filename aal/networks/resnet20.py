"""ResNet-20 for colour images of 32x32 pixels: CIFAR-10's."""

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from aal.networks.image_backbone import IMAGENET, channelwise
from aal.networks.weights import load_weights


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

    def __init__(self, num_classes: int = 10, weights: str = "none") -> None:
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
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


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
