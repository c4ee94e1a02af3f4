"""Files that are whole or absent: written to a temporary name, then renamed.

A file is then whole whenever the process dies. To outlive the machine's death too, its bytes must be on the disk before
the rename; that takes milliseconds, so what is written every round is synced once a second instead (:func:`sync`).
The machine's death may then cost what was written last, or leave a checkpoint without its records.
"""

import csv
import errno
import hashlib
import io
import json
import os
import pickle
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aal.checks import refuse
from aal.errors import RunStopped, UserError

if TYPE_CHECKING:
    from torch import Tensor  # takes seconds to import, which a study's process does without

PARTIAL = ".partial"  # what a process left of a file that it was writing when it died is .*.partial
NOTHING = hashlib.sha256().hexdigest()  # of no bytes
WRITTEN = (".yaml", ".json", ".jsonl", ".csv", ".html", ".safetensors", ".ckpt", ".png")  # endings of files
FIGURES = "figures"  # the folder of a run's and of a study's
AT_IT = "removed, cut or altered while the run wrote into it; put it back as it was, or choose another --out"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_or_absent(path: Path, *, durable: bool = True) -> Iterator[io.BufferedRandom]:
    """Open a file that takes the place of ``path`` at the end, so that a reader sees all that is written or none.

    Args:
        path: Where to; its folder is made if there is none, but not the one that this is in, which may have vanished.
        durable: Whether to wait until the data are on the disk.

    Raises:
        OSError: The file could not be written; ``path`` is as it was before, as with any other exception.
    """
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        error.filename = str(path)
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
    """Write UTF-8 text, whole or not at all; names of files that are no text are written in escapes."""
    write_bytes(path, text.encode(errors="backslashreplace"), durable=durable)


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:  # noqa: ANN401 - whatever JSON can say
    """Write ``value`` as JSON, indented or on one line, whole or not at all. NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_sealed(path: Path, kind: str, value: dict[str, Any], *, indent: int | None = 2) -> None:
    """Write ``value`` as JSON with a digest of it and its kind, by which :func:`read_sealed` knows it again."""
    write_json(path, sealed(kind, value), indent=indent)


def sealed(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return ``value`` with what :func:`write_sealed` adds to it."""
    return {"sha256": _seal_of(kind, value), **value}


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


def refuse_irregular(path: Path) -> None:
    """Refuse a pipe or a device, reading which may never end.

    Raises:
        UserError: It is one.
    """
    refuse(path.exists() and not (path.is_file() or path.is_dir()), f"{path}: a pipe or a device, no regular file")


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: The file is missing, no regular one or cannot be read.
    """
    refuse_irregular(path)
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


def read_pickled(path: Path, called: str) -> Any:  # noqa: ANN401
    """Read tensors and plain values that ``torch.save`` wrote; nothing else is loaded.

    Args:
        path: The file.
        called: What it should be, for the message; torch's own advises to load it all the same.

    Raises:
        UserError: The file is missing, damaged, or holds more than that.
    """
    import torch

    content = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # such files are refused anyway
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: holds more than tensors (a pickle); it was not loaded") from None
    except Exception:  # whatever a damaged file makes the reader stumble over
        raise UserError(f"{path}: truncated, or not {called}") from None


def from_json(text: str | bytes, path: Path, called: str = "JSON") -> Any:  # noqa: ANN401
    """Read JSON text of a file.

    Raises:
        UserError: It is none, or nested too deeply; the line says that the file is not what it is ``called``.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not {called} ({error})") from None
    except RecursionError:
        raise UserError(f"{path}: not {called} (nested too deeply)") from None


def refuse_misplaced(folder: Path, folders: Collection[str]) -> None:
    """Refuse files in the place of folders, and folders with names of files, among what was written into a folder.

    Args:
        folder: Where to look.
        folders: Names of the folders that may be there.

    Raises:
        UserError: Names the first of them.
    """
    for entry in sorted(folder.iterdir()):
        if entry.name in folders:
            refuse(not entry.is_dir(), f"{entry}: a file in the place of a folder; remove it")
            if entry.name == FIGURES:
                refuse_misplaced(entry, ())
        else:
            refuse(entry.suffix in WRITTEN and entry.is_dir(), f"{entry}: a folder in the place of a file; remove it")


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        UserError: The file is missing, cannot be read, is not JSON or is nested too deeply.
    """
    return from_json(read_bytes(path), path)


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """Read what :func:`write_sealed` wrote, such as ``the manifest of poisons``.

    Raises:
        UserError: The file is missing, was changed since, or is of another kind.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("sha256", None) != _seal_of(kind, value):
        raise UserError(f"{path}: altered since it was written, or not {kind} as this version of aal writes it")
    return value


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def refuse_changed(path: Path, digest: object, remedy: str) -> None:
    """Refuse a file whose SHA-256 is not ``digest``, what it was when it was written.

    Raises:
        UserError: It is not, or the file is missing or cannot be read.
    """
    refuse(digest_of(path) != digest, f"{path}: altered since it was written; {remedy}")


def _seal_of(kind: str, value: dict[str, Any]) -> str:
    return hashlib.sha256(f"{kind} {json.dumps(value)}".encode()).hexdigest()


def append_line(path: Path, line: str, size: int) -> bytes:
    """Append a line to ``path``, which has ``size`` bytes, and return what was added.

    A line half written when the process dies is cut off again by :func:`truncate`.

    Raises:
        RunStopped: The file has another size, or is gone: something else is at it.
        OSError: It could not be written.
    """
    added = line.encode() + b"\n"
    try:
        with path.open("r+b" if size else "ab") as file:
            refuse(file.seek(0, os.SEEK_END) != size, f"{path}: {AT_IT}", RunStopped)
            file.write(added)
    except FileNotFoundError:
        refuse(size and path.parent.exists(), f"{path}: {AT_IT}", RunStopped)
        raise
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    return added


def sync(path: Path) -> None:
    """Wait until what was written to ``path`` is on the disk, if there is such a file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def truncate(path: Path, size: int, digest: str) -> bytes:
    """Cut ``path`` back to its first ``size`` bytes, of SHA-256 ``digest``, and return them (0 also without a file).

    Raises:
        UserError: These bytes are not there or others: something else changed the file.
    """
    content = read_bytes(path) if path.exists() else b""
    altered = hashlib.sha256(content[:size]).hexdigest() != digest
    refuse(altered, f"{path}: cut or altered since the checkpoint was saved; put it back, or choose another --out")
    if len(content) > size:
        os.truncate(path, size)
    return content[:size]
