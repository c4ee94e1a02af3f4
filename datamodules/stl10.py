"""STL-10: 13,000 labelled colour images in the published binary files."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
from torchvision import datasets

from aal.checks import refuse
from aal.datamodules.packed_images import LabelledImages

FOLDER = datasets.STL10.base_folder
PIXELS = 3 * 96 * 96


class STL10(LabelledImages):
    """Colour images of ten classes, ``(3, 96, 96)``: 5,000 in the training and 8,000 in the test part.

    The files lie in ``root/stl10_binary``; the unlabelled part is neither needed nor unpacked.
    Arguments as of :class:`aal.datamodules.packed_images.LabelledImages`.
    Source: Coates, Lee and Ng, "An Analysis of Single Layer Networks in Unsupervised Feature Learning", 2011.
    """

    known = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    sample_shape = (3, 96, 96)
    source = datasets.STL10.url
    archive = (datasets.STL10.filename, f"md5:{datasets.STL10.tgz_md5}")
    digests = MappingProxyType(
        {f"{FOLDER}/{name}": f"md5:{digest}" for name, digest in datasets.STL10.train_list + datasets.STL10.test_list}
    )

    def files(self, part: str) -> tuple[str, str]:
        """Return the file of the images and the file of the labels."""
        return f"{FOLDER}/{part}_X.bin", f"{FOLDER}/{part}_y.bin"

    def decoded(self, part: str) -> tuple[dict[str, np.typing.NDArray[np.uint8]], np.typing.NDArray[np.int64]]:
        """Return images ``(N, 3, 96, 96)``, in the file by channel, column and row, and labels, in the file from 1."""
        images, labels = self.files(part)
        pixels, numbers = (np.frombuffer(self.content(file), dtype=np.uint8) for file in (images, labels))
        refuse(
            len(pixels) != len(numbers) * PIXELS,
            f"{Path(self.root) / images}: {len(pixels)} bytes, not {PIXELS} for each of the {len(numbers)} labels "
            f"in {Path(self.root) / labels}; one of the two is truncated",
        )
        refuse(
            not np.isin(numbers, range(1, 11)).all(),
            f"{Path(self.root) / labels}: holds something else than labels from 1 to 10",
        )
        return {images: pixels.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)}, numbers.astype(np.int64) - 1
