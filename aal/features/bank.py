"""The feature bank: encoded splits on disk, found by a digest of what they depend on, checked as they are read."""

import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from aal.checks import refuse
from aal.errors import RunStopped, UserError
from aal.runs.files import NO_SPACE, PARTIAL
from aal.sharding import Shard

KEY = "bank"
T = TypeVar("T")
SUFFIX = ".safetensors"
START = 512  # bytes before the features: a header, padded
PATIENCE = 5.0  # seconds to wait for another run before that is said, and between two looks of all ranks


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
        refuse(
            data[:START].tobytes() != header or len(data) != START + 4 * n * size + 8 * chunks,
            "its header, size or checksums are not what was written",
            Damaged,
        )
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
        refuse(
            checksum(features) != wanted,
            f"{where}, and encoding these samples again gives others than before; remove the file",
            RunStopped,
        )
        self._features[rows] = features
        outcome = "encoded again"
        try:
            with self.path.open("r+b") as file:
                file.seek(START + rows.start * features[0].nbytes)
                file.write(features.numpy().data)
        except OSError as error:  # a folder that may only be read: the next run will meet it too
            outcome += f", but not mended in the file ({error.strerror})"
        warnings.warn(f"{where}: {outcome}", stacklevel=2)


class FeatureBank:
    """A folder of encoded splits, each in a file named after its key, for any number of runs at once.

    A file appears whole: it is written under another name and renamed. Who writes it holds a lock
    that ends with the process; whoever else wants the same file waits and then reads it. Of several ranks the first
    holds the lock and writes, and all of them go on as one: with the file if every rank could open it, else encoding.

    Args:
        folder: The folder; it is made if there is none.
        shard: This process's part among the ranks.
        say: Told, by the first rank, that it waits for another run.
    """

    def __init__(
        self, folder: Path, shard: Shard | None = None, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.folder, self.shard, self.say = folder, shard or Shard(), say

    def split(
        self,
        key: str,
        n: int,
        batch_size: int,
        encode: Callable[[], Iterator[Tensor]],
        again: Callable[[Tensor], Tensor],
    ) -> EncodedSplit:
        """Return an encoded split, written first unless it is there and whole. All ranks call this together.

        Args:
            key: SHA-256 in hexadecimal of what the features depend on; the first rank's counts.
            n: Number of samples N.
            batch_size: Samples a batch.
            encode: Gives all features in order, whole batches ``(., D)`` at a time, the same on every rank.
            again: Encodes one batch by its indices ``(B,)``, in this process alone.

        Raises:
            UserError: The folder cannot be read or written to; a backbone's features are not float32 ``(B, D)``.
            RunStopped: There is no space left.
        """
        key = bytes(self.shard.first(torch.tensor(list(bytes.fromhex(key)))).tolist()).hex()
        path = self.folder / (key + SUFFIX)
        opened = partial(self._opened, path, partial(EncodedSplit, path, key, n, batch_size, again))
        split = opened(warn=False)
        if split is None:
            with self.locked(key):
                split = opened(warn=True)  # by now another run may have written it
                if split is None:
                    self._write(path, key, n, batch_size, encode)
                    split = opened(warn=True)
        if split is None:
            raise UserError(f"{KEY}: not every process sees {path} whole; name a folder on a disk that they share")
        return split

    def _opened(self, path: Path, read: Callable[[], EncodedSplit], warn: bool) -> EncodedSplit | None:
        """Return the file's features on every rank, or none on any."""

        def found() -> EncodedSplit | None:
            try:
                return read()
            except (FileNotFoundError, Damaged) as error:
                if warn and isinstance(error, Damaged):
                    rank_zero_warn(f"{path}: {error}; it is written anew")
            return None

        split = self._together(found, "read")
        return split if self._all(split is not None) else None

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a key, in the first rank; the others hear of it every few seconds."""
        lock, said = FileLock(self.folder / f".{key}.lock"), False

        def acquired() -> bool:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(Timeout):
                lock.acquire(timeout=PATIENCE)
            return lock.is_locked

        while not self._all(self._first(acquired) is not False):
            if not said:
                self.say(f"waiting for another run, which is at the same work in {self.folder}")
                said = True
        try:
            yield
        finally:
            lock.release()

    def _write(self, path: Path, key: str, n: int, batch_size: int, encode: Callable[[], Iterator[Tensor]]) -> None:
        """Write the file of a key, whose lock is held, as its batches are encoded."""
        with closing(_Unfinished(path, batch_size)) as file:
            for features in encode():
                refuse(
                    features.ndim != 2 or features.dtype != torch.float32,
                    f"{KEY}: keeps float32 features (B, D), the backbone gives {features.dtype} of shape "
                    f"{tuple(features.shape)}; set it to null",
                )
                self._first(partial(file.add, features))
            self._first(partial(file.finish, key, n, features.shape[1]))

    def _first(self, work: Callable[[], T]) -> T | None:
        """Have the first rank do what every rank waits for."""
        return self._together(work if self.shard.rank == 0 else lambda: None)

    def _together(self, work: Callable[[], T | None], done: str = "written to") -> T | None:
        """Do this rank's part; a folder that cannot be used stops every rank."""

        def refused() -> T | None:
            try:
                return work()
            except OSError as error:
                if error.errno in NO_SPACE:
                    raise RunStopped(
                        f"no space left to write to {self.folder}; what was saved before is whole"
                    ) from None
                raise UserError(
                    f"{KEY}: {self.folder} cannot be {done} ({error.strerror}); name another folder, or null"
                ) from None

        return self.shard.together(refused)

    def _all(self, yes: bool) -> bool:
        return int(self.shard.sum(torch.tensor([int(yes)]))) == self.shard.world


class _Unfinished:
    """A file that grows under another name, its header last."""

    def __init__(self, path: Path, batch_size: int) -> None:
        self._path, self._unfinished = path, path.with_name(f".{path.name}{PARTIAL}")
        self._batch_size, self._checksums = batch_size, list[int]()
        self._file: BinaryIO | None = None

    def add(self, features: Tensor) -> None:
        """Write whole batches of features ``(., D)``."""
        if self._file is None:
            remove_left_over(self._path.parent)
            self._file = self._unfinished.open("wb")
            self._file.write(bytes(START))
        for batch in features.cpu().contiguous().split(self._batch_size):
            self._checksums.append(checksum(batch))
            self._file.write(batch.numpy().data)

    def finish(self, key: str, n: int, size: int) -> None:
        """Write checksums and header, and give the file its name; who reads it checks every byte.

        Raises:
            OSError: It could not be written.
        """
        assert self._file is not None
        table = np.array(self._checksums, "<i8").tobytes()
        self._file.write(table)
        self._file.seek(0)
        self._file.write(header_of(key, n, size, self._batch_size, table))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unfinished.replace(self._path)

    def close(self) -> None:
        """Close the file, and remove it unless it was finished."""
        if self._file is not None:
            with suppress(OSError):  # where there is no space it fails once more
                self._file.close()
            self._unfinished.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Remove what processes that were killed left half written in a bank; those at work hold their file's lock."""
    for unfinished in folder.glob(f".*{SUFFIX}{PARTIAL}"):
        lock = FileLock(folder / f"{unfinished.name.removesuffix(SUFFIX + PARTIAL)}.lock")
        with suppress(Timeout), lock.acquire(timeout=0):
            unfinished.unlink(missing_ok=True)


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
