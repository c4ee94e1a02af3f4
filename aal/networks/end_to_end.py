"""What the networks that are trained end to end share: what they ask of their arguments, and initial weights."""

from torch import nn

from aal.checks import refuse


def image_shape(sample_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, height and width.

    Raises:
        UserError: A sample is no image.
    """
    refuse(len(sample_shape) != 3, f"sample_shape: must be an image's (channels, height, width), got {sample_shape}")
    channels, height, width = sample_shape
    return channels, height, width


def he_weights(network: nn.Module) -> None:
    """Draw weights that keep the size of a rectified signal through the layers, from torch's default generator.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", section 2.2. Biases become 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
