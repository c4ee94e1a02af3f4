"""Backbones that turn samples into features, the dense heads on top of them, and whole classifiers."""

from aal.networks.base import Backbone
from aal.networks.bit_hash import BitHash, HashedMLP
from aal.networks.digit_backbone import DigitBackbone
from aal.networks.heads import DenseHead
from aal.networks.image_backbone import ImageBackbone
from aal.networks.lenet5 import LeNet5
from aal.networks.mlp import MLP
from aal.networks.named_backbone import NamedBackbone
from aal.networks.resnet18 import ResNet18
from aal.networks.resnet20 import ResNet20
from aal.networks.soft_knn import SoftKNN
from aal.networks.vgg import VGG8, VGG16
from aal.networks.yamnet import YAMNet

__all__ = [
    "MLP",
    "VGG8",
    "VGG16",
    "Backbone",
    "BitHash",
    "DenseHead",
    "DigitBackbone",
    "HashedMLP",
    "ImageBackbone",
    "LeNet5",
    "NamedBackbone",
    "ResNet18",
    "ResNet20",
    "SoftKNN",
    "YAMNet",
]
