"""Many files decoded at once into one tensor, and the reasons why some of them could not be."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aal.checks import refuse


class Unreadable(ValueError):
    """A file holds no sample to be used; the message is the reason, without the file's name."""


def printable(path: Path | str) -> str:
    """Return a file's name as text that can be written: bytes of it that are no UTF-8 by their numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def files_below(folder: Path) -> list[Path]:
    """Return the files anywhere below a folder, sorted, hidden ones apart.

    Links are followed, and each folder is read once, by whichever name comes first. A folder that cannot be opened is
    among them, so that reading it tells why its files are not.
    """
    found: list[Path] = []
    seen: set[str] = set()

    def unopened(error: OSError) -> None:
        found.extend([] if isinstance(error, FileNotFoundError) else [Path(error.filename)])

    for place, folders, files in os.walk(folder, followlinks=True, onerror=unopened):
        new = os.path.realpath(place) not in seen
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if new and not name.startswith("."))
        found += [Path(place, name) for name in files if new and not name.startswith(".")]
    return sorted(found)


def read_each(
    paths: Sequence[Path],
    decode: Callable[[Path], np.typing.NDArray[Any]],
    shape: tuple[int, ...],
    dtype: np.typing.DTypeLike,
    advance: Callable[[int], None],
) -> tuple[Tensor, dict[int, str]]:
    """Read many files, a sample each, several at once.

    Args:
        paths: The files.
        decode: Returns a file's sample, of that shape and dtype, or raises :class:`Unreadable`.
        shape: Shape of a sample.
        dtype: What samples are kept as.
        advance: Told the number of files done.

    Returns:
        The samples that could be read ``(N, *shape)``, in order, and of the others the place in ``paths`` and why not.
    """
    stored = np.zeros((len(paths), *shape), dtype=dtype)
    reasons: dict[int, str] = {}

    def read(place: int) -> None:
        path = paths[place]
        try:
            other = path.exists() and not path.is_file()  # a pipe or a device, reading which may never end
            refuse(other, "neither a regular file nor a folder that can be opened", Unreadable)
            stored[place] = decode(path)
        except Unreadable as reason:
            reasons[place] = str(reason)

    with ThreadPoolExecutor() as threads:  # libsndfile and Pillow decode without Python's lock
        for _ in threads.map(read, range(len(paths))):
            advance(1)
    if reasons:
        stored = stored[[place not in reasons for place in range(len(paths))]]
    return torch.from_numpy(stored), dict(sorted(reasons.items()))
