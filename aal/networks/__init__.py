"""Backbones that turn samples into features, the dense heads on top of them, and whole classifiers."""

from aal.networks.base import Backbone
from aal.networks.digit_backbone import DigitBackbone
from aal.networks.heads import DenseHead
from aal.networks.image_backbone import ImageBackbone
from aal.networks.image_networks import VGG8, VGG16, LeNet5, ResNet18, ResNet20
from aal.networks.instance_network import InstanceNetwork
from aal.networks.kernel_ridge import KernelRidge
from aal.networks.mlp import MLP, BitHash, HashedMLP
from aal.networks.nadaraya_watson import NadarayaWatson
from aal.networks.named_backbone import NamedBackbone
from aal.networks.nearest_neighbours import NearestNeighbours
from aal.networks.soft_knn import SoftKNN
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
    "InstanceNetwork",
    "KernelRidge",
    "LeNet5",
    "NadarayaWatson",
    "NamedBackbone",
    "NearestNeighbours",
    "ResNet18",
    "ResNet20",
    "SoftKNN",
    "YAMNet",
]
