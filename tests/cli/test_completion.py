"""The script that completes aal's commands is one that the shell takes, and knows keys, names and commands."""

import shutil
import subprocess
import sys

import pytest

from aal.__main__ import main

ASK = """
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMP_LINE="${{COMP_WORDS[*]}}"
_shtab_aal; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_the_script_completes_in_bash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="the extra aal[completion] is not installed")
    monkeypatch.setattr(sys, "argv", ["aal", "completion", "bash"])
    with pytest.raises(SystemExit, match="0"):
        main()
    script = capsys.readouterr().out
    bash = shutil.which("bash")
    assert bash is not None
    for words, found in (
        ("aal se", "selftest"),
        ("aal fit --trainer.max_ep", "--trainer.max_epochs"),
        ("aal fit --query marg", "margin"),
        ("aal study run --se", "--seeds"),
        ("aal configs sh", "show"),
    ):
        asked = subprocess.run(
            [bash, "-c", script + ASK.format(words=words)], capture_output=True, text=True, check=False
        )
        assert (asked.returncode, asked.stderr) == (0, "")
        assert found in asked.stdout.split(), words


def test_other_shells_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["aal", "completion", "fish"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "invalid choice: 'fish'" in capsys.readouterr().err
