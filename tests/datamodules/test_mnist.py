"""MNIST: the idx format, compressed or not, and what is refused."""

import errno
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aal import datamodules
from aal.datamodules import MNIST
from aal.errors import RunStopped, UserError
from tests.datamodules.files import mnist, samples
from tests.real_data import data

RAW = Path("MNIST") / "raw"


def everything(module: MNIST) -> tuple[torch.Tensor, torch.Tensor]:
    samples = module.samples.values()
    return torch.cat([each.stored for each in samples]), torch.cat([module.labels[split] for split in module.samples])


def unpacked(path: Path) -> Path:
    """Decompress a file and remove it."""
    whole = path.with_suffix("")
    whole.write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    return whole


def test_images_and_labels_are_those_that_were_written(tmp_path: Path) -> None:
    arguments = mnist(tmp_path)
    images, labels = samples(10, 20, (28, 28), 0)
    module = MNIST(**arguments)
    pixels, classes = module.read("train")
    assert np.array_equal(pixels.stored.numpy()[:, 0], images)
    assert classes.tolist() == labels.tolist()


def test_files_may_be_decompressed(tmp_path: Path) -> None:
    arguments = mnist(tmp_path)
    compressed = MNIST(**arguments, test="published")
    compressed.setup("fit")
    for path in list((tmp_path / RAW).iterdir()):
        unpacked(path)
    plain = MNIST(**arguments, test="published")
    plain.setup("fit")
    assert plain.fingerprint == compressed.fingerprint


def test_digits_are_labelled_in_the_order_named(tmp_path: Path) -> None:
    arguments = mnist(tmp_path)
    images, labels = samples(10, 20, (28, 28), 0)
    module = MNIST(**arguments, digits=[7, 1])
    assert (module.num_classes, module.classes) == (2, ("7", "1"))
    pixels, classes = module.read("train")
    assert np.array_equal(pixels.stored.numpy()[:, 0], images[np.isin(labels, (1, 7))])
    assert classes.tolist() == [0 if label == 7 else 1 for label in labels if label in (1, 7)]


@pytest.mark.parametrize(
    ("digits", "line"),
    [
        ([1, 10], "there is no 10, only 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ([1, 1], "names 1 twice"),
        ([3], "a classifier needs at least 2 classes, got 1"),
        ([], "a classifier needs at least 2 classes, got 0"),
    ],
)
def test_digits_that_make_no_problem_are_refused(digits: list[int], line: str) -> None:
    with pytest.raises(UserError) as caught:
        MNIST(digits=digits)
    assert str(caught.value) == f"digits: {line}"


def test_one_byte_altered_is_noticed_in_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path)
    files = [unpacked(path) for path in sorted((tmp_path / RAW).iterdir())]
    published = {f"{RAW}/{path.name}": f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in files}
    assert published.keys() == MNIST.digests.keys()
    monkeypatch.setattr(MNIST, "digests", published)
    MNIST(root=str(tmp_path), test="published").setup("fit")
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
        with pytest.raises(UserError, match=rf"{path.name}: truncated or altered \(md5 "):
            MNIST(root=str(tmp_path), test="published").setup("fit")
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("position", "value", "file"),
    [
        (2, 9, "images-idx3"),
        (3, 1, "images-idx3"),
        (11, 27, "images-idx3"),
        (7, 199, "images-idx3"),
        (20, 10, "labels-idx1"),
    ],
    ids=["type", "dimensions", "height", "number", "label"],
)
def test_a_header_or_label_that_cannot_be_is_named(position: int, value: int, file: str, tmp_path: Path) -> None:
    arguments = mnist(tmp_path)
    path = unpacked(tmp_path / RAW / f"train-{file}-ubyte.gz")
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    with pytest.raises(UserError, match=path.name):
        MNIST(**arguments).setup("fit")


def test_what_is_no_gzip_is_named(tmp_path: Path) -> None:
    arguments = mnist(tmp_path)
    (tmp_path / RAW / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz: truncated or altered"):
        MNIST(**arguments).setup("fit")


def test_only_what_is_missing_and_needed_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path)
    unpacked(tmp_path / RAW / "train-images-idx3-ubyte.gz")
    (tmp_path / RAW / "train-labels-idx1-ubyte.gz").unlink()
    (tmp_path / RAW / "t10k-labels-idx1-ubyte.gz").unlink()
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(datamodules.published, "fetch", lambda url, path, checksum: asked.append((url, checksum)))
    MNIST(root=str(tmp_path)).prepare_data()
    assert not asked
    MNIST(root=str(tmp_path), download=True).prepare_data()
    address = "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz"
    assert asked == [(address, "md5:d53e105ee54ea40749a09fcbcd1e9432")]


def test_missing_files_are_named_together(tmp_path: Path) -> None:
    mnist(tmp_path)
    for part in ("train", "t10k"):
        (tmp_path / RAW / f"{part}-labels-idx1-ubyte.gz").unlink()
    line = rf"^root: .* has no {RAW}/train-l.*\.gz, {RAW}/t10k-l.*\.gz; put them there \(.*\), or set download: true$"
    with pytest.raises(UserError, match=line):
        MNIST(root=str(tmp_path), test="published").setup("fit")


def test_a_root_that_cannot_hold_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        data = MNIST(root=str(root), download=True)
        data.prepare_data()  # in one process of many: what went wrong is told where all of them are
        with pytest.raises(UserError, match=r"^root: .* cannot be written to \("):
            data.setup("fit")


def test_nothing_is_locked_where_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = mnist(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(datamodules.published, "FileLock", refusing(errno.EROFS))
    data = MNIST(**arguments, download=True, test="published")
    data.prepare_data()
    data.setup("fit")
    assert len(data.samples["test"]) == 50
    assert sorted(tmp_path.rglob("*")) == before


def refusing(number: int) -> Callable[..., object]:
    """Return a function that the disk refuses."""

    def refuse(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("what", ["aal.datamodules.published.FileLock", "aal.datamodules.published.fetch"])
def test_what_the_disk_refuses_is_told_where_all_ranks_are(
    number: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what, refusing(number))
    data = MNIST(root=str(tmp_path), download=True)
    data.prepare_data()
    full = number in (errno.ENOSPC, errno.EDQUOT)
    line = "^no space left to fetch to " if full else r"^root: .* cannot be written to \("
    with pytest.raises(RunStopped if full else UserError, match=line):
        data.setup("fit")


@pytest.mark.parametrize(("download", "done"), [(True, "written to"), (False, "read")])
def test_a_root_that_cannot_be_looked_into(download: bool, done: str) -> None:
    data = MNIST(root="x" * 300, download=download)
    data.prepare_data()
    with pytest.raises(UserError, match=rf"^root: x+ cannot be {done} \(File name too long\)$"):
        data.setup("fit")


@pytest.mark.data
def test_the_published_files() -> None:
    module = MNIST(root=str(data("MNIST").parent), test="published")
    module.setup("fit")
    assert {split: len(each) for split, each in module.samples.items()} == {
        "pool": 54_000,
        "craft": 6_000,
        "test": 10_000,
    }
    train = module.labels["pool"].bincount() + module.labels["craft"].bincount()
    assert train.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert module.labels["test"].bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    means = torch.cat([module.samples[split].stored for split in ("pool", "craft")]).double().mean() / 255
    assert means.item() == pytest.approx(0.1307, abs=5e-5)  # the mean that everybody normalises by
