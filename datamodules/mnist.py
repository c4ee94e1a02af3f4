"""MNIST: 70,000 handwritten digits in the four published idx files."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torchvision import datasets

from aal.checks import refuse
from aal.datamodules.choice import choose
from aal.datamodules.packed_images import LabelledImages

FOLDER = "MNIST/raw"
IMAGES, LABELS = 0x803, 0x801  # magic numbers: unsigned bytes in three dimensions and in one


class MNIST(LabelledImages):
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

    known = tuple("0123456789")
    sample_shape = (1, 28, 28)
    source = datasets.MNIST.mirrors[0]
    digests = MappingProxyType(  # of the decompressed files; the .gz around them differ from mirror to mirror
        {
            f"{FOLDER}/train-images-idx3-ubyte": "md5:6bbc9ace898e44ae57da46a324031adb",
            f"{FOLDER}/train-labels-idx1-ubyte": "md5:a25bea736e30d166cdddb491f175f624",
            f"{FOLDER}/t10k-images-idx3-ubyte": "md5:2646ac647ad5339dbf082846283269ea",
            f"{FOLDER}/t10k-labels-idx1-ubyte": "md5:27ae3e4e09519cfbb04c329615203637",
        }
    )

    def __init__(self, digits: Sequence[int] | None = None, checksums: bool = True, **options: Any) -> None:
        super().__init__([str(digit) for digit in choose(digits, range(10), "digits")], checksums, **options)

    def files(self, part: str) -> tuple[str, ...]:
        """Return the file of the images and the file of the labels: the one without ``.gz`` where there are both."""
        prefix = f"{FOLDER}/{'train' if part == 'train' else 't10k'}"
        plain = (f"{prefix}-{content}-ubyte" for content in ("images-idx3", "labels-idx1"))
        return tuple(file if (Path(self.root) / file).exists() else f"{file}.gz" for file in plain)

    def address(self, name: str) -> tuple[str, str]:
        """Return where a compressed file is given, and its checksum."""
        return self.source + name, f"md5:{dict(datasets.MNIST.resources)[name]}"

    def decoded(self, part: str) -> tuple[dict[str, np.typing.NDArray[np.uint8]], np.typing.NDArray[np.int64]]:
        """Return the images ``(N, 28, 28)`` and the digits."""
        images, labels = self.files(part)
        pixels, digits = self._idx(images, IMAGES, (28, 28)), self._idx(labels, LABELS, ())
        refuse(
            len(pixels) != len(digits) or digits.max(initial=0) > 9,
            f"{Path(self.root) / labels}: not one digit for each of the {len(pixels)} images",
        )
        return {images: pixels}, digits.astype(np.int64)

    def _idx(self, file: str, magic: int, shape: tuple[int, ...]) -> np.typing.NDArray[np.uint8]:
        """Return the array in an idx file: its magic number and each dimension in four bytes, big end first."""
        content = self.content(file)
        size, count = 8 + 4 * len(shape), int.from_bytes(content[4:8])
        header = np.array([magic, count, *shape], dtype=">u4").tobytes()
        kind = "images of 28x28 pixels" if shape else "labels"
        refuse(
            content[:size] != header or len(content) != size + count * math.prod(shape),
            f"{Path(self.root) / file}: truncated, or does not hold {kind} in idx format",
        )
        return np.frombuffer(content, dtype=np.uint8, offset=size).reshape(-1, *shape)
