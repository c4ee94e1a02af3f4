"""Quick, Draw!: a file a category, of which only what is used is read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aal import datamodules
from aal.datamodules import QuickDraw
from aal.errors import UserError
from tests.datamodules.files import quickdraw, samples
from tests.real_data import data


def test_drawings_are_those_that_were_written(tmp_path: Path) -> None:
    module = QuickDraw(**{**quickdraw(tmp_path), "categories": ["dolphin", "cat"]})
    assert (module.num_classes, module.classes) == (2, ("dolphin", "cat"))
    pixels, labels = module.read("train")
    written = np.concatenate([samples(1, 23, (784,), 3)[0], samples(1, 20, (784,), 0)[0]])
    assert np.array_equal(pixels.stored.numpy().reshape(-1, 784), written)
    assert labels.tolist() == [0] * 23 + [1] * 20


def test_a_limit_reads_no_more_than_it_uses(tmp_path: Path) -> None:
    """Files of 1.6 GB, all but their headers a hole, give a few drawings."""
    categories = ["cat", "The Eiffel Tower"]
    (tmp_path / "quickdraw").mkdir()
    for name in categories:
        with (tmp_path / "quickdraw" / f"{name}.npy").open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (2_000_000, 784)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 2_000_000 * 784)
    module = QuickDraw(root=str(tmp_path), categories=categories, limit=10)
    module.setup("fit")
    assert torch.cat(list(module.labels.values())).bincount().tolist() == [10, 10]


@pytest.mark.parametrize("limit", [3, 5, 8])
def test_a_limit_that_leaves_a_split_without_a_class_is_refused(limit: int, tmp_path: Path) -> None:
    module = QuickDraw(**{**quickdraw(tmp_path), "limit": limit})
    with pytest.raises(UserError, match=rf"{limit} samples of class .* with limit {limit}, and .* got none"):
        module.setup("fit")


@pytest.mark.parametrize(
    ("categories", "line"),
    [
        (["cat", "cat"], "names cat twice"),
        (["cat"], "a classifier needs at least 2 classes, got 1"),
        (["cat", "../cat"], "no category is called '../cat'"),
        (["cat", ""], "no category is called ''"),
    ],
)
def test_categories_that_make_no_problem_are_refused(categories: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        QuickDraw(categories=categories)
    assert str(caught.value) == f"categories: {line}"


def test_what_holds_no_bitmaps_is_named(tmp_path: Path) -> None:
    arguments = quickdraw(tmp_path)
    path = tmp_path / "quickdraw" / "cat.npy"
    for array in (np.zeros((5, 784)), np.zeros((5, 783), dtype=np.uint8), np.zeros(784, dtype=np.uint8)):
        np.save(path, array)
        with pytest.raises(UserError, match=r"cat\.npy: does not hold bitmaps"):
            QuickDraw(**arguments).setup("fit")
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"cat\.npy: truncated, or not an \.npy file") as caught:
        QuickDraw(**arguments).setup("fit")
    assert "\n" not in str(caught.value)


def test_bytes_that_do_not_belong_are_noticed(tmp_path: Path) -> None:
    arguments = quickdraw(tmp_path)
    path = tmp_path / "quickdraw" / "cat.npy"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match=r"cat\.npy: .* 4 bytes"):
        QuickDraw(**arguments).setup("fit")


def test_what_is_missing_is_fetched_under_its_quoted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path, None]] = []
    monkeypatch.setattr(datamodules.published, "fetch", lambda *given: asked.append(given))
    QuickDraw(root=str(tmp_path), categories=["cat", "The Eiffel Tower"], download=True).prepare_data()
    address = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"
    folder = tmp_path / "quickdraw"
    assert asked == [
        (f"{address}cat.npy", folder / "cat.npy", None),
        (f"{address}The%20Eiffel%20Tower.npy", folder / "The Eiffel Tower.npy", None),
    ]


@pytest.mark.data
def test_published_drawings(tmp_path: Path) -> None:
    categories = ["apple", "bicycle", "cat", "fish"]
    (tmp_path / "quickdraw").mkdir()
    with np.load(data("quickdraw/quickdraw4.npz")) as bundle:
        cat = bundle["cat"]
        for name in categories:
            np.save(tmp_path / "quickdraw" / f"{name}.npy", bundle[name])
    module = QuickDraw(root=str(tmp_path), categories=categories)
    module.setup("fit")
    assert torch.cat(list(module.labels.values())).bincount().tolist() == [1000] * 4
    pixels, labels = module.read("train")
    assert np.array_equal(pixels.stored[labels == 2].numpy().reshape(-1, 784), cat)
    assert 0.1 < pixels.stored.double().mean() / 255 < 0.4, "white on black"
