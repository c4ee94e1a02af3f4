"""Quick, Draw!: millions of drawings as bitmaps, a published file a category."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aal.checks import refuse
from aal.datamodules.choice import distinct
from aal.datamodules.packed_images import PackedImages
from aal.datamodules.published import SPLITS
from aal.errors import UserError

FOLDER = "quickdraw"


class QuickDraw(PackedImages):
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

    sample_shape = (1, 28, 28)
    divisions: ClassVar[dict[str, dict[str, float]]] = {"held_out": SPLITS["held_out"]}
    source = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"

    def __init__(self, categories: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.classes = self.known = distinct(categories, "categories")
        self.num_classes = len(categories)
        for name in categories:
            refuse(not name or Path(name).name != name, f"categories: no category is called {name!r}")

    def files(self, part: str) -> tuple[str, ...]:
        """Return each category's file."""
        return tuple(f"{FOLDER}/{name}.npy" for name in self.classes)

    def decoded(self, part: str) -> tuple[dict[str, np.typing.NDArray[np.uint8]], np.typing.NDArray[np.int64]]:
        """Return each category's bitmaps ``(N, 784)``, left on the disk, and all labels."""
        drawings = {file: _drawings(Path(self.root) / file) for file in self.files(part)}
        return drawings, np.arange(len(drawings)).repeat([len(each) for each in drawings.values()])


def _drawings(path: Path) -> np.typing.NDArray[np.uint8]:
    """Return the bitmaps of a category ``(N, 784)``, left on the disk."""
    try:
        drawings = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: truncated, or not an .npy file ({error}); delete it and fetch it again") from None
    if not isinstance(drawings, np.memmap) or drawings.dtype != np.uint8 or drawings.shape[1:] != (784,):
        raise UserError(f"{path}: does not hold bitmaps, rows of 784 bytes")
    excess = path.stat().st_size - drawings.offset - drawings.nbytes
    refuse(excess, f"{path}: altered, it goes on for {excess} bytes after its bitmaps; delete it and fetch it again")
    return drawings
