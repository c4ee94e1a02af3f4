"""LightningModules that active learning trains."""

from aal.models.choosing_classifier import ChoosingClassifier
from aal.models.classifier import Classifier, holding
from aal.models.conv_classifier import ConvClassifier
from aal.models.instance_classifier import InstanceClassifier
from aal.models.soft_knn_classifier import SoftKNNClassifier
from aal.models.transfer_classifier import TransferClassifier

__all__ = [
    "ChoosingClassifier",
    "Classifier",
    "ConvClassifier",
    "InstanceClassifier",
    "SoftKNNClassifier",
    "TransferClassifier",
    "holding",
]
