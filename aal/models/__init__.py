"""LightningModules that active learning trains."""

from aal.models.classifier import Classifier
from aal.models.conv import ConvClassifier
from aal.models.transfer import TransferClassifier

__all__ = ["Classifier", "ConvClassifier", "TransferClassifier"]
