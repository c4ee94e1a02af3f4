"""ResNet-18 for small images: a stem that keeps their size."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from aal.networks.end_to_end import he_weights, image_shape


class ResNet18(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet-18 whose first convolution is 3x3 with stride 1, without the max pooling after it.

    From images ``(B, *sample_shape)`` in [0, 1] to logits ``(B, C)``.

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", Table 1, 18 layers; the stem is
    that of section 4.2, for CIFAR-10.

    Args:
        sample_shape: Channels, height and width of an image.
        num_classes: Number of classes C.

    Raises:
        UserError: The samples are no images.
    """

    def __init__(self, sample_shape: tuple[int, ...] = (3, 32, 32), num_classes: int = 10) -> None:
        channels, _, _ = image_shape(sample_shape)
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
        self.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        self.maxpool = nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights of convolutions and of the last layer as the paper does."""
        he_weights(self)
