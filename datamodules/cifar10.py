"""CIFAR-10: 60,000 small colour images in the published Python batches."""

import io
import pickle
from pathlib import Path
from types import MappingProxyType

import numpy as np
from torchvision import datasets

from aal.checks import refuse
from aal.datamodules.packed_images import LabelledImages
from aal.errors import UserError

FOLDER = datasets.CIFAR10.base_folder
BATCHES = {"train": datasets.CIFAR10.train_list, "test": datasets.CIFAR10.test_list}  # names and md5
# All that a batch needs to be rebuilt from its pickle: arrays of bytes, under the names that NumPy has had for them.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class CIFAR10(LabelledImages):
    """Colour images of ten classes, ``(3, 32, 32)``: 50,000 in the training and 10,000 in the test part.

    The files lie in ``root/cifar-10-batches-py``. Paper *robust*, Table II, is ``classes: [airplane, frog]``,
    ``limit: 1667`` and ``test: published``: a pool of 3,001, 333 of the attacker, and 2,000 test images.
    Arguments as of :class:`aal.datamodules.packed_images.LabelledImages`.
    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    known = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    sample_shape = (3, 32, 32)
    source = datasets.CIFAR10.url
    archive = (datasets.CIFAR10.filename, f"md5:{datasets.CIFAR10.tgz_md5}")
    digests = MappingProxyType(
        {f"{FOLDER}/{name}": f"md5:{digest}" for batches in BATCHES.values() for name, digest in batches}
    )

    def files(self, part: str) -> tuple[str, ...]:
        """Return the batches of a part."""
        return tuple(f"{FOLDER}/{name}" for name, _ in BATCHES[part])

    def decoded(self, part: str) -> tuple[dict[str, np.typing.NDArray[np.uint8]], np.typing.NDArray[np.int64]]:
        """Return the images of each batch ``(N, 3072)``, and all labels."""
        batches = {file: _batch(Path(self.root) / file, self.content(file)) for file in self.files(part)}
        labels = [labels for _, labels in batches.values()]
        return {file: pixels for file, (pixels, _) in batches.items()}, np.concatenate(labels)


class _Arrays(pickle.Unpickler):
    """An unpickler that makes arrays, and plain Python values, but nothing else."""

    def find_class(self, module: str, name: str) -> object:
        """Refuse whatever a batch does not need."""
        refuse((module, name) not in ALLOWED, f"it asks for {module}.{name}", pickle.UnpicklingError)
        return super().find_class(module, name)


def _batch(path: Path, content: bytes) -> tuple[np.typing.NDArray[np.uint8], np.typing.NDArray[np.int64]]:
    """Return the images ``(N, 3072)`` and labels ``(N,)`` of a batch."""
    try:
        batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"])
    except Exception as error:  # damaged pickles fail in every way there is
        raise UserError(f"{path}: truncated, or not a batch of CIFAR-10 ({type(error).__name__}: {error})") from None
    refuse(
        not (
            isinstance(pixels, np.ndarray)
            and pixels.dtype == np.uint8
            and labels.ndim == 1
            and pixels.shape == (len(labels), 3 * 32 * 32)
            and labels.dtype == np.int64
            and np.isin(labels, range(10)).all()
        ),
        f"{path}: not a batch of CIFAR-10: it needs rows of 3,072 bytes and one of ten labels for each",
    )
    return pixels, labels
