"""STL-10: columns first, labels from 1, and files that do not fit each other."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from aal.datamodules import STL10
from aal.errors import UserError
from tests.datamodules.files import samples, stl10


def test_a_pixel_is_found_where_the_publisher_puts_it(tmp_path: Path) -> None:
    arguments = stl10(tmp_path)
    content = np.zeros(2 * 3 * 96 * 96, dtype=np.uint8)
    content[(1 * 3 + 2) * 96 * 96 + 10 * 96 + 4] = 200  # of image 1 the blue channel's column 10, row 4
    (tmp_path / "stl10_binary" / "train_X.bin").write_bytes(content.tobytes())
    (tmp_path / "stl10_binary" / "train_y.bin").write_bytes(bytes([10, 1]))
    images, labels = STL10(**arguments).read("train")
    assert images.stored.nonzero().tolist() == [[1, 2, 4, 10]]
    assert labels.tolist() == [9, 0]


def test_classes_are_kept_in_the_order_named(tmp_path: Path) -> None:
    pixels, labels = samples(10, 5, (3, 96, 96), 1)
    module = STL10(**stl10(tmp_path), classes=["car", "airplane"])
    images, classes = module.read("test")
    wanted = np.isin(labels, (0, 2))
    assert np.array_equal(images.stored.numpy(), pixels[wanted])
    assert classes.tolist() == [0 if label == 2 else 1 for label in labels[wanted]]
    with pytest.raises(UserError, match=r"^classes: there is no frog, only airplane, bird, car"):
        STL10(classes=["frog", "car"])


@pytest.mark.parametrize("label", [0, 11])
def test_a_label_that_cannot_be_is_named(label: int, tmp_path: Path) -> None:
    arguments = stl10(tmp_path)
    path = tmp_path / "stl10_binary" / "train_y.bin"
    path.write_bytes(bytes([label]) + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"train_y\.bin: "):
        STL10(**arguments).setup("fit")


def test_one_byte_altered_is_noticed_in_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stl10(tmp_path)
    files = sorted((tmp_path / "stl10_binary").iterdir())
    published = {f"stl10_binary/{path.name}": f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in files}
    assert published.keys() <= STL10.digests.keys()
    monkeypatch.setattr(STL10, "digests", published)
    STL10(root=str(tmp_path), test="published").setup("fit")
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(UserError, match=rf"{path.name}: truncated or altered \(md5 "):
            STL10(root=str(tmp_path), test="published").setup("fit")
        path.write_bytes(whole)
