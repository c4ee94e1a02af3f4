"""MNIST: 70,000 handwritten digits in the four published idx files."""

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.downloads import REPAIR, fetch, read_whole, refuse_altered
from aal.datamodules.published import Published, choose, members
from aal.errors import UserError

FOLDER = "MNIST/raw"
# The decompressed files; the .gz around them differ from mirror to mirror.
CHECKSUMS = {
    "train-images-idx3-ubyte": "md5:6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "md5:a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "md5:2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "md5:27ae3e4e09519cfbb04c329615203637",
}
IMAGES, LABELS = 0x803, 0x801  # magic numbers: unsigned bytes in three dimensions and in one


class MNIST(Published):
    """Handwritten digits, ``(1, 28, 28)``: 60,000 in the training and 10,000 in the test part.

    The files lie in ``root/MNIST/raw``, compressed as they are published (``.gz``) or not.
    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".

    Args:
        digits: Which digits, in the order of their labels; ``null`` for all ten.
        checksums: Whether the files must be, bit for bit, those that were published.
        options: Arguments of :class:`Published`.

    Raises:
        UserError: No such digit, one named twice, or fewer than two.
    """

    sample_shape = (1, 28, 28)
    source = datasets.MNIST.mirrors[0]

    def __init__(self, digits: list[int] | None = None, checksums: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.digits = choose(digits, range(10), "digits")
        self.classes, self.num_classes = tuple(map(str, self.digits)), len(self.digits)
        self.checksums = checksums

    def files(self, part: str) -> tuple[str, str]:
        """Return the file of the images and the file of the labels: the one without ``.gz`` where there are both."""
        prefix = f"{FOLDER}/{'train' if part == 'train' else 't10k'}"
        images, labels = (f"{prefix}-{content}-ubyte" for content in ("images-idx3", "labels-idx1"))
        return self._found(images), self._found(labels)

    def fetch(self) -> None:
        """Fetch the files that are missing."""
        published = dict(datasets.MNIST.resources)
        for part in self.parts:
            for file in self.files(part):
                path = Path(self.root) / file
                if not path.exists():
                    fetch(self.source + path.name, path, f"md5:{published[path.name]}")

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a part."""
        images, labels = self.files(part)
        pixels, digits = self._idx(images, IMAGES, (28, 28)), self._idx(labels, LABELS, ())
        if len(pixels) != len(digits) or digits.max(initial=0) > 9:
            raise UserError(f"{Path(self.root) / labels}: not one digit for each of the {len(pixels)} images")
        indices, targets = members(torch.from_numpy(digits.astype(np.int64)), self.digits)
        used = self.drawn(targets, part)
        rows = indices[used]
        sources = Sources.rows([images], [len(pixels)], rows)
        return ImageSamples(torch.from_numpy(pixels[rows.numpy()]).unsqueeze(1), sources), targets[used]

    def _found(self, file: str) -> str:
        return file if (Path(self.root) / file).exists() else f"{file}.gz"

    def _idx(self, file: str, magic: int, shape: tuple[int, ...]) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        """Return the array in an idx file: its magic number and each dimension in four bytes, big end first."""
        path = Path(self.root) / file
        content = read_whole(path, None)
        if path.suffix == ".gz":
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                raise UserError(f"{path}: truncated or altered ({error}); delete it and fetch it again") from None
        if self.checksums:
            refuse_altered(io.BytesIO(content), CHECKSUMS[path.name.removesuffix(".gz")], path, REPAIR)
        size, count = 8 + 4 * len(shape), int.from_bytes(content[4:8])
        header = np.array([magic, count, *shape], dtype=">u4").tobytes()
        if content[:size] != header or len(content) != size + count * math.prod(shape):
            kind = "images of 28x28 pixels" if shape else "labels"
            raise UserError(f"{path}: truncated, or does not hold {kind} in idx format")
        return np.frombuffer(content, dtype=np.uint8, offset=size).reshape(-1, *shape)
