"""ImageFolder: every kind of image brought to one form, and files that are no images named."""

import io
import math
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aal.datamodules import CIFAR10, ImageFolder
from aal.datamodules.image_folder import read_image
from aal.errors import UserError
from tests.datamodules.files import image_folder
from tests.real_data import unpacked

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def colour(path: Path, size: int = 4) -> tuple[int, ...]:
    """Return the one colour of an image as it is read."""
    pixels = read_image(path, size, gray=False)
    assert pixels.shape == (3, size, size)
    assert len(np.unique(pixels.reshape(3, -1), axis=1).T) == 1
    return tuple(pixels[:, 0, 0].tolist())


def test_an_image_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.png", Image.fromarray(pixels))
    assert np.array_equal(read_image(path, 9, gray=False), pixels.transpose(2, 0, 1))


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 10), RED)
    image.paste(GREEN, (10, 0, 20, 10))
    assert colour(saved(tmp_path / "wide.png", image), 10) == GREEN
    assert colour(saved(tmp_path / "high.png", image.transpose(Image.Transpose.ROTATE_90)), 10) == GREEN


def test_shrinking_averages(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    path = saved(tmp_path / "board.png", Image.fromarray(board.astype(np.uint8)))
    small = read_image(path, 8, gray=True)
    assert small.shape == (1, 8, 8)
    assert np.abs(small.astype(int) - 127.5).max() < 3, "without antialiasing: black or white"


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
        ("I;16", 100 * 257, (100, 100, 100)),
        ("I;16", 200, (1, 1, 1)),
    ],
)
def test_every_mode_becomes_8_bit_rgb(mode: str, value: Any, seen: tuple[int, ...], tmp_path: Path) -> None:  # noqa: ANN401
    assert colour(saved(tmp_path / "x.png", Image.new(mode, (6, 6), value))) == seen


def test_sixteen_bits_in_every_format(tmp_path: Path) -> None:
    for name in ("x.png", "x.tiff", "x.pgm"):
        assert colour(saved(tmp_path / name, Image.new("I;16", (6, 6), 100 * 257))) == (100, 100, 100)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, rows: list[list[int]], clear: list[int]) -> bytes:
    """Return a PNG of gray rows, or of rows of colors where ``clear``, the value that is transparent, is a color."""
    bits = [[value >> k & 1 for value in row for k in reversed(range(depth))] for row in rows]
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", len(rows[0]) // len(clear), len(rows), depth, 2 if len(clear) == 3 else 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"tRNS", struct.pack(f">{len(clear)}H", *clear)), (b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, bits: int, **tags: int | list[int]) -> bytes:
    """Return an uncompressed TIFF of packed values ``(H, W)``, 8 a side, as its tags say."""
    known = {"photometric": 262, "kind": 339, "samples": 277, "subsampling": 530}
    data = values.tobytes()
    entries: dict[int, int | list[int]] = {256: 8, 257: 8, 258: bits, 259: 1, 262: 1, 277: 1, 278: 8, 279: len(data)}
    entries |= {known[name]: value for name, value in tags.items()} | {273: 8 + 2 + 12 * 12 + 4}
    rows = [
        struct.pack("<HHI", tag, 3, 1 if isinstance(value, int) else len(value))
        + struct.pack("<2H", *([value, 0] if isinstance(value, int) else value))
        for tag, value in sorted(entries.items())
    ]
    table = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 8) + table).ljust(8 + 2 + 12 * 12 + 4, b"\0") + data


RAMP = np.tile(np.linspace(0, 1, 8), (8, 1))
GRAYS = np.round(255 * RAMP[0]).tolist()


def packed(values: np.ndarray) -> np.ndarray:
    """Return values of 12 bits, two in three bytes."""
    first, second = values.astype(int).reshape(-1, 2).T
    return np.stack([first >> 4, first % 16 * 16 + (second >> 8), second % 256], 1).astype("u1")


@pytest.mark.parametrize(("bits", "white"), [(8, 0), (8, 1), (12, 1), (16, 0), (16, 1)])
def test_gray_tiffs_of_every_depth_and_sense(bits: int, white: int, tmp_path: Path) -> None:
    """Where the tag is 0, 0 is white."""
    values = np.round((RAMP if white else 1 - RAMP) * (2**bits - 1))
    stored = packed(values) if bits == 12 else values.astype(f"<u{bits // 8}")
    (tmp_path / "x.tif").write_bytes(tiff(stored, bits, photometric=white))
    assert read_image(tmp_path / "x.tif", 8, gray=True)[0, 4].tolist() == pytest.approx(GRAYS, abs=1)
    if bits == 16:  # another decoder
        tags = {"compression": "tiff_lzw", "tiffinfo": {262: white}}
        path = saved(tmp_path / "lzw.tif", Image.fromarray(values.astype("u2")), **tags)
        assert read_image(path, 8, gray=True)[0, 4].tolist() == pytest.approx(GRAYS, abs=1)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_every_depth_becomes_white(depth: int, tmp_path: Path) -> None:
    top = 2**depth - 1
    for clear in {0, top // 2, top}:
        row = [0, top // 2, top, top] * 2
        (tmp_path / "x.png").write_bytes(png(depth, [row] * 8, [clear]))
        expected = [255 if value == clear else value * 255 // top for value in row]
        assert read_image(tmp_path / "x.png", 8, gray=True)[0, 4].tolist() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_color_of_every_depth_becomes_white(depth: int, tmp_path: Path) -> None:
    top = 2**depth - 1
    colors = [[0, 0, 0], [top, 0, top // 2], [top // 2] * 3, [top, top, 0]] * 2
    for clear in colors[:4]:
        (tmp_path / "x.png").write_bytes(png(depth, [[value for color in colors for value in color]] * 8, clear))
        expected = [[255] * 3 if color == clear else [value >> depth - 8 for value in color] for color in colors]
        assert read_image(tmp_path / "x.png", 8, gray=False)[:, 4].T.tolist() == expected


def test_of_16_bit_colors_the_transparent_one_alone_becomes_white(tmp_path: Path) -> None:
    """Near ones share its high bytes, or its low ones."""
    clear = [256, 5, 770]
    colors = [clear, [257, 5, 770], [256, 4, 770], [256, 5, 2], [0, 5, 770], [1, 1, 1], [0, 0, 0], [65535, 0, 9]]
    (tmp_path / "x.png").write_bytes(png(16, [[value for color in colors for value in color]] * 8, clear))
    expected = [[255] * 3, *([value >> 8 for value in color] for color in colors[1:])]
    assert read_image(tmp_path / "x.png", 8, gray=False)[:, 4].T.tolist() == expected


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGB", BLUE, BLUE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
    ],
)
def test_webp_of_every_kind(mode: str, value: Any, seen: tuple[int, ...], lossless: bool, tmp_path: Path) -> None:  # noqa: ANN401
    image = Image.new(mode, (16, 16), value)
    path = saved(tmp_path / "x.webp", image, lossless=lossless, quality=100)
    assert np.abs(np.subtract(colour(path), seen)).max() <= (0 if lossless else 3)
    later = Image.new("RGB", (16, 16), GREEN)
    path = saved(tmp_path / "moving.webp", image, save_all=True, append_images=[later], lossless=lossless, quality=100)
    assert np.abs(np.subtract(colour(path), seen)).max() <= (0 if lossless else 3), "not the first frame"


def test_a_webp_cut_short_is_named_with_the_reason(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    path = saved(tmp_path / "x.webp", pixels, lossless=True)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(OSError, match="decoder"):
        read_image(path, 8, gray=False)


def test_two_photos_in_one_jpeg_are_the_first(tmp_path: Path) -> None:
    """As telephones write them."""
    path = saved(
        tmp_path / "x.jpg",
        Image.new("RGB", (16, 16), RED),
        format="MPO",
        save_all=True,
        quality=100,
        append_images=[Image.new("RGB", (16, 16), GREEN)],
    )
    assert np.abs(np.subtract(colour(path), RED)).max() < 5


@pytest.mark.parametrize("most", [1, 15, 255, 1023, 65535])
def test_portable_graymaps_of_every_range(most: int, tmp_path: Path) -> None:
    values = np.round(RAMP * most)
    (tmp_path / "x.pgm").write_bytes(b"P5 8 8 %d\n" % most + values.astype("u1" if most < 256 else ">u2").tobytes())
    expected = np.round(values[4] * 255 / most).tolist()
    assert read_image(tmp_path / "x.pgm", 8, gray=True)[0, 4].tolist() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff((RAMP * 255 - 128).astype("i1"), 8, kind=2), "signed"),
        (tiff((RAMP * 255).astype("<i2"), 16, kind=2), "signed"),
        (tiff((RAMP * 255).astype("<u4"), 32), "neither 8 nor 16 bits"),
        (tiff(RAMP.round().astype("<f4"), 32, kind=3), "neither 8 nor 16 bits"),
        (b"Pf 8 8 -1.0\n" + RAMP.round().astype("<f4").tobytes(), "neither 8 nor 16 bits"),
        (tiff(np.zeros(1000, "u1"), 8, photometric=6, samples=3, subsampling=[2, 2]), "coarser"),
    ],
    ids=["8 bits signed", "16 bits signed", "32 bits", "floats", "PFM", "halved colors"],
)
def test_values_of_another_meaning_are_no_image(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_image(tmp_path / "x", 8, gray=True)


@pytest.mark.parametrize(("mode", "value"), [("I", 100), ("I", 65535), ("I", -1), ("F", 0.5), ("F", math.nan)])
def test_pixels_of_no_known_range(mode: str, value: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.tiff", Image.new(mode, (6, 6), value))
    with pytest.raises(ValueError, match="neither 8 nor 16 bits"):
        read_image(path, 4, gray=True)


def test_palettes_and_inks(tmp_path: Path) -> None:
    palette = Image.new("RGB", (6, 6), BLUE).quantize(4)
    assert palette.mode == "P"
    assert colour(saved(tmp_path / "p.png", palette)) == BLUE
    assert colour(saved(tmp_path / "p.gif", palette, transparency=int(palette.getpixel((0, 0))))) == (255, 255, 255)
    inks = Image.new("CMYK", (6, 6), (0, 255, 255, 0))
    assert np.abs(np.subtract(colour(saved(tmp_path / "x.jpg", inks, quality=100)), RED)).max() < 5


def test_gray_weighs_the_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", Image.new("RGB", (4, 4), GREEN))
    assert np.unique(read_image(path, 4, gray=True)).tolist() == [150]  # ITU-R 601: 0.587


def test_a_turned_photo_is_set_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.paste(GREEN, (0, 0, 4, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter: the left side is on top
    pixels = read_image(saved(tmp_path / "x.png", image, exif=exif), 8, gray=False)
    assert (pixels[:, :4] == np.array(GREEN)[:, None, None]).all()
    assert (pixels[:, 4:] == np.array(RED)[:, None, None]).all()


def damaged(folder: Path) -> dict[str, bytes]:
    """Put files that are no whole images into a class, and return them."""
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, "JPEG")
    floats = io.BytesIO()
    Image.new("F", (4, 4), 0.5).save(floats, "TIFF")
    files = {
        "cut.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "empty.png": b"",
        "notes.txt": b"not an image",
        "drawing.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
        "floats.tiff": floats.getvalue(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def test_files_that_are_no_whole_images_are_left_out_and_named(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    clean = ImageFolder(**arguments)
    clean.setup("fit")
    files = damaged(tmp_path / "train" / "boot")
    module = ImageFolder(**arguments)
    module.setup("fit")
    assert set(module.skipped) == {str(tmp_path / "train" / "boot" / name) for name in files}
    assert all("\n" not in reason for reason in module.skipped.values())
    assert module.fingerprint == clean.fingerprint
    with pytest.raises(UserError, match=r"boot/cut\.jpg: not a whole image .*; mend or remove it") as caught:
        ImageFolder(**arguments, strict=True).setup("fit")
    assert "\n" not in str(caught.value)


def test_hidden_files_are_left_alone_and_folders_inside_a_class_are_read(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    clean = ImageFolder(**arguments)
    clean.setup("fit")
    boots = tmp_path / "train" / "boot"
    (boots / ".DS_Store").write_bytes(b"x")
    (boots / ".thumbs").mkdir()
    (boots / ".thumbs" / "0.png").write_bytes(b"x")
    (tmp_path / "train" / ".cache").mkdir()
    module = ImageFolder(**arguments, strict=True)
    module.setup("fit")
    assert module.fingerprint == clean.fingerprint
    (boots / "z").mkdir()
    (boots / "9.png").rename(boots / "z" / "9.png")
    module = ImageFolder(**arguments)
    module.setup("fit")
    assert sum(len(each) for each in module.samples.values()) == sum(len(each) for each in clean.samples.values())


def test_classes_are_the_folders_by_name(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    module = ImageFolder(**arguments, gray=True)
    assert (module.classes, module.num_classes, module.sample_shape) == (("bag", "boot", "shoe"), 3, (1, 12, 12))
    assert module.name == tmp_path.name
    chosen = ImageFolder(**arguments, classes=["shoe", "bag"], name="Shoe-Bag")
    chosen.setup("fit")
    assert (chosen.classes, chosen.name) == (("shoe", "bag"), "Shoe-Bag")
    assert torch.cat(list(chosen.labels.values())).bincount().tolist() == [22, 20]
    with pytest.raises(UserError, match=r"^classes: there is no sock, only bag, boot, shoe$"):
        ImageFolder(**arguments, classes=["shoe", "sock"])


def test_a_folder_of_classes_alone(tmp_path: Path) -> None:
    image_folder(tmp_path)
    alone = ImageFolder(root=str(tmp_path / "train"), size=12)
    alone.setup("fit")
    parted = ImageFolder(root=str(tmp_path), size=12)
    parted.setup("fit")
    assert alone.fingerprint == parted.fingerprint
    with pytest.raises(UserError, match=r"^test: .* has no test part"):
        ImageFolder(root=str(tmp_path / "train"), size=12, test="published")


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("training", "testing"), ("TRAIN", "val"), ("train", "Validation"), ("Training", "valid")],
)
def test_parts_by_their_usual_names(train: str, test: str, tmp_path: Path) -> None:
    arguments = image_folder(tmp_path) | {"test": "published"}
    plain = ImageFolder(**arguments)
    plain.setup("fit")
    (tmp_path / "train").rename(tmp_path / train)
    (tmp_path / "test").rename(tmp_path / test)
    (tmp_path / "notes").mkdir()
    named = ImageFolder(**arguments)
    named.setup("fit")
    assert named.classes == ("bag", "boot", "shoe")
    assert named.fingerprint == plain.fingerprint
    assert named.skipped == {str(tmp_path / "notes"): "neither the training nor the test part"}


def test_a_part_that_is_there_twice_or_not_read(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    (tmp_path / "val" / "bag").mkdir(parents=True)
    both = ImageFolder(**arguments)
    assert both.folders["test"] == tmp_path / "test"
    assert [*both.skipped] == [str(tmp_path / "val")]
    (tmp_path / "Training").mkdir()
    with pytest.raises(UserError, match=r"^root: .* has two folders of one part, .*Training and .*train$"):
        ImageFolder(**arguments)


def test_folders_that_look_like_parts_are_no_classes(tmp_path: Path) -> None:
    image_folder(tmp_path)
    (tmp_path / "train").rename(tmp_path / "seen")
    (tmp_path / "test").rename(tmp_path / "unseen")
    with pytest.raises(UserError, match=r"^root: the folders seen, unseen in .* all hold bag, boot, shoe, as"):
        ImageFolder(root=str(tmp_path), size=8)
    assert ImageFolder(root=str(tmp_path), size=8, classes=["seen", "unseen"]).num_classes == 2
    for name in ("bag", "boot"):
        shutil.rmtree(tmp_path / "unseen" / name)
    with pytest.raises(UserError, match=r"^root: the folders seen, unseen in .* all hold shoe, as"):
        ImageFolder(root=str(tmp_path), size=8)
    for name in ("bag", "boot"):
        shutil.rmtree(tmp_path / "seen" / name)
    assert ImageFolder(root=str(tmp_path), size=8).classes == ("seen", "unseen"), "each holds its images in one folder"


@pytest.mark.parametrize(
    ("train", "test"),
    [("train_set", "test_set"), ("Trainset", "testset"), ("TRAIN", "my-validation"), ("a1train", "b val")],
)
def test_folders_that_are_called_as_parts_are_no_classes(train: str, test: str, tmp_path: Path) -> None:
    """Whatever they hold."""
    image_folder(tmp_path)
    (tmp_path / "train").rename(tmp_path / "kept")
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "kept" / "bag").rename(tmp_path / train)
    (tmp_path / "kept" / "boot").rename(tmp_path / test)
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(UserError, match=r"^root: the folders .* are called as parts of a data set are: call them"):
        ImageFolder(root=str(tmp_path), size=8)
    named = ImageFolder(root=str(tmp_path), size=8, classes=[train, test])
    assert named.num_classes == 2
    (tmp_path / train).rename(tmp_path / "trains")
    (tmp_path / test).rename(tmp_path / "planes")
    assert ImageFolder(root=str(tmp_path), size=8).classes == ("planes", "trains")


def test_classes_that_are_left_out_are_named(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    (tmp_path / "train" / "sock").symlink_to(tmp_path / "nowhere")
    (tmp_path / "train" / "loop").symlink_to(tmp_path / "train" / "loop")
    (tmp_path / "test" / "hat").mkdir()
    module = ImageFolder(**arguments)
    nowhere = "a link that leads nowhere, or to what cannot be opened"
    assert {str(Path(name).relative_to(tmp_path)): reason for name, reason in module.skipped.items()} == {
        "train/sock": nowhere,
        "train/loop": nowhere,
        "test/hat": "no class of the training part",
    }
    assert module.classes == ("bag", "boot", "shoe")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path / "data")
    clean = ImageFolder(**arguments)
    clean.setup("fit")
    boots, store = tmp_path / "data" / "train" / "boot", tmp_path / "store" / "inner"
    store.mkdir(parents=True)
    for number in range(10, 15):
        (boots / f"{number}.png").rename(store / f"{number}.png")
    (boots / "more").symlink_to(store.parent)
    (boots / "again").symlink_to(store)
    (store / "circle").symlink_to(boots)
    (tmp_path / "data" / "train" / "shoe").rename(tmp_path / "shoes")
    (tmp_path / "data" / "train" / "shoe").symlink_to(tmp_path / "shoes")
    linked = ImageFolder(**arguments)
    linked.setup("fit")
    assert [sum(map(len, data.samples.values())) for data in (linked, clean)] == [63, 63]
    assert not linked.skipped


def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    boots = tmp_path / "train" / "boot"
    os.mkfifo(boots / "pipe.png")
    (boots / "device.png").symlink_to("/dev/zero")
    (boots / "gone.png").symlink_to(tmp_path / "nowhere")
    module = ImageFolder(**arguments)
    module.setup("fit")
    reasons = {Path(name).name: reason for name, reason in module.skipped.items()}
    irregular = "neither a regular file nor a folder that can be opened"
    assert reasons.pop("gone.png").startswith("not a whole image ([Errno 2] No such file")
    assert reasons == {"pipe.png": irregular, "device.png": irregular}


def test_a_name_that_is_no_utf_8_is_written_by_its_bytes(tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    (tmp_path / "train" / "boot" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"damaged")
    (tmp_path / "train" / "bag").rename(tmp_path / "train" / os.fsdecode(b"b\xe4g"))
    module = ImageFolder(**arguments)
    module.setup("fit")
    assert module.classes == ("boot", r"b\xe4g", "shoe")
    boots = str(tmp_path / "train" / "boot")
    assert [*module.skipped] == [str(tmp_path / "test" / "bag"), boots + r"/caf\xe9.png"]
    assert sum(map(len, module.samples.values())) == 63


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_without_an_image_is_named(part: str, tmp_path: Path) -> None:
    arguments = image_folder(tmp_path)
    for path in (tmp_path / part / "boot").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        UserError,
        match=rf"no sample of boot in .*{part}/boot .* the first that cannot is .*/boot/.*png: not a whole image",
    ):
        ImageFolder(**arguments, test="published").setup("fit")
    for path in (tmp_path / part / "boot").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=rf"no sample of boot in .*{part}/boot \(BMP, GIF"):
        ImageFolder(**arguments, test="published").setup("fit")


def test_roots_that_hold_no_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^root: .* has no folders of images"):
        ImageFolder(root=str(tmp_path), size=8)
    (tmp_path / "only").mkdir()
    with pytest.raises(UserError, match=r"^root: a classifier needs at least 2 classes, got 1"):
        ImageFolder(root=str(tmp_path), size=8)
    with pytest.raises(UserError, match=r"^size: must be at least 1, got 0"):
        ImageFolder(root=str(tmp_path), size=0)


@pytest.mark.data
def test_cifar10_as_jpeg(tmp_path: Path) -> None:
    """Every 40th of the lossy copies: 1,250 training and 250 test images."""
    unpacked("cifar10_jpeg/cifar10_jpeg.tar.xz", tmp_path, every=40)
    module = ImageFolder(root=str(tmp_path), size=32, test="published", strict=True)
    module.setup("fit")
    assert module.classes == CIFAR10.known
    assert torch.cat([module.labels["pool"], module.labels["craft"]]).bincount().tolist() == [125] * 10
    assert module.labels["test"].bincount().tolist() == [25] * 10
    means = module.samples["pool"].stored.double().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.03)


@pytest.mark.data
def test_stl10_as_jpeg(tmp_path: Path) -> None:
    unpacked("stl10_subset/stl10_airplane_car.tar.xz", tmp_path)
    module = ImageFolder(root=str(tmp_path), size=96, strict=True)
    module.setup("fit")
    assert module.classes == ("airplane", "car")
    assert {split: module.labels[split].bincount().tolist() for split in ("pool", "craft", "test")} == {
        "pool": [400, 400],
        "craft": [50, 50],
        "test": [50, 50],
    }
    assert module.samples["pool"].stored.shape[1:] == module.sample_shape == (3, 96, 96)
