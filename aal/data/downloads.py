"""Files of published data sets: fetched from their publishers, checked, and named where they are missing or altered."""

import gzip
import hashlib
import http.client
import io
import math
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.request import urlopen

from aal.checks import refuse
from aal.errors import UserError
from aal.runs.files import PARTIAL, read_bytes, refuse_irregular, whole_or_absent
from aal.runs.progress import Progress

CHUNK = 2**20  # bytes
TIMEOUT = 30.0  # seconds without a byte
REPAIR = "delete it and set download: true, or take it as it is with checksums: false"


def fetch(url: str, path: Path, checksum: str | None = None) -> None:
    """Fetch a file unless it is there already, whole or not at all, with a progress bar.

    Args:
        url: Where its publisher gives it.
        path: Where to put it; its folder is made if there is none.
        checksum: As it was published, such as ``md5:d41d8...`` or ``sha256:e3b0c...``; ``None`` where none was.

    Raises:
        UserError: It cannot be reached, ends early or is not what was published: nothing is left of it. Or a file
            that was there already is not what was published.
    """
    if path.exists():
        refuse_irregular(path)
        if checksum is not None:
            with path.open("rb") as file:
                refuse_altered(file, checksum, path, "delete it and run again")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_absent(path) as partial:
        for chunk in _received(url, path):
            partial.write(chunk)
        if checksum is not None:
            partial.seek(0)
            refuse_altered(partial, checksum, url, "nothing of it was kept")


def unpack(archive: Path, root: Path, only: Collection[str] | None = None) -> None:
    """Unpack a tar archive below ``root``, each file whole or not at all; files that are there already stay.

    Args:
        archive: The archive, compressed or not.
        root: Where to unpack it.
        only: Names of the members that are wanted; ``None`` for all.

    Raises:
        UserError: The archive is truncated or none, or a member would land outside ``root``.
    """
    with tempfile.TemporaryDirectory(prefix=".", suffix=PARTIAL, dir=root) as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(
                    folder, members=[member for member in tar if only is None or member.name in only], filter="data"
                )
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise UserError(f"{archive}: truncated or altered ({error}); delete it and run again") from None
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            place = root / file.relative_to(folder)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)


def read_whole(path: Path, checksum: str | None) -> bytes:
    """Read a file that must be the published one; of ``.gz``, which differ from mirror to mirror, what is in it.

    Args:
        path: The file.
        checksum: As it was published; ``None`` where none was, or the user takes any content.

    Raises:
        UserError: It cannot be read, or is not what was published.
    """
    content = read_bytes(path)
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: truncated or altered ({error}); delete it and fetch it again") from None
    if checksum is not None:
        refuse_altered(io.BytesIO(content), checksum, path, REPAIR)
    return content


def refuse_altered(file: io.BufferedIOBase, checksum: str, name: object, advice: str) -> None:
    """Refuse content that is not what was published.

    Args:
        file: The content.
        checksum: As it was published, such as ``md5:d41d8...``, or its beginning.
        name: What to call it in the message.
        advice: What to do, for the message.

    Raises:
        UserError: The checksums differ.
    """
    algorithm, _, published = checksum.partition(":")
    found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    refuse(
        not found.startswith(published),
        f"{name}: truncated or altered ({algorithm} {found}, published {published}); {advice}",
    )


def _received(url: str, path: Path) -> Iterator[bytes]:
    """Give what ``url`` has in pieces; ``path`` is where a user would put it."""
    progress, done = Progress(), 0
    try:
        with urlopen(url, timeout=TIMEOUT) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            with progress.task(f"fetching {path.name} (MiB)", math.ceil(size / CHUNK)) as task:
                while chunk := answer.read(CHUNK):
                    task.advance((done + len(chunk)) // CHUNK - done // CHUNK)
                    done += len(chunk)
                    yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{url}: cannot be fetched ({error}); fetch it elsewhere and put it at {path}") from None
    refuse(done < size, f"{url}: ended after {done} of {size} bytes; run again, or fetch it elsewhere as {path}")
