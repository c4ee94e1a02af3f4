"""Any images, a folder a class."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from aal.checks import at_least, refuse
from aal.data.decoding import Unreadable
from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.published import Stored, choose, distinct

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has more, some of which start programs
WIDENED = ("PNG", "PPM")  # whose 16 bits Pillow may give as 32
WHITE = (255, 255, 255, 255)


class ImageFolder(Stored):
    """Images in ``root/<class>/``, or in ``root/train/<class>/`` and ``root/test/<class>/``.

    Every image is turned as its EXIF data say, laid on white where it is transparent, brought to 8 bits and to RGB or
    gray, and resized so that its centre square has ``size`` pixels a side. Hidden files are left alone; files that are
    no whole images are left out and named in ``skipped``. Files that hold the same image are not kept in one split:
    remove copies first.

    Args:
        size: Pixels a side that every image is brought to.
        gray: Whether images are made gray, ``(1, size, size)`` rather than ``(3, size, size)``.
        classes: Which classes, in the order of their labels; ``null`` for all folders, sorted by name.
        strict: Whether a file that is no whole image ends the run.
        name: What the data set is called in the run's records; ``null`` for the name of ``root``.
        options: Arguments of :class:`Stored`.

    Raises:
        UserError: ``root`` is missing or has no two class folders; no such class, one named twice, or fewer than two;
            ``size`` below 1; ``test: published`` without a test folder.
    """

    def __init__(
        self,
        size: int,
        gray: bool = False,
        classes: list[str] | None = None,
        strict: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at_least(1, {"size": size})
        self.size, self.gray, self.strict = size, gray, strict
        self.sample_shape = (1 if gray else 3, size, size)
        root = Path(self.root)
        self.name = name or root.resolve().name
        parted = {part: root / part for part in ("train", "test")}
        self.folders = parted if _folders(parted["train"]) else {"train": root}
        found = _folders(self.folders["train"])
        refuse(not found, f"root: {root} has no folders of images, one for each class")
        self.classes = choose(classes, distinct(found, "root"), "classes")
        self.num_classes = len(self.classes)
        for part in self.parts:
            refuse(
                not (part in self.folders and self.folders[part].is_dir()),
                f"test: {root} has no test part, a folder train and a folder test",
            )

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Decode the images of a part."""
        top = self.folders[part]
        files = [(path, label) for label, name in enumerate(self.classes) for path in _files(top / name)]
        pixels, paths, labels = self.read_each(files, part, self._decoded, np.uint8, self.strict)
        return ImageSamples(pixels, Sources.whole(paths, self.root)), labels

    def where(self, part: str, name: str) -> str:
        """Return where a class has no images."""
        return f"in {self.folders[part] / name} ({', '.join(FORMATS)})"

    def _decoded(self, path: Path) -> np.typing.NDArray[np.uint8]:
        try:
            return read_image(path, self.size, self.gray)
        except Exception as error:  # damaged files make Pillow's readers fail in every way there is
            raise Unreadable(" ".join(f"not a whole image ({error})".split())) from None


def read_image(path: Path, size: int, gray: bool) -> np.typing.NDArray[np.uint8]:
    """Return the centre square of an image, resized with antialiasing.

    Args:
        path: A file in one of ``FORMATS``.
        size: Pixels a side.
        gray: Whether to return one channel rather than three.

    Returns:
        ``(C, size, size)``.

    Raises:
        OSError: It is no whole image.
        ValueError: Its pixels have no known range.
    """
    with Image.open(path, formats=FORMATS) as file:
        image = _eight_bits(ImageOps.exif_transpose(file), str(file.format))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    image = ImageOps.fit(image.convert("L" if gray else "RGB"), (size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def _eight_bits(image: Image.Image, format: str) -> Image.Image:
    """Scale 16-bit gray values, which Pillow would cut off at 255; wider ones must be of 8 bits already."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and format in WIDENED):
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if not (values == values.clip(0, 255).round()).all():  # NaN neither
        raise ValueError("its pixels are of neither 8 nor 16 bits")
    return Image.fromarray(values.astype(np.uint8))


def _folders(top: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, hidden ones apart; none where there is no folder."""
    if not top.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(top) if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """Return the files anywhere in a folder, sorted, hidden ones apart."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not path.is_dir() and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    )
