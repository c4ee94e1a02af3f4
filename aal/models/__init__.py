"""LightningModules that active learning trains."""

from aal.models.classifier import Classifier
from aal.models.transfer import TransferClassifier

__all__ = ["Classifier", "TransferClassifier"]
