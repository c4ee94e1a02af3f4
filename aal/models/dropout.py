"""Dropout at test time: networks drawn at random from the one that was trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from aal.models.classifier import Classifier
from aal.models.transfer import TransferClassifier


def dropout_layers(module: Classifier) -> list[nn.Module]:
    """Return the layers that drop units in training, those of a frozen backbone left out."""
    trained: nn.Module = module.head if isinstance(module, TransferClassifier) and module.encoded else module
    return [layer for layer in trained.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


@contextmanager
def dropping(module: Classifier) -> Iterator[None]:
    """Let a classifier that is otherwise in eval mode drop units as in training."""
    layers = dropout_layers(module)
    try:
        for layer in layers:
            layer.training = True
        yield
    finally:
        for layer in layers:
            layer.training = False
