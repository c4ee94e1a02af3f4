"""What the scripts complete, in shells that a person types into: on a terminal, with its own ways of ending words."""

import io
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from aal.__main__ import main
from aal.cli.completion import completion

TAB, SHOW, CLEAR = "\t", "\x14", "\x15"
# How each shell is started and told to write down the line that is typed when it gets SHOW.
SHELLS = {
    "bash": (
        ("--norc", "--noprofile", "-i"),
        "bind 'set bell-style none'; eval \"$(<script)\"; "
        """bind -x '"\\C-t": printf "%s\\n" "$READLINE_LINE" >> shown'""",
    ),
    "zsh": (
        ("-f", "-i"),
        'autoload -U compinit; compinit -u -D; eval "$(<script)"; setopt nobeep; bindkey -e; '
        "bindkey '^U' kill-whole-line; show() { print -r -- \"$BUFFER\" >> shown }; zle -N show; bindkey '^T' show",
    ),
}
COMPLETED = {
    "aal comp": "aal completion ",
    "aal completion ba": "aal completion bash ",
    "aal se": "aal selftest ",
    "aal fit --trainer.max_ep": "aal fit --trainer.max_epochs",
    "aal fit --query.init_args.bud": "aal fit --query.init_args.budget",
    "aal fit --query marg": "aal fit --query margin ",
    "aal fit --query=marg": "aal fit --query=margin ",
    "aal fit --config aal:experiment/dfal": "aal fit --config aal:experiment/dfal_mnist ",
    "aal fit --config=aal:experiment/dfal": "aal fit --config=aal:experiment/dfal_mnist ",
    "aal fit --config own.yaml --config aal:query/marg": "aal fit --config own.yaml --config aal:query/margin ",
    "aal fit -c aal:query/marg": "aal fit -c aal:query/margin ",
    "aal fit --config new": "aal fit --config newdir/",
    "aal fit --config own.yaml --config ow": "aal fit --config own.yaml --config own.yaml ",
    "aal fit --config=ow": "aal fit --config=own.yaml ",
    "aal fit --out new": "aal fit --out newdir/",
    "aal fit --ckpt_path=last --out=new": "aal fit --ckpt_path=last --out=newdir/",
    "aal selftest --radius 0.1 --config newdir/in": "aal selftest --radius 0.1 --config newdir/inner.yaml ",
    "aal study run aal:study/collision_de": "aal study run aal:study/collision_demo ",
    "aal study run ow": "aal study run own.yaml ",
    "aal study run own.yaml --se": "aal study run own.yaml --seeds",
    "aal study report new": "aal study report newdir/",
    "aal configs show query/marg": "aal configs show query/margin ",
    "aal configs copy new": "aal configs copy newdir/",
    "aal configs list > ow": "aal configs list > own.yaml ",
}


@pytest.fixture(params=SHELLS)
def typed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Gives what stands on a shell's command line after a text and a tab."""
    pytest.importorskip("shtab", reason="the extra aal[completion] is not installed")
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"there is no {request.param} here")
    script, shown = tmp_path / "script", tmp_path / "shown"
    with redirect_stdout(io.StringIO()) as printed:
        completion([request.param])
    script.write_text(printed.getvalue())
    subprocess.run([shell, "-n", script], check=True)
    (tmp_path / "newdir").mkdir()
    for name in ("own.yaml", "newdir/inner.yaml", "shown"):
        (tmp_path / name).touch()
    options, setup = SHELLS[request.param]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "HOME": str(tmp_path), "HISTFILE": ""}
    process = subprocess.Popen(
        [shell, *options], cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    lines = 0

    def line(text: str) -> str:
        nonlocal lines
        os.write(ours, text.encode())
        end = time.monotonic() + 60
        while len(shown.read_text().splitlines()) == lines and time.monotonic() < end:
            try:
                os.read(ours, 65536)  # else the shell waits for somebody who reads what it prints
            except BlockingIOError:
                time.sleep(0.01)
        lines += 1
        return shown.read_text().split("\n")[lines - 1]

    line(f"{setup}\r{SHOW}")
    yield lambda text: line(f"{CLEAR}{text}{TAB}{SHOW}")
    process.kill()
    process.wait()
    os.close(ours)


def test_a_tab_completes_commands_keys_names_and_files(typed: Callable[[str], str]) -> None:
    found = {text: typed(text) for text in COMPLETED}
    assert {text: line.rstrip("= ") for text, line in found.items()} == {
        text: line.rstrip() for text, line in COMPLETED.items()
    }


def test_other_shells_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["aal", "completion", "fish"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "invalid choice: 'fish'" in capsys.readouterr().err
