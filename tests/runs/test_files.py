"""Files are whole or absent."""

import errno
import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch

from aal.errors import UserError
from aal.runs import files
from aal.runs.documents import read_mapping, to_yaml


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    files.write_json(path, {"accuracy": 0.5})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"accuracy": 0.9})
    assert files.read_json(path) == {"accuracy": 0.5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


def test_lines_after_a_checkpoint_are_cut_off_again(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    size = len(files.append_line(path, '{"round": 0}', 0))
    files.append_line(path, '{"round": 1}', size)
    with path.open("a") as file:
        file.write('{"rou')  # a line cut short by the end of the process
    digest = hashlib.sha256(b'{"round": 0}\n').hexdigest()
    files.truncate(path, size, digest)
    assert path.read_text() == '{"round": 0}\n'
    path.write_text('{"round": 2}\n')
    with pytest.raises(UserError, match=r"rounds\.jsonl: cut or altered since the checkpoint was saved"):
        files.truncate(path, size, digest)


def test_what_is_written_of_a_folder_whose_name_is_no_text_is_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"y\xff")
    files.write_text(folder / "report.html", f"Run {folder.name}")
    assert (folder / "report.html").read_text(encoding="utf-8") == "Run y\\udcff"
    files.write_text(folder / "config.yaml", to_yaml({"out": str(folder)}))
    assert read_mapping(folder / "config.yaml") == {"out": str(folder)}


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})


def test_bad_tensor_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    files.write_tensors(path, {"a": torch.arange(3).flip(0)})
    assert files.read_tensors(path)["a"].tolist() == [2, 1, 0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"t\.safetensors: truncated"):
        files.read_tensors(path)
    with pytest.raises(UserError, match=r"absent\.safetensors: no such file"):
        files.read_tensors(tmp_path / "absent.safetensors")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("loaded",))


@pytest.mark.parametrize("kind", ["pickle", "object", "script", "cut", "empty", "text"])
def test_what_holds_more_than_tensors_is_refused_without_advice_to_load_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    if kind == "script":
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    elif kind == "object":
        torch.save({"a": Evil()}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        torch.save({"a": torch.zeros(100)}, path)
        path.write_bytes({"cut": path.read_bytes()[:-50], "empty": b"", "text": b"weights"}[kind])
    with pytest.raises(UserError, match=r"w\.pt: (holds more than tensors|truncated, or not a weight file)") as caught:
        files.read_pickled(path, "a weight file")
    assert not any(word in str(caught.value) for word in ("weights_only", "trust", "torch", "False"))
