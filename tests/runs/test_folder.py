"""Which runs go on: those whose folder is as they left it, under the configuration they were started with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aal.errors import RunStopped, UserError
from aal.runs.documents import to_yaml
from aal.runs.files import digest_of, write_sealed
from aal.runs.folder import RunFolder
from aal.runs.inputs import KIND, keep_inputs
from aal.runs.reading import read_run
from aal.runs.records import RoundLines

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


@pytest.mark.parametrize(
    "gone",
    [
        *("config.yaml", "inputs.json", "rounds.jsonl", "ledger.csv", "crafted.safetensors", "skipped.csv"),
        *("poisons", "poisons/00001_base.png", "poisons/manifest.json", "sets/0000/manifest.json", "sets/0000"),
        *("checkpoints/last.ckpt", "robust/untargeted/round=1.json", "figures/features.png"),
    ],
)
def test_what_is_gone_in_mid_run_stops_it_and_is_named(gone: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, resumes=False)
    for name in ("poisons/00001_base.png", "poisons/manifest.json", "sets/0000/manifest.json", gone):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
    for name in ("metrics.csv", "wandb/x.log", "poisons/.half.partial"):  # not only the run's own
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder.check()
    for name in ("metrics.csv", "wandb/x.log", "poisons/.half.partial"):
        (tmp_path / name).unlink()
    folder.check()
    path = tmp_path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunStopped, match=rf"^{path}: was removed while the run wrote into its folder"):
        folder.check()
    folder.release()


@pytest.mark.parametrize(
    "change",
    [lambda path: path.unlink(), lambda path: path.write_text(""), lambda path: path.write_text("x" * 100)],
    ids=["gone", "emptied", "longer"],
)
def test_records_that_another_hand_changed_stop_the_run_at_the_next_round(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    lines = RoundLines()
    lines.append(tmp_path, {"round": 0})
    lines.append(tmp_path, {"round": 1})
    lines.check(tmp_path)
    assert lines.size == (tmp_path / "rounds.jsonl").stat().st_size
    change(tmp_path / "rounds.jsonl")
    with pytest.raises(RunStopped, match=r"rounds.jsonl: removed, cut or altered while the run wrote into it"):
        lines.append(tmp_path, {"round": 2})


def test_records_altered_in_place_stop_the_run_at_its_end(tmp_path: Path) -> None:
    lines, path = RoundLines(), tmp_path / "rounds.jsonl"
    lines.append(tmp_path, {"round": 0})
    size, digest = lines.size, lines.digest
    path.write_text(path.read_text().replace("0", "7"))
    lines.append(tmp_path, {"round": 1})
    with pytest.raises(RunStopped, match=r"rounds.jsonl: removed, cut or altered"):
        lines.check(tmp_path)
    path.write_text(path.read_text().replace("7", "0"))
    lines.go_back(tmp_path, size, digest)
    lines.append(tmp_path, {"round": 1})
    lines.check(tmp_path)
