"""Which runs go on: those whose folder is as they left it, under the configuration they were started with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aal.errors import UserError
from aal.runs.documents import to_yaml
from aal.runs.files import digest_of, write_sealed
from aal.runs.folder import RunFolder
from aal.runs.inputs import KIND, keep_inputs
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


STARTED = {"query": {"strategy": "Random", "budget": 20}, "out": "here", "rate": 0.1}
OTHER = STARTED | {"rate": 0.2}
FREE = ("out",)


def resumed(path: Path, config: dict) -> str:
    """Go on with a run as the command does, and return what tells it from others."""
    folder = RunFolder(path, resumes=True)
    try:
        folder.compare(config, FREE, lambda before: {key: before.get(key, value) for key, value in config.items()})
        folder.write_config(config)
        return keep_inputs(path, {"data": "1"})
    finally:
        folder.release()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "config.yaml: is gone, and with it what the run was started with"),
        (lambda path: path.write_text(path.read_text().replace("0.1", "0.2")), "config.yaml: altered since the run"),
        (lambda path: path.write_text(path.read_text() + "\n"), "config.yaml: altered since the run"),
    ],
    ids=["gone", "another value", "another line"],
)
def test_a_run_does_not_go_on_under_a_configuration_of_somebody_else(
    change: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    resumed(tmp_path, STARTED)
    (tmp_path / "checkpoints").mkdir()
    change(tmp_path / "config.yaml")
    with pytest.raises(UserError, match=said):
        resumed(tmp_path, OTHER)


def test_what_a_run_writes_to_its_configuration_is_its_own(tmp_path: Path) -> None:
    """The one that is gone is no loss where it would be the same again, and the run stays the same run."""
    run = resumed(tmp_path, STARTED)
    for config in (STARTED | {"out": "there"}, STARTED, STARTED | {"new": 1}):
        assert resumed(tmp_path, config) == run
    (tmp_path / "config.yaml").unlink()
    assert resumed(tmp_path, STARTED | {"new": 1}) == run
    with pytest.raises(UserError, match=r"rate: the run in .* was started with 0.1, now it is 0.2"):
        resumed(tmp_path, OTHER)


def test_a_run_begun_before_its_configuration_was_noted_goes_on(tmp_path: Path) -> None:
    run = resumed(tmp_path, STARTED)
    kept = json.loads((tmp_path / "inputs.json").read_text())
    write_sealed(tmp_path / "inputs.json", KIND, {name: kept[name] for name in ("started", "inputs")})
    assert digest_of(tmp_path / "inputs.json") == run, "as it was called then"
    (tmp_path / "config.yaml").write_text(to_yaml(STARTED | {"out": "there"}))
    assert resumed(tmp_path, STARTED) == run
    (tmp_path / "config.yaml").write_text(to_yaml(OTHER))
    with pytest.raises(UserError, match=r"config.yaml: altered"):
        resumed(tmp_path, OTHER)
