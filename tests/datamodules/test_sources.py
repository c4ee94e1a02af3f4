"""Where a sample comes from: the file or row that is named holds that very sample, whatever was split and left out."""

import gzip
import os
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from aal import datamodules
from aal.data.samples import ImageSamples, Sources
from aal.datamodules import ActiveDataModule
from aal.datamodules.tabular import Tabular
from tests.datamodules.files import FILES


@cache
def digits() -> NDArray[np.float64]:
    return np.asarray(load_digits().data)


def published(root: Path, source: str) -> NDArray[np.generic]:
    """Read what a source names without the datamodule, as the bytes that it keeps, flattened."""
    name, _, row = source.partition("#")
    path = root / name
    match path.suffix:
        case ".gz":
            return np.frombuffer(gzip.decompress(path.read_bytes())[16:], np.uint8).reshape(-1, 784)[int(row)]
        case ".bin":
            return np.fromfile(path, np.uint8).reshape(-1, 3, 96, 96)[int(row)].transpose(0, 2, 1).ravel()
        case ".npy":
            return np.asarray(np.load(path)[int(row)])
        case ".png":
            return np.asarray(Image.open(path)).transpose(2, 0, 1).ravel()
        case ".wav" | ".flac":
            return np.asarray(soundfile.read(path, dtype="int16")[0])
        case ".load_digits":
            return np.asarray((digits()[int(row)] * (255 / 16)).round().astype(np.uint8))
        case _:
            return np.asarray(pickle.loads(path.read_bytes(), encoding="bytes")[b"data"][int(row)])


DRAWN = (datamodules.ToyMixture, datamodules.BetaSampling, Tabular)  # or rows of a table: none has a file of its own


@pytest.mark.parametrize("kind", [kind for kind in FILES if not issubclass(kind, DRAWN)])
def test_a_source_holds_its_sample(kind: type[ActiveDataModule], tmp_path: Path) -> None:
    arguments = FILES[kind](tmp_path / "data")
    some = {} if kind is datamodules.Digits else {"limit": 15}
    module = kind(**arguments | some, seed=3, secured=10)
    module.setup("fit")
    named = set()
    for samples in module.samples.values():
        for index, kept in enumerate(samples.stored):
            source = samples.source(index)
            assert source is not None
            assert np.array_equal(published(tmp_path / "data", source), kept.flatten().numpy()), source
            named.add(source)
    assert len(named) == sum(map(len, module.samples.values())), "a source named twice"


def test_what_was_appended_or_drawn_has_no_source() -> None:
    samples = ImageSamples(
        torch.zeros(3, 1, 2, 2, dtype=torch.uint8), Sources.rows(["a", "b"], [2, 1], torch.arange(3))
    )
    assert [samples.source(index) for index in range(3)] == ["a#0", "a#1", "b#0"]
    samples.append(torch.ones(1, 1, 2, 2))
    assert samples.source(3) is None
    assert samples.take(torch.tensor([2, 0])).source(0) == "b#0"
    mixture = datamodules.ToyMixture()
    mixture.setup("fit")
    assert mixture.samples["pool"].source(0) is None


def test_a_name_that_is_no_utf_8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    source = Sources.whole([tmp_path / name], str(tmp_path)).name(0)
    assert source == r"caf\xe9.png"
    assert source.encode() == rb"caf\xe9.png"


def test_a_file_outside_the_data_sets_folder_is_named_in_full(tmp_path: Path) -> None:
    sources = Sources.whole([tmp_path / "x" / "a.wav", tmp_path / "b.wav"], str(tmp_path / "x"))
    assert (sources.name(0), sources.name(1)) == ("a.wav", (tmp_path / "b.wav").as_posix())
