"""The real data and weights that ``AAL_DATA`` names, for the tests marked ``data``."""

import os
import tarfile
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aal.datamodules import MNIST


def data(name: str) -> Path:
    """Return the path of a file below ``AAL_DATA``; without such a file the test is skipped."""
    folder = os.environ.get("AAL_DATA")
    if folder is None or not (Path(folder) / name).exists():
        pytest.skip(f"AAL_DATA names no folder with {name}")
    return Path(folder) / name


def mnist(part: str) -> tuple[Tensor, Tensor]:
    """Return the images ``(B, 1, 28, 28)`` in [0, 1] and labels ``(B,)`` of MNIST's ``train`` or ``t10k`` part."""
    images, labels = MNIST(root=str(data("MNIST").parent)).read("train" if part == "train" else "test")
    return images.stored / 255, labels


def cifar10(a_class: int) -> tuple[Tensor, Tensor]:
    """Return CIFAR-10's first test images of each class, compressed with loss, and their labels.

    Args:
        a_class: Number of images a class.

    Returns:
        Images ``(10 * a_class, 3, 32, 32)`` in [0, 1], and labels ``(10 * a_class,)``.
    """
    images: dict[str, list[Tensor]] = {}
    with tarfile.open(data("cifar10_jpeg/cifar10_jpeg.tar.xz")) as archive:
        for member in archive:
            path = PurePath(member.name)
            if member.isfile() and path.parts[0] == "test" and len(images.setdefault(path.parts[1], [])) < a_class:
                pixels = np.array(Image.open(archive.extractfile(member)))
                images[path.parts[1]].append(torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    x = torch.cat([torch.stack(images[name]) for name in sorted(images)])
    return x, torch.arange(10).repeat_interleave(a_class)


def unpacked(name: str, folder: Path, every: int = 1) -> None:
    """Unpack an archive of images below ``folder``.

    Args:
        name: The archive's path below ``AAL_DATA``.
        folder: Where to.
        every: Of how many files in a row the first is unpacked, for a part of them.
    """
    with tarfile.open(data(name)) as archive:
        files = [member for member in archive if member.isfile()]
        archive.extractall(folder, members=files[::every], filter="data")
