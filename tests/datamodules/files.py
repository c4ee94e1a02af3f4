"""Tiny data sets of random samples, each in the files of its published format."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aal import datamodules
from aal.datamodules import ActiveDataModule
from tests.datamodules.sounds import audio_set, speech_commands

TRAIN, TEST = 20, 5  # samples of each class in the parts that most functions write


def samples(classes: int, each: int, shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ``each`` samples of every class in random order, and their labels from 0."""
    draws = np.random.default_rng(seed)
    labels = draws.permutation(np.repeat(np.arange(classes, dtype=np.uint8), each))
    return draws.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels


def digits(folder: Path) -> dict[str, Any]:
    """Digits need no files."""
    return {}


def mnist(folder: Path) -> dict[str, Any]:
    """Write MNIST's four idx files, compressed."""
    for seed, (part, each) in enumerate((("train", TRAIN), ("t10k", TEST))):
        images, labels = samples(10, each, (28, 28), seed)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / "MNIST" / "raw" / f"{part}-{name}-ubyte.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4) for size in array.shape)
            path.write_bytes(gzip.compress(header + array.tobytes()))
    return {"root": str(folder), "checksums": False}


def cifar10(folder: Path) -> dict[str, Any]:
    """Write CIFAR-10's six batches."""
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    images, labels = samples(10, TRAIN, (3072,), 0)
    parts = {f"data_batch_{k + 1}": (images[k::5], labels[k::5]) for k in range(5)}
    for name, (rows, classes) in {**parts, "test_batch": samples(10, TEST, (3072,), 1)}.items():
        batch = {b"batch_label": name.encode(), b"labels": classes.tolist(), b"data": rows, b"filenames": []}
        (place / name).write_bytes(pickle.dumps(batch, protocol=2))
    return {"root": str(folder), "checksums": False}


def stl10(folder: Path) -> dict[str, Any]:
    """Write STL-10's labelled parts: columns first, labels from 1."""
    place = folder / "stl10_binary"
    place.mkdir(parents=True)
    for seed, (part, each) in enumerate((("train", TRAIN), ("test", TEST))):
        images, labels = samples(10, each, (3, 96, 96), seed)
        (place / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        (place / f"{part}_y.bin").write_bytes((labels + 1).tobytes())
    return {"root": str(folder), "checksums": False}


def quickdraw(folder: Path) -> dict[str, Any]:
    """Write the bitmaps of four of Quick, Draw!'s categories, of different numbers."""
    categories = ["cat", "face", "angel", "dolphin"]
    (folder / "quickdraw").mkdir(parents=True)
    for seed, name in enumerate(categories):
        np.save(folder / "quickdraw" / f"{name}.npy", samples(1, TRAIN + seed, (784,), seed)[0])
    return {"root": str(folder), "categories": categories}


def image_folder(folder: Path) -> dict[str, Any]:
    """Write PNGs in a training and a test part, three classes of different numbers."""
    for seed, (part, each) in enumerate((("train", TRAIN), ("test", TEST))):
        for label, name in enumerate(("bag", "boot", "shoe")):
            place = folder / part / name
            place.mkdir(parents=True)
            for k, pixels in enumerate(samples(1, each + label, (12, 12, 3), 10 * seed + label)[0]):
                Image.fromarray(pixels).save(place / f"{k}.png")
    return {"root": str(folder), "size": 12}


def toy_mixture(folder: Path) -> dict[str, Any]:
    """Draw mixtures without files, with mislabelled points at two distances."""
    return {"distances": [0.0, 3.0], "repeats": 2, "test": 20}


def half_moons(folder: Path) -> dict[str, Any]:
    """Draw half moons without files."""
    return {"victim": 60, "adversary": 80, "test": 30}


def breast_cancer(folder: Path) -> dict[str, Any]:
    """The data come with scikit-learn."""
    return {"victim": 100, "test": 60}


def abalone(folder: Path) -> dict[str, Any]:
    """Write rows as Abalone's are: a sex, seven lengths and weights, rings."""
    draws = np.random.default_rng(0)
    sexes, rings = draws.choice(["F", "I", "M"], 1400), draws.integers(1, 30, 1400)
    measured = [",".join(f"{value:.4f}" for value in row) for row in draws.uniform(0, 1, (1400, 7))]
    (folder / "abalone").mkdir(parents=True)
    rows = [f"{sex},{row},{ring}\n" for sex, row, ring in zip(sexes, measured, rings, strict=True)]
    (folder / "abalone" / "abalone.data").write_text("".join(rows))
    return {"root": str(folder), "checksums": False, "victim": 60, "adversary": 80, "test": 30, "craft": 20}


def csv_table(folder: Path) -> dict[str, Any]:
    """Write a table with a header, of numbers, words and labels, three classes of different numbers."""
    draws = np.random.default_rng(1)
    folder.mkdir(parents=True)
    lines = [
        f"{wide:.5f},{color},{count},{kind}"
        for wide, color, count, kind in zip(
            draws.normal(0, 9, 400),
            draws.choice(["red", "green", "dark blue"], 400),
            draws.integers(0, 99, 400),
            draws.choice(["cat", "dog", "eel"], 400, p=[0.5, 0.3, 0.2]),
            strict=True,
        )
    ]
    (folder / "table.csv").write_text("\n".join(["wide,color,count,kind", *lines]))
    return {"root": str(folder), "file": "table.csv", "victim": 60, "test": 60}


def beta_sampling(folder: Path) -> dict[str, Any]:
    """Draw points near a boundary without files."""
    return {"beta": 1.0, "n": 200, "test": 40}


# What writes each datamodule's files below a folder that is not there yet, and returns the arguments to read them with.
FILES: dict[type[ActiveDataModule], Callable[[Path], dict[str, Any]]] = {
    datamodules.Abalone: abalone,
    datamodules.AudioSet: audio_set,
    datamodules.BetaSampling: beta_sampling,
    datamodules.BreastCancer: breast_cancer,
    datamodules.CSVTable: csv_table,
    datamodules.CIFAR10: cifar10,
    datamodules.Digits: digits,
    datamodules.HalfMoons: half_moons,
    datamodules.ImageFolder: image_folder,
    datamodules.MNIST: mnist,
    datamodules.QuickDraw: quickdraw,
    datamodules.SpeechCommands: speech_commands,
    datamodules.STL10: stl10,
    datamodules.ToyMixture: toy_mixture,
}
