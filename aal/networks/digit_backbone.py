"""A small convolutional backbone for 8x8 digits, pre-trained on MNIST: it ships with the package."""

from pathlib import Path

import torch
from torch import Tensor, nn

from aal.networks.base import Backbone
from aal.networks.resize import area
from aal.networks.weights import load_weights

SHIPPED = Path(__file__).parent / "weights" / "digit_backbone.safetensors"
"""Written by ``scripts/pretrain_backbone.py``; the model card lies beside it."""

SIZE = 8
MEAN, DEVIATION = 0.3, 0.37


class DigitBackbone(Backbone):
    """Two convolutions and a dense layer of rectified features; no batch norm, so a sample's features are its own.

    Args:
        weights: ``"shipped"`` for the pre-trained weights in the package, ``"none"`` for random ones, else the path of
            a weight file.

    Raises:
        UserError: The weight file is missing, damaged or of another network.
    """

    feature_size = 64

    def __init__(self, weights: str = "shipped") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1)
        self.dense = nn.Linear(64 * (SIZE // 2) ** 2, self.feature_size)
        if weights != "none":
            load_weights(self, SHIPPED if weights == "shipped" else weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map gray images ``(B, 1, H, W)`` in [0, 1], ink bright, to features ``(B, 64)``, none below 0.

        Images of another size are area-averaged to 8x8, as the digits themselves were made.
        """
        if x.shape[-2:] != (SIZE, SIZE):
            x = area(x.shape[-2], SIZE, x) @ x @ area(x.shape[-1], SIZE, x).T
        x = self.conv2(self.conv1((x - MEAN) / DEVIATION).relu()).relu()
        return torch.relu(self.dense(x.flatten(1)))
