"""CIFAR-10: the Python batches, the paper's two classes, and pickles that do more than hold data."""

import hashlib
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aal import datamodules
from aal.datamodules import CIFAR10
from aal.errors import UserError
from tests.datamodules.files import cifar10, samples

BATCHES = "cifar-10-batches-py"


def test_images_and_labels_are_those_that_were_written(tmp_path: Path) -> None:
    rows, labels = samples(10, 5, (3072,), 1)
    pixels, classes = CIFAR10(**cifar10(tmp_path)).read("test")
    assert np.array_equal(pixels.stored.numpy(), rows.reshape(-1, 3, 32, 32))
    assert classes.tolist() == labels.tolist()


def test_the_papers_two_classes(tmp_path: Path) -> None:
    """Table II of paper *robust*: a share of the training images, and the test images of both classes."""
    rows, labels = samples(10, 5, (3072,), 1)
    module = CIFAR10(**cifar10(tmp_path), classes=["airplane", "frog"], limit=15, test="published")
    module.setup("fit")
    assert (module.num_classes, module.classes) == (2, ("airplane", "frog"))
    assert torch.cat([module.labels["pool"], module.labels["craft"]]).bincount().tolist() == [15, 15]
    wanted = np.isin(labels, (0, 6))
    assert np.array_equal(module.samples["test"].stored.numpy().reshape(-1, 3072), rows[wanted])
    assert module.labels["test"].tolist() == (labels[wanted] // 6).tolist()


@pytest.mark.parametrize(
    ("classes", "line"),
    [
        (["airplane", "plane"], "there is no plane, only airplane, automobile, bird"),
        (["frog", "frog"], "names frog twice"),
        (["frog"], "a classifier needs at least 2 classes, got 1"),
    ],
)
def test_classes_that_make_no_problem_are_refused(classes: list[str], line: str) -> None:
    with pytest.raises(UserError, match=rf"^classes: {line}"):
        CIFAR10(classes=classes)


class Exploit:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_does_more_than_hold_data_does_nothing(tmp_path: Path) -> None:
    arguments = cifar10(tmp_path)
    path = tmp_path / BATCHES / "data_batch_3"
    path.write_bytes(pickle.dumps({b"data": Exploit(tmp_path / "touched"), b"labels": []}))
    with pytest.raises(UserError, match=r"data_batch_3: .* it asks for pathlib\.") as caught:
        CIFAR10(**arguments).setup("fit")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {b"labels": [0]},
        {b"data": np.zeros((1, 3072)), b"labels": [0]},
        {b"data": np.zeros((1, 3071), dtype=np.uint8), b"labels": [0]},
        {b"data": np.zeros((2, 3072), dtype=np.uint8), b"labels": [0]},
        {b"data": np.zeros((1, 3072), dtype=np.uint8), b"labels": [10]},
        {b"data": np.zeros((1, 3072), dtype=np.uint8), b"labels": ["cat"]},
        {b"data": np.array(7, dtype=np.uint8), b"labels": [0]},
        {b"data": np.zeros((1, 3072), dtype=np.uint8), b"labels": 0},
        {b"data": np.array([None], dtype=object), b"labels": [0]},
    ],
    ids=["list", "no-data", "floats", "width", "number", "label", "text", "one-byte", "one-label", "objects"],
)
def test_what_is_no_batch_is_named(batch: object, tmp_path: Path) -> None:
    arguments = cifar10(tmp_path)
    (tmp_path / BATCHES / "data_batch_2").write_bytes(pickle.dumps(batch))
    with pytest.raises(UserError, match="data_batch_2: ") as caught:
        CIFAR10(**arguments).setup("fit")
    assert "\n" not in str(caught.value)


def test_one_byte_altered_is_noticed_in_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path)
    files = sorted((tmp_path / BATCHES).iterdir())
    published = {f"{BATCHES}/{path.name}": f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in files}
    assert published.keys() == CIFAR10.digests.keys()
    monkeypatch.setattr(CIFAR10, "digests", published)
    CIFAR10(root=str(tmp_path), test="published").setup("fit")
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
        with pytest.raises(UserError, match=rf"{path.name}: truncated or altered \(md5 "):
            CIFAR10(root=str(tmp_path), test="published").setup("fit")
        path.write_bytes(whole)


def test_the_archive_is_unpacked_where_a_batch_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    arguments = cifar10(made)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(made / BATCHES, BATCHES)
    asked: list[tuple[str, Path, str]] = []
    monkeypatch.setattr(datamodules.published, "fetch", lambda *given: asked.append(given))
    module = CIFAR10(**{**arguments, "root": str(tmp_path)}, download=True)
    module.prepare_data()
    module.setup("fit")
    assert asked == [(CIFAR10.source, tmp_path / "cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a")]
    assert sorted(path.name for path in (tmp_path / BATCHES).iterdir()) == [f"data_batch_{k}" for k in range(1, 6)]
    module.prepare_data()
    assert len(asked) == 1
    assert torch.equal(module.read("train")[0].stored, CIFAR10(**arguments).read("train")[0].stored)
