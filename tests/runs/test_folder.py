"""A run that an earlier version made is known by what it lacks, not by the names of its classes."""

from pathlib import Path

import pytest

from aal.errors import UserError
from aal.runs.folder import RunFolder
from aal.runs.inputs import keep_inputs
from aal.runs.reading import read_run

CONFIGS = {  # the user's own classes may be called as aal's once were
    "a class of aal": "query: {class_path: aal.callbacks.QueryRounds}\n",
    "a class of its name": "query: {class_path: callbacks.QueryRounds}\n",
    "a clock of the user's": "query: {class_path: mine.Clock}\n",
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("left", ["ledger.csv", "rounds.jsonl", "checkpoints/last.ckpt"])
def test_an_earlier_run_does_not_go_on(config: str, left: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).touch()
    with pytest.raises(UserError, match=r"has no inputs.json: an earlier version of aal made this run"):
        RunFolder(tmp_path, resumes=True)
    keep_inputs(tmp_path, {})
    RunFolder(tmp_path, resumes=True).release()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_run_killed_before_its_inputs_were_kept_goes_on(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "poisons").mkdir()
    RunFolder(tmp_path, resumes=True).release()
    assert read_run(tmp_path).config == config
