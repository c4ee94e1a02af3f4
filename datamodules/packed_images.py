"""What published images have in common that lie many to a file: which rows are used, and which file must hold what."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from aal.data.downloads import read_whole
from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.choice import choose
from aal.datamodules.published import Published


class PackedImages(Published):
    """Images in files that hold many each.

    Attributes:
        known: The classes that the published labels number, from 0; ``classes`` are some of them.
    """

    known: Sequence[str]

    @abstractmethod
    def decoded(self, part: str) -> tuple[Mapping[str, np.typing.NDArray[np.uint8]], np.typing.NDArray[np.int64]]:
        """Return the images of each file of a part, ``(N, ...)`` in the order of ``sample_shape``, and all labels.

        Raises:
            UserError: A file is truncated or altered; the message names it.
        """

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a part; of files on the disk only the rows that are used."""
        blocks, numbers = self.decoded(part)
        positions = torch.full((len(self.known),), -1)
        positions[[self.known.index(name) for name in self.classes]] = torch.arange(self.num_classes)
        labels = positions[torch.from_numpy(numbers)]
        wanted = (labels >= 0).nonzero()[:, 0]
        used = wanted[self.drawn(labels[wanted], part)]
        sources = Sources.rows(list(blocks), [len(block) for block in blocks.values()], used)
        assert sources.row is not None
        rows = [sources.row[sources.file == place].numpy() for place in range(len(blocks))]
        pixels = [np.ascontiguousarray(block[own]) for block, own in zip(blocks.values(), rows, strict=True)]
        images = torch.from_numpy(np.concatenate(pixels)).reshape(-1, *self.sample_shape)
        return ImageSamples(images, sources), labels[used]


class LabelledImages(PackedImages):
    """Images with published labels and checksums, of which some classes may be chosen.

    Args:
        classes: Which classes, in the order of their labels; ``null`` for all.
        checksums: Whether the files must be, bit for bit, those that were published.
        options: Arguments of :class:`Published`.

    Attributes:
        digests: Checksum of each file that is read, as it was published.

    Raises:
        UserError: No such class, one named twice, or fewer than two.
    """

    digests: ClassVar[Mapping[str, str]]

    def __init__(self, classes: Sequence[str] | None = None, checksums: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.classes = choose(classes, self.known, "classes")
        self.num_classes, self.checksums = len(self.classes), checksums

    def content(self, file: str) -> bytes:
        """Return a file's content, uncompressed.

        Raises:
            UserError: It cannot be read, or is not what was published.
        """
        return read_whole(Path(self.root) / file, self.digests[file.removesuffix(".gz")] if self.checksums else None)
