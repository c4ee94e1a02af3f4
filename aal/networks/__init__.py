"""Backbones that turn samples into features, and the dense heads on top of them."""

from aal.networks.backbone import Backbone
from aal.networks.digit_backbone import DigitBackbone
from aal.networks.heads import DenseHead

__all__ = ["Backbone", "DenseHead", "DigitBackbone"]
