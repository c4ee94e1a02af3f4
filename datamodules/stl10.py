"""STL-10: 13,000 labelled colour images in the published binary files."""

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

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
FOLDER, ARCHIVE = datasets.STL10.base_folder, datasets.STL10.filename
MD5 = dict([*datasets.STL10.train_list, *datasets.STL10.test_list])
PIXELS = 3 * 96 * 96


class STL10(Published):
    """Colour images of ten classes, ``(3, 96, 96)``: 5,000 in the training and 8,000 in the test part.

    The files lie in ``root/stl10_binary``; the unlabelled part is neither needed nor unpacked.
    Source: Coates, Lee and Ng, "An Analysis of Single Layer Networks in Unsupervised Feature Learning", 2011.

    Args:
        classes: Which classes, in the order of their labels; ``null`` for all ten.
        checksums: Whether the files must be, bit for bit, those that were published.
        options: Arguments of :class:`Published`.

    Raises:
        UserError: No such class, one named twice, or fewer than two.
    """

    classes: tuple[str, ...]
    sample_shape = (3, 96, 96)
    source = datasets.STL10.url

    def __init__(self, classes: list[str] | None = None, checksums: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.classes = choose(classes, CLASSES, "classes")
        self.num_classes, self.checksums = len(self.classes), checksums

    def files(self, part: str) -> tuple[str, str]:
        """Return the file of the images and the file of the labels."""
        return f"{FOLDER}/{part}_X.bin", f"{FOLDER}/{part}_y.bin"

    def fetch(self) -> None:
        """Fetch and unpack the archive, if a file is missing."""
        root, files = Path(self.root), [file for part in self.parts for file in self.files(part)]
        if not all((root / file).exists() for file in files):
            fetch(self.source, root / ARCHIVE, f"md5:{datasets.STL10.tgz_md5}")
            unpack(root / ARCHIVE, root, only=files)

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a part: bytes by image, channel, column and row; labels from 1."""
        images, labels = (Path(self.root) / file for file in self.files(part))
        pixels, numbers = self._bytes(images), self._bytes(labels).astype(np.int64)
        if len(pixels) != len(numbers) * PIXELS:
            raise UserError(
                f"{images}: {len(pixels)} bytes, not {PIXELS} for each of the {len(numbers)} labels in {labels}; "
                f"one of the two is truncated"
            )
        if not np.isin(numbers, range(1, 11)).all():
            raise UserError(f"{labels}: holds something else than labels from 1 to 10")
        indices, targets = members(torch.from_numpy(numbers) - 1, [CLASSES.index(name) for name in self.classes])
        used = self.drawn(targets, part)
        columns_first = torch.from_numpy(pixels.reshape(-1, 3, 96, 96)[indices[used].numpy()])
        sources = Sources.rows(self.files(part)[:1], [len(numbers)], indices[used])
        return ImageSamples(columns_first.transpose(2, 3).contiguous(), sources), targets[used]

    def _bytes(self, path: Path) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        return np.frombuffer(read_whole(path, f"md5:{MD5[path.name]}" if self.checksums else None), dtype=np.uint8)
