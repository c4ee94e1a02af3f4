"""The README's code runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import EXPERIMENT, ROOT, SMALL, aal, results

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
OPTIONS = {
    "Typical": "--query.init_args.strategy=mine.Typical",
    "Blend": "--poison.init_args.attack=mine.Blend",
    "Squares": "--data=mine.Squares",
}


def block(word: str) -> str:
    found = [text for text in BLOCKS if word in text]
    assert len(found) == 1, word
    return found[0]


@pytest.mark.parametrize(
    ("word", "printed"), [("CollisionAttack(", "torch.Size([8, 1, 8, 8])"), ("CarliniWagner(", "DeepFool tensor([True")]
)
def test_the_library_is_usable_without_a_trainer(word: str, printed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:aal", "-c", block(word)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert printed in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", list(OPTIONS))
def test_classes_of_the_users_own_are_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(block(f"class {name}"))
    out = tmp_path / "run"
    run = aal("fit", "--config", EXPERIMENT, "--out", out, *SMALL, OPTIONS[name], PYTHONPATH=str(tmp_path))
    assert run.returncode == 0, run.stderr
    after = results(out)
    assert after["summary"]["labels"] == 26
    assert f"mine.{name}" in (out / "config.yaml").read_text()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).is_file(), link


def test_every_config_folder_is_in_the_table() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in (ROOT / "configs").iterdir():
        assert f"configs/{folder.name}/" in readme, folder.name
