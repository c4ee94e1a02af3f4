"""Fetching: checked, whole or not at all, and one line where that cannot be."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aal.data.downloads import fetch, read_whole, unpack
from aal.errors import UserError

CONTENT = bytes(range(256)) * 10_000  # more than one piece
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Publisher(BaseHTTPRequestHandler):
    """Gives ``CONTENT``; under /short only half of what it promises."""

    def do_GET(self) -> None:
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path == "/short" else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("checksum", [MD5, SHA256, None])
def test_a_file_arrives_whole(address: str, checksum: str | None, tmp_path: Path) -> None:
    fetch(f"{address}/whole", tmp_path / "new" / "file", checksum)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_file_that_is_there_is_not_fetched_but_checked(address: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    fetch(f"{address}/absent", path, SHA256)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"file: truncated or altered \(sha256 .*; delete it and run again$"):
        fetch(f"{address}/whole", path, SHA256)
    assert path.read_bytes() == CONTENT[:-1]


@pytest.mark.parametrize(
    ("name", "checksum", "message"),
    [
        ("absent", None, r"absent: cannot be fetched \(HTTP Error 404.*\); fetch it elsewhere and put it at .*file$"),
        ("short", None, r"short: (ended after \d+ of 2560000 bytes|cannot be fetched).*file$"),
        ("whole", MD5[:-1] + "x", r"whole: truncated or altered \(md5 .*\); nothing of it was kept$"),
    ],
)
def test_what_is_not_the_published_file_leaves_nothing(
    address: str, name: str, checksum: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fetch(f"{address}/{name}", tmp_path / "file", checksum)
    assert not list(tmp_path.iterdir())


def test_an_unreachable_publisher_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^http://127\.0\.0\.1:9/file: cannot be fetched .*put it at .*file$"
    ) as caught:
        fetch("http://127.0.0.1:9/file", tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_an_archive_is_unpacked_and_what_was_there_stays(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {"set/one": b"1", "set/two": b"2", "other/three": b"3"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "two").write_bytes(b"mine")
    unpack(packed, tmp_path, only=("set/one", "set/two"))
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.glob("*/*")}
    assert found == {"set/one": b"1", "set/two": b"mine"}
    unpack(packed, tmp_path)
    assert (tmp_path / "other" / "three").read_bytes() == b"3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "other", "set"]


def test_nothing_lands_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    packed = archive(tmp_path / "a.tar.gz", {"inside": b"x", "../outside": b"x"})
    with pytest.raises(UserError, match=r"a\.tar\.gz: truncated or altered"):
        unpack(packed, root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "root"]
    assert not list(root.iterdir())


def test_a_truncated_archive_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar.gz", {"one": CONTENT, "two": CONTENT[::-1]}).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.tar\.gz: truncated or altered .*; delete it and run again"):
        unpack(tmp_path / "a.tar.gz", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_one_byte_altered_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    assert read_whole(path, MD5) == CONTENT
    path.write_bytes(CONTENT[:500] + b"\xff" + CONTENT[501:])
    with pytest.raises(UserError, match=r"file: truncated or altered \(md5 .*checksums: false$"):
        read_whole(path, MD5)
    assert len(read_whole(path, None)) == len(CONTENT)
