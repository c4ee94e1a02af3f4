"""Any images, a folder a class."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, YCBCRSUBSAMPLING, TiffImageFile
from torch import Tensor

from aal.checks import at_least, refuse
from aal.data.decoding import Unreadable, files_below, printable
from aal.data.samples import ImageSamples, Samples, Sources
from aal.datamodules.choice import choose, distinct
from aal.datamodules.published import Stored
from aal.errors import UserError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has more, some of which start programs
WIDENED = ("PNG", "PPM")  # whose 16 bits Pillow may give as 32
DEPTH = re.compile(r";(\d+)")
UNSIGNED = 1  # of TIFF's sample formats
PARTS = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation")}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # of a folder's name, such as TrainSet or test_images
WHITE = (255, 255, 255, 255)


class ImageFolder(Stored):
    """Images in ``root/<class>/``, or in ``root/train/<class>/`` and ``root/test/<class>/``.

    The parts may be spelled with capitals, or ``training`` and ``testing``; ``val``, ``valid`` or ``validation`` is the
    test part where there is no other. Links to folders are followed, hidden files left alone.

    Every image is turned as its EXIF data say, laid on white where it is transparent, brought to 8 bits and to RGB or
    gray, and resized so that its centre square has ``size`` pixels a side; of several pages or frames the first is
    taken, and color profiles are left alone. Values of 1 to 16 bits are scaled to their range; signed, 32-bit and
    floating-point ones, whose range no file tells, are no images here. Files that are no whole images, folders that
    cannot be opened, links that lead nowhere and what is neither class nor part are left out and named in ``skipped``.
    Files that hold the same image are not kept in one split: remove copies first.

    Args:
        size: Pixels a side that every image is brought to.
        gray: Whether images are made gray, ``(1, size, size)`` rather than ``(3, size, size)``.
        classes: Which classes, in the order of their labels; ``null`` for all folders, sorted by name.
        strict: Whether a file that is no whole image ends the run.
        name: What the data set is called in the run's records; ``null`` for the name of ``root``.
        options: Arguments of :class:`Stored`.

    Raises:
        UserError: ``root`` is missing or has no two class folders, or folders for classes that look like parts; no such
            class, one named twice, or fewer than two; ``size`` below 1; ``test: published`` without a test folder.
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
        self.name = name or printable(root.resolve().name)
        self.folders = _parts(root)
        found = _folders(self.folders["train"])
        refuse(not found, f"root: {root} has no folders of images, one for each class")
        if classes is None:
            _refuse_parts(self.folders["train"], found)
        self.classes = choose(classes, distinct([*found], "root"), "classes")
        self.num_classes = len(self.classes)
        for part in self.parts:
            refuse(part not in self.folders, f"test: {root} has no test part, a folder train and a folder test")
        self.skipped |= _left_out(root, self.folders, self.classes if classes is None else ())

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Decode the images of a part."""
        top = _folders(self.folders[part])
        own = [(label, top[name]) for label, name in enumerate(self.classes) if name in top]
        files = [(path, label) for label, folder in own for path in files_below(folder)]
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
        image = _eight_bits(file, path)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    image = ImageOps.fit(image.convert("L" if gray else "RGB"), (size, size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return pixels[None] if gray else pixels.transpose(2, 0, 1)


def _eight_bits(file: ImageFile, path: Path) -> Image.Image:
    """Return an image upright, in 8 bits, and with it the value that stands for transparency, which Pillow forgets.

    Pillow would cut 16-bit gray values off at 255, takes those of 12 bits for 16, minds in those of 8 bits alone
    whether 0 is white, and reads of 16-bit colors the high bytes, which near colors share.
    """
    tags = file.tag_v2 if isinstance(file, TiffImageFile) else {}
    wide = file.mode.startswith("I;16") or (file.mode == "I" and file.format in WIDENED)
    if (not wide and file.mode in ("I", "F")) or set(tags.get(SAMPLEFORMAT, ())) - {UNSIGNED}:
        raise ValueError("its pixels are of neither 8 nor 16 bits, or signed")
    if file.mode == "YCbCr" and tags.get(YCBCRSUBSAMPLING) != (1, 1):
        raise ValueError("its colors are coarser than its pixels, and not compressed")
    # What the decoder is told, such as L;4 or I;16B; that of WebP, always of 8 bits, is not told before it reads.
    named = DEPTH.search(str(file.tile[0][3])) if file.tile else None
    depth, image = int(named[1]) if named else 8, ImageOps.exif_transpose(file)
    clear = image.info.get("transparency")
    if wide:
        values = np.asarray(image)
        gray = (values / ((4095 if depth == 12 else 65535) / 255)).round().astype(np.uint8)
        gray = 255 - gray if tags and not tags.get(PHOTOMETRIC_INTERPRETATION) else gray
        return Image.fromarray(gray if clear is None else np.stack([gray, 255 * (values != clear).astype(np.uint8)], 2))
    if image.mode == "L" and depth < 8 and clear is not None:
        image.info["transparency"] = clear * 255 // (2**depth - 1)
    elif image.mode == "RGB" and depth == 16 and clear is not None:
        other = (np.asarray(image) != np.right_shift(clear, 8)) | (_low_bytes(path) != np.bitwise_and(clear, 255))
        image.putalpha(Image.fromarray(255 * other.any(2).astype(np.uint8)))
        del image.info["transparency"]
    return image


def _low_bytes(path: Path) -> np.typing.NDArray[np.uint8]:
    """Return the low bytes of the 16-bit colors of a PNG, upright, ``(H, W, 3)``."""
    with Image.open(path, formats=("PNG",)) as file:
        file.tile = [tile._replace(args="RGB;16L") for tile in file.tile]  # of the other byte order: the second byte
        return np.asarray(ImageOps.exif_transpose(file))


def _parts(root: Path) -> dict[str, Path]:
    """Return the folders of the parts of a data set, the training part alone where ``root`` has the classes themselves.

    Raises:
        UserError: Two folders are the same part.
    """
    found: dict[str, Path] = {}
    for name, path in _folders(root).items():
        for part, names in PARTS.items():
            if name.lower() in names:
                refuse(part in found, f"root: {root} has two folders of one part, {found.get(part)} and {path}")
                found[part] = path
    if "train" not in found or not _folders(found["train"]):
        return {"train": root}
    tested = found.get("test", found.get("val"))
    return {"train": found["train"]} | ({} if tested is None else {"test": tested})


def _refuse_parts(root: Path, classes: dict[str, Path]) -> None:
    """Refuse folders for classes that look like the parts of a data set: by their names, or by folders in all of them.

    A single folder of one name in each of them is no sign of it.
    """
    called = [{part for word in WORD.findall(name) if (part := _part_of(word.lower()))} for name in classes]
    alike = "are called as parts of a data set are" if len(set().union(*called)) > 1 else ""
    inner = [set(_folders(path)) for path in classes.values()] if len(classes) > 1 else [set[str]()]
    same = sorted(set.intersection(*inner))
    if not alike and same and len(set.union(*inner)) > 1:
        alike = f"all hold {', '.join(same)}, as parts of a data set do"
    refuse(
        alike,
        f"root: the folders {', '.join(classes)} in {root} {alike}: "
        "call them train and test, or set root to one of them; if they are classes, name them under classes",
    )


def _part_of(word: str) -> str | None:
    """Return the part that a word of a folder's name is, or begins with, such as trainset."""
    return next(
        (part for part, names in PARTS.items() if word in names or (part != "val" and word.startswith(part))), None
    )


def _left_out(root: Path, parts: dict[str, Path], classes: Sequence[str]) -> dict[str, str]:
    """Return what may hold images but is not read, each with the reason.

    Args:
        root: The data set's folder.
        parts: Its parts.
        classes: What the folders of all parts are taken for; none where a user chose among them.
    """
    read = parts.values()
    others = () if root in read else (path for path in _folders(root).values() if path not in read)
    reasons = dict.fromkeys(others, "neither the training nor the test part")
    if "test" in parts and classes:
        others = (path for name, path in _folders(parts["test"]).items() if name not in classes)
        reasons |= dict.fromkeys(others, "no class of the training part")
    for top in {root, *read}:
        for entry in sorted(top.iterdir()):
            if entry.is_symlink() and not entry.name.startswith(".") and not os.path.exists(entry):
                reasons[entry] = "a link that leads nowhere, or to what cannot be opened"
    return {printable(path): reason for path, reason in reasons.items()}


def _folders(top: Path) -> dict[str, Path]:
    """Return the folders in a folder by name, sorted, hidden ones apart; none where there is no folder.

    Raises:
        UserError: The folder cannot be opened.
    """
    if not top.is_dir():
        return {}
    try:
        names = sorted(
            entry.name for entry in os.scandir(top) if os.path.isdir(entry) and not entry.name.startswith(".")
        )
    except OSError as error:
        raise UserError(f"root: {top} cannot be read ({error.strerror})") from None
    return {printable(name): top / name for name in names}
