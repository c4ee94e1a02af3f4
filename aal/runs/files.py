"""Files that are whole or absent: written to a temporary name, then renamed.

A file is then whole whenever the process dies. To outlive the machine's death too, its bytes must be on the disk before
the rename; that takes milliseconds, so what is written every round is synced once a second instead (:func:`sync`).
The machine's death may then cost what was written last, or leave a checkpoint without its records.
"""

import csv
import errno
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aal.checks import refuse
from aal.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor  # takes seconds to import, which a study's process does without

PARTIAL = ".partial"  # what a process left of a file that it was writing when it died is .*.partial
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_or_absent(path: Path, *, durable: bool = True) -> Iterator[io.BufferedRandom]:
    """Open a file that takes the place of ``path`` at the end, so that a reader sees all that is written or none.

    Args:
        path: Where to; its folder is made if there is none.
        durable: Whether to wait until the data are on the disk.

    Raises:
        OSError: The file could not be written; ``path`` is as it was before, as with any other exception.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` to ``path`` so that a reader, or a run killed at any moment, sees all of it or none.

    Args:
        path: Where to; its folder is made if there is none.
        data: The file's content.
        durable: Whether to wait until the data are on the disk.

    Raises:
        OSError: The file could not be written; ``path`` is as it was before.
    """
    with whole_or_absent(path, durable=durable) as file:
        file.write(data)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Write ``value`` as indented JSON, whole or not at all. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, durable: bool = True) -> None:
    """Write a CSV table with a header line, whole or not at all. ``None`` becomes an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue(), durable=durable)


def write_tensors(path: Path, tensors: "dict[str, Tensor]", *, durable: bool = True) -> None:
    """Write named tensors as safetensors, whole or not at all."""
    import safetensors.torch

    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    write_bytes(path, data, durable=durable)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file.

    Raises:
        UserError: The file is missing, truncated or no safetensors file.
    """
    import safetensors.torch

    try:
        return safetensors.torch.load(read_bytes(path))
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: truncated, or not a safetensors file ({error})") from None


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        UserError: The file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None


def append_line(path: Path, line: str) -> int:
    """Append a line to ``path`` and return the file's size in bytes afterwards.

    A line half written when the process dies is cut off again by :func:`truncate`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("ab") as file:
            file.write(line.encode() + b"\n")
            return file.tell()
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync(path: Path) -> None:
    """Wait until what was written to ``path`` is on the disk, if there is such a file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def truncate(path: Path, size: int) -> None:
    """Cut ``path`` back to its first ``size`` bytes (0 also where there is no file).

    Raises:
        UserError: The file is shorter than that: something else changed it.
    """
    found = path.stat().st_size if path.exists() else 0
    refuse(found < size, f"{path}: {found} bytes, but the checkpoint was saved when it had {size}: it was cut since")
    if found > size:
        os.truncate(path, size)
