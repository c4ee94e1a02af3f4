"""A split's features in a safetensors file that is mapped into memory and checked as it is read."""

import json
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aal.errors import RunStopped

START = 512  # bytes before the features: a header, padded


class Damaged(Exception):
    """A file is not what was written: how."""


class EncodedSplit:
    """The features of a split, mapped from a file. A chunk is one batch of the encoding, and has a checksum.

    The mapping is private: where a chunk turns out to be damaged, its batch is encoded again, by this process for
    itself, put in the damaged one's place and written back over it. No rank waits for another in that, so it does not
    matter which of them reads the chunk, and the result is what the others read: the checksum tells. Two processes
    that mend the same chunk write the same bytes.

    Args:
        path: The file.
        key: The key that it was written for.
        n: Number of samples N.
        batch_size: Samples a batch.
        again: Encodes the samples of a batch by their indices ``(B,)``, in this process alone.

    Raises:
        Damaged: The file was cut, is of another key, or its header or checksums have changed.
        OSError: It is not there, or cannot be read.
    """

    def __init__(self, path: Path, key: str, n: int, batch_size: int, again: Callable[[Tensor], Tensor]) -> None:
        self.path, self.batch_size, self._again = path, batch_size, again
        chunks = -(-n // batch_size)
        try:
            data = np.memmap(path, np.uint8, "c")
        except ValueError:
            raise Damaged("it is empty") from None
        table = data[-8 * chunks :].tobytes()
        size = max(len(data) - START - len(table), 0) // (4 * n)
        header = header_of(key, n, size, batch_size, table)
        if data[:START].tobytes() != header or len(data) != START + 4 * n * size + 8 * chunks:
            raise Damaged("its header, size or checksums are not what was written")
        self._checksums = np.frombuffer(table, "<i8").tolist()
        self._features = torch.from_numpy(data[START : -len(table)].view("<f4").reshape(n, size))
        self._checked = torch.zeros(len(self._checksums), dtype=torch.bool)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return the features ``(B, D)`` of indices ``(B,)``, on the CPU.

        Raises:
            RunStopped: A chunk is damaged and could not be encoded as it was.
        """
        chunks = (indices // self.batch_size).unique()
        self._check(chunks[~self._checked[chunks]])
        return self._features[indices]

    def whole(self) -> Tensor:
        """Return all features ``(N, D)``, without a copy.

        Raises:
            RunStopped: A chunk is damaged and could not be encoded as it was.
        """
        self._check((~self._checked).nonzero().flatten())
        return self._features

    def _check(self, chunks: Tensor) -> None:
        for chunk in chunks.tolist():
            rows = slice(chunk * self.batch_size, min((chunk + 1) * self.batch_size, len(self._features)))
            if checksum(self._features[rows]) != self._checksums[chunk]:
                self._mend(rows, self._checksums[chunk])
            self._checked[chunk] = True

    def _mend(self, rows: slice, wanted: int) -> None:
        """Encode damaged rows again, here and in the file."""
        where = f"{self.path}: the features of samples {rows.start} to {rows.stop - 1} are damaged"
        features = self._again(torch.arange(rows.start, rows.stop)).cpu().contiguous()
        if checksum(features) != wanted:
            raise RunStopped(f"{where}, and encoding these samples again gives others than before; remove the file")
        self._features[rows] = features
        outcome = "encoded again"
        try:
            with self.path.open("r+b") as file:
                file.seek(START + rows.start * features[0].nbytes)
                file.write(features.numpy().data)
        except OSError as error:  # a folder that may only be read: the next run will meet it too
            outcome += f", but not mended in the file ({error.strerror})"
        warnings.warn(f"{where}: {outcome}", stacklevel=2)


def checksum(features: Tensor) -> int:
    """Return the CRC-32 of the bytes of features ``(B, D)``."""
    return zlib.crc32(features.numpy().data)


def header_of(key: str, n: int, size: int, batch_size: int, table: bytes) -> bytes:
    """Return the bytes that a file begins with, up to its features, as safetensors has it."""
    end = 4 * n * size
    words = {
        "__metadata__": {"key": key, "batch_size": str(batch_size), "checksums": f"{zlib.crc32(table):08x}"},
        "features": {"dtype": "F32", "shape": [n, size], "data_offsets": [0, end]},
        "checksums": {"dtype": "I64", "shape": [len(table) // 8], "data_offsets": [end, end + len(table)]},
    }
    return (START - 8).to_bytes(8, "little") + json.dumps(words).encode().ljust(START - 8)
