"""Dropout at test time: networks drawn at random from the one that was trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from aal.models.classifier import Classifier
from aal.models.transfer_classifier import TransferClassifier


def dropout_layers(module: Classifier, *, in_every_round: bool = False) -> list[nn.Module]:
    """Return the layers that drop units in training, those of a frozen backbone left out.

    Args:
        module: The classifier.
        in_every_round: Whether a backbone counts as frozen that is so in any round; else in the present one.
    """
    trained: nn.Module = module
    if isinstance(module, TransferClassifier):
        frozen = module.trained_from != 0 if in_every_round else module.encoded
        trained = module.head if frozen else module
    return [layer for layer in trained.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


@contextmanager
def dropping(module: Classifier) -> Iterator[None]:
    """Let a classifier that is otherwise in eval mode drop units as in training."""
    modes = {layer: layer.training for layer in dropout_layers(module)}
    try:
        for layer in modes:
            layer.training = True
        yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode
