"""Quick, Draw!: millions of drawings as bitmaps, a published file a category."""

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.downloads import fetch
from aal.datamodules.published import SPLITS, Published, distinct
from aal.errors import UserError

FOLDER = "quickdraw"


class QuickDraw(Published):
    """Drawings, white on black, ``(1, 28, 28)``: some 100,000 of each of 345 categories, without a test part.

    The files lie in ``root/quickdraw``, one ``<category>.npy`` each; what ``limit`` leaves out is not read. No checksum
    was published: a file's form and size are checked.
    Source: Google, https://github.com/googlecreativelab/quickdraw-dataset, the numpy bitmaps.

    Args:
        categories: Which categories, such as ``[cat, "The Eiffel Tower"]``, in the order of their labels.
        options: Arguments of :class:`Published`.

    Raises:
        UserError: A category named twice, or with a name that is no file's, or fewer than two.
    """

    classes: tuple[str, ...]
    sample_shape = (1, 28, 28)
    divisions: ClassVar[dict[str, dict[str, float]]] = {"held_out": SPLITS["held_out"]}
    source = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"

    def __init__(self, categories: list[str], **options: Any) -> None:
        super().__init__(**options)
        distinct(categories, "categories")
        for name in categories:
            if not name or Path(name).name != name:
                raise UserError(f"categories: no category is called {name!r}")
        self.classes, self.num_classes = tuple(categories), len(categories)

    def files(self, part: str) -> tuple[str, ...]:
        """Return each category's file."""
        return tuple(f"{FOLDER}/{name}.npy" for name in self.classes)

    def fetch(self) -> None:
        """Fetch the categories that are missing."""
        for file in self.files("train"):
            path = Path(self.root) / file
            fetch(self.source + quote(path.name), path)

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read the categories."""
        drawings = [_drawings(Path(self.root) / file) for file in self.files(part)]
        labels = torch.arange(len(drawings)).repeat_interleave(torch.tensor([len(each) for each in drawings]))
        used = self.drawn(labels, part)
        first, pixels = 0, []
        counts = labels[used].bincount(minlength=len(drawings)).tolist()
        for each, places in zip(drawings, used.split(counts), strict=True):
            own = places - first
            pixels.append(torch.from_numpy(each[own.numpy()]))
            first += len(each)
        sources = Sources.rows(self.files(part), [len(each) for each in drawings], used)
        return ImageSamples(torch.cat(pixels).reshape(-1, 1, 28, 28), sources), labels[used]


def _drawings(path: Path) -> "np.memmap[tuple[int, ...], np.dtype[np.uint8]]":
    """Return the bitmaps of a category ``(N, 784)``, left on the disk."""
    try:
        drawings = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: truncated, or not an .npy file ({error}); delete it and fetch it again") from None
    if not isinstance(drawings, np.memmap) or drawings.dtype != np.uint8 or drawings.shape[1:] != (784,):
        raise UserError(f"{path}: does not hold bitmaps, rows of 784 bytes")
    excess = path.stat().st_size - drawings.offset - drawings.nbytes
    if excess:
        raise UserError(
            f"{path}: altered, it goes on for {excess} bytes after its bitmaps; delete it and fetch it again"
        )
    return drawings
