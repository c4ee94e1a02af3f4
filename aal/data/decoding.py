"""Many files decoded at once into one tensor, and the reasons why some of them could not be."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Unreadable(ValueError):
    """A file holds no sample to be used; the message is the reason, without the file's name."""


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
        try:
            stored[place] = decode(paths[place])
        except Unreadable as reason:
            reasons[place] = str(reason)

    with ThreadPoolExecutor() as threads:  # libsndfile and Pillow decode without Python's lock
        for _ in threads.map(read, range(len(paths))):
            advance(1)
    if reasons:
        stored = stored[[place not in reasons for place in range(len(paths))]]
    return torch.from_numpy(stored), dict(sorted(reasons.items()))
