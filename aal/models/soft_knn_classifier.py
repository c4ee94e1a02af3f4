"""The soft k-nearest-neighbour classifier as a module that learns by taking in its training set."""

from functools import partial

from aal.models.instance_classifier import InstanceClassifier
from aal.networks.soft_knn import SoftKNN


class SoftKNNClassifier(InstanceClassifier):
    """A soft k-NN (paper *noise*, chapter 3).

    Args:
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample; the CLI takes it from the datamodule.
        k: Neighbours that vote.

    Raises:
        UserError: ``k`` below 1; no class.
    """

    def __init__(self, num_classes: int, sample_shape: tuple[int, ...], k: int = 1) -> None:
        super().__init__(partial(SoftKNN, k=k), num_classes, sample_shape)
