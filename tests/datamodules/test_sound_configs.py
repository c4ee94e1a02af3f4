"""The shipped configurations of sound run through the real command line, poisons included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from tests.commands import EXPERIMENT, ROOT, aal, results
from tests.datamodules.sounds import LABELS, TINY, audio_set, speech_commands

SHORT = ("--query.init_args.budget=2", "--query.init_args.max_epochs=2", "--poison.init_args.n=2")


def ten_labels(folder: Path, labels: list[str]) -> dict[str, Any]:
    return audio_set(folder, [mid for mid, name in LABELS.items() if name in labels])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key", "write"),
    [("speech_commands", "words", speech_commands), ("audioset", "labels", ten_labels)],
)
def test_a_data_set_of_sound_is_laid_over_an_experiment(
    name: str, key: str, write: Callable[[Path, list[str]], dict[str, Any]], tmp_path: Path
) -> None:
    config = ROOT / "configs" / "data" / f"{name}.yaml"
    wanted = yaml.safe_load(config.read_text())["data"]
    write(tmp_path / "data", wanted["init_args"][key])
    run = aal(
        *("fit", "--config", EXPERIMENT, "--config", config, "--config", ROOT / "configs" / "model" / "yamnet.yaml"),
        "--model.init_args.backbone.init_args.weights=none",
        *(f"--data.init_args.root={tmp_path / 'data'}", f"--data.init_args.seconds={TINY['seconds']}"),
        *(*SHORT, "--poison.init_args.attack.init_args.steps=2", "--out", tmp_path / "run"),
    )
    assert run.returncode == 0, run.stderr
    resolved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]
    assert resolved["class_path"] == f"aal.datamodules.{wanted['class_path']}"
    assert resolved["init_args"].items() >= {**wanted["init_args"], "root": str(tmp_path / "data")}.items()
    summary = results(tmp_path / "run")["summary"]
    assert (summary["labels"], summary["poisons"]) == (22, 2)
    assert "data_skipped" not in summary
    saved = sorted((tmp_path / "run" / "poisons").glob("*.wav"))
    assert len(saved) == 4
    for path in saved:
        info = soundfile.info(path)
        assert (info.subtype, info.samplerate, info.channels, info.frames) == ("PCM_16", 16_000, 1, 400)


def test_another_sample_rate_than_the_networks_is_refused(tmp_path: Path) -> None:
    speech_commands(tmp_path / "data")
    run = aal(
        *("fit", "--config", ROOT / "configs" / "experiment" / "collision_audio.yaml", "--out", tmp_path / "run"),
        *("--model.init_args.backbone.init_args.weights=none", '--data.init_args.words=["yes", "no", "up"]'),
        *(f"--data.init_args.root={tmp_path / 'data'}", "--data.init_args.sample_rate=8000"),
    )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "error: data.init_args.sample_rate: YAMNet takes 16000 Hz, got 8000"
