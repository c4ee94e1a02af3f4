"""CIFAR-10: 60,000 small colour images in the published Python batches."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.downloads import fetch, read_whole, unpack
from aal.datamodules.published import Published, choose, members
from aal.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": datasets.CIFAR10.train_list, "test": datasets.CIFAR10.test_list}  # names and md5
ARCHIVE = datasets.CIFAR10.filename
# All that a batch needs to be rebuilt from its pickle: arrays of bytes, under the names that NumPy has had for them.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class CIFAR10(Published):
    """Colour images of ten classes, ``(3, 32, 32)``: 50,000 in the training and 10,000 in the test part.

    The files lie in ``root/cifar-10-batches-py``. Paper *robust*, Table II, is ``classes: [airplane, frog]``,
    ``limit: 1667`` and ``test: published``: a pool of 3,001, 333 of the attacker, and 2,000 test images.
    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Args:
        classes: Which classes, in the order of their labels; ``null`` for all ten.
        checksums: Whether the files must be, bit for bit, those that were published.
        options: Arguments of :class:`Published`.

    Raises:
        UserError: No such class, one named twice, or fewer than two.
    """

    classes: tuple[str, ...]
    sample_shape = (3, 32, 32)
    source = datasets.CIFAR10.url

    def __init__(self, classes: list[str] | None = None, checksums: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.classes = choose(classes, CLASSES, "classes")
        self.num_classes, self.checksums = len(self.classes), checksums

    def files(self, part: str) -> tuple[str, ...]:
        """Return the batches of a part."""
        return tuple(f"{datasets.CIFAR10.base_folder}/{name}" for name, _ in BATCHES[part])

    def fetch(self) -> None:
        """Fetch and unpack the archive, if a batch is missing."""
        root, files = Path(self.root), [file for part in self.parts for file in self.files(part)]
        if not all((root / file).exists() for file in files):
            fetch(self.source, root / ARCHIVE, f"md5:{datasets.CIFAR10.tgz_md5}")
            unpack(root / ARCHIVE, root, only=files)

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a part."""
        pixels, labels = [], []
        for file, (_, md5) in zip(self.files(part), BATCHES[part], strict=True):
            path = Path(self.root) / file
            batch = _batch(path, read_whole(path, f"md5:{md5}" if self.checksums else None))
            pixels.append(batch[0])
            labels.append(batch[1])
        indices, targets = members(torch.cat(labels), [CLASSES.index(name) for name in self.classes])
        used = self.drawn(targets, part)
        sources = Sources.rows(self.files(part), [len(each) for each in labels], indices[used])
        return ImageSamples(torch.cat(pixels)[indices[used]], sources), targets[used]


class _Arrays(pickle.Unpickler):
    """An unpickler that makes arrays, and plain Python values, but nothing else."""

    def find_class(self, module: str, name: str) -> object:
        """Refuse whatever a batch does not need."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _batch(path: Path, content: bytes) -> tuple[Tensor, Tensor]:
    """Return the images ``(N, 3, 32, 32)`` and labels ``(N,)`` of a batch."""
    try:
        batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[b"labels"])
    except Exception as error:  # damaged pickles fail in every way there is
        raise UserError(f"{path}: truncated, or not a batch of CIFAR-10 ({type(error).__name__}: {error})") from None
    if not (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and labels.ndim == 1
        and pixels.shape == (len(labels), 3 * 32 * 32)
        and labels.dtype == np.int64
        and np.isin(labels, range(10)).all()
    ):
        raise UserError(f"{path}: not a batch of CIFAR-10: it needs rows of 3,072 bytes and one of ten labels for each")
    return torch.from_numpy(pixels.reshape(-1, 3, 32, 32)), torch.from_numpy(labels)
