"""What a command prints may be read or not."""

import os
import sys

import pytest

from aal.__main__ import main


@pytest.mark.parametrize("arguments", [["configs", "list"], ["configs", "show", "query/margin"], ["--help"], ["x"]])
def test_what_nobody_reads_is_dropped(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        reads, writes = os.pipe()
        os.close(reads)
        file = open(writes, "w")  # noqa: SIM115 - it takes the place of the process's own
        monkeypatch.setattr(sys, name, file)
        monkeypatch.setattr(sys, f"__{name}__", file)
    monkeypatch.setattr(sys, "argv", ["aal", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    print("more", flush=True)
    assert end.value.code == (2 if arguments == ["x"] else 0)
