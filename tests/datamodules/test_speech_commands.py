"""Speech Commands: which clips there are, who speaks in which split, and what is wrong with a folder."""

import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from aal.datamodules import SpeechCommands, speech_commands
from aal.datamodules.speech_commands import published_part, speaker
from aal.errors import UserError
from tests.datamodules.sounds import RATE, SAMPLES, noise, speakers
from tests.datamodules.sounds import speech_commands as written
from tests.real_data import data


def loaded(arguments: dict[str, Any], **more: Any) -> SpeechCommands:
    module = SpeechCommands(**{**arguments, **more})
    module.setup("fit")
    return module


def refusal(arguments: dict[str, Any], **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        loaded(arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def who(module: SpeechCommands, split: str, folder: Path) -> set[str]:
    """Return the speakers of a split, found by the content of their files."""
    files = {soundfile.read(path, dtype="int16")[0].tobytes(): path for path in folder.glob("[!_]*/*.*")}
    return {speaker(files[clip.numpy().tobytes()]) for clip in module.samples[split].stored}


def test_the_published_parts_are_those_of_the_publishers_rule(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        names = [name for name, _ in zip(speakers(part), range(50), strict=False)]
        assert {published_part(name) for name in names} == {part}
    arguments = written(tmp_path)
    module = loaded(arguments, test="published")
    sizes = {split: len(samples) for split, samples in module.samples.items()}
    assert sizes == {"pool": 54, "craft": 6, "val": 15, "test": 15}
    folder = tmp_path / "speech_commands_v0.02"
    for split, part in {"pool": "train", "craft": "train", "val": "val", "test": "test"}.items():
        assert {published_part(name) for name in who(module, split, folder)} == {part}
    assert refusal(arguments, test="published", val=6).startswith("val: SpeechCommands has such a split")


def test_clips_have_the_label_of_their_folder(tmp_path: Path) -> None:
    module = loaded(written(tmp_path), words=["up", "yes"])
    assert module.classes == ("up", "yes")
    for split, samples in module.samples.items():
        for clip, label in zip(samples.stored, module.labels[split].tolist(), strict=True):
            files = (tmp_path / "speech_commands_v0.02" / module.classes[label]).iterdir()
            assert any(np.array_equal(soundfile.read(path, dtype="int16")[0], clip.numpy()) for path in files)


def test_each_speaker_stays_in_one_split(tmp_path: Path) -> None:
    arguments = written(tmp_path, train=60)
    folder = tmp_path / "speech_commands_v0.02"
    apart, other = (loaded(arguments, test="speakers", seed=seed) for seed in (0, 1))
    owners = [who(apart, split, folder) for split in ("pool", "craft", "test")]
    assert [len(own) for own in owners] == [56, 7, 7]
    assert len(set.union(*owners)) == 70
    assert who(other, "test", folder) != owners[2]
    parted = loaded(arguments, test="speakers", val=12, secured=12)
    owners = [who(parted, split, folder) for split in parted.samples]
    assert sum(len(own) for own in owners) == len(set.union(*owners)) == 70
    for split in ("val", "secured"):
        assert abs(len(parted.samples[split]) - 12) <= 3, "within the clips of one speaker"
    again, other = (loaded(arguments, test="speakers", val=12, secured=12, seed=seed) for seed in (0, 1))
    assert again.fingerprint == parted.fingerprint
    assert who(other, "val", folder) != who(parted, "val", folder)
    mixed = loaded(arguments)
    assert who(mixed, "pool", folder) & who(mixed, "test", folder), "held_out need not keep speakers apart"


def test_too_few_speakers(tmp_path: Path) -> None:
    arguments = written(tmp_path, train=2, val=0, test=0)
    assert "3 clips" not in refusal(arguments, test="speakers")
    assert "2 samples of class yes, by 2 speakers" in refusal(arguments, test="speakers")


def test_copies_of_a_clip_stay_in_one_split(tmp_path: Path) -> None:
    arguments = written(tmp_path, train=40)
    folder = tmp_path / "speech_commands_v0.02"
    for word in ("yes", "no"):
        for path in sorted((folder / word).iterdir()):
            shutil.copy(path, folder / "up" / f"{word}{path.name}")
    for module in (loaded(arguments), loaded(arguments, val=30, secured=30)):
        clips = [{clip.numpy().tobytes() for clip in module.samples[split].stored} for split in module.samples]
        assert sum(len(own) for own in clips) == len(set.union(*clips)) == 150
        assert sum(len(samples) for samples in module.samples.values()) == 250
    for split in ("val", "secured"):
        assert abs(len(module.samples[split]) - 30) <= 2, "within the copies of one clip"


def test_too_few_recordings_to_hold_some_out(tmp_path: Path) -> None:
    arguments = written(tmp_path, val=0, test=0)
    files = sorted((tmp_path / "speech_commands_v0.02" / "up").iterdir())
    for number, path in enumerate(files[3:]):
        shutil.copy(files[number % 3], path)  # a recording for each split
    assert len(loaded(arguments).pool) > 40
    for split in ("val", "secured"):
        line = refusal(arguments, **{split: 6})
        assert line.startswith(f"{split}: the pool's 36 speakers or recordings are too few to hold out 6")


def test_root_may_be_the_folder_itself_and_clips_of_any_format(tmp_path: Path) -> None:
    arguments = written(tmp_path)
    inside = loaded(arguments)
    folder = tmp_path / "speech_commands_v0.02"
    noise(folder / "_background_noise_" / "white_noise.wav", 0)
    (folder / "yes" / "README.md").write_text("no clip")
    assert loaded(arguments, root=str(folder)).fingerprint == inside.fingerprint
    for path in sorted(folder.glob("[!_]*/*.wav")):
        soundfile.write(path.with_suffix(".FLAC"), *soundfile.read(path, dtype="int16"), format="FLAC")
        path.unlink()
    assert loaded(arguments).fingerprint == inside.fingerprint


def test_length_and_rate(tmp_path: Path) -> None:
    arguments = written(tmp_path)
    module = loaded(arguments, seconds=0.05, sample_rate=8000)
    assert module.sample_shape == (400,)
    x = module.samples["pool"][torch.arange(10)]
    assert x[:, 150:190].abs().mean() > 0.1, "400 samples at 16 kHz are 200 at 8 kHz"
    assert not x[:, 210:].any()
    for more in ({"sample_rate": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"seconds": 1e-6}):
        assert refusal(arguments, **more).startswith(f"{next(iter(more))}: ")


def test_files_that_are_no_sound_are_left_out_or_refused(tmp_path: Path) -> None:
    arguments = written(tmp_path)
    folder = tmp_path / "speech_commands_v0.02"
    before = loaded(arguments)
    bad = {
        folder / "yes" / "0_nohash_0.wav": "empty",
        folder / "no" / "1_nohash_0.wav": "8 channels, more than 2",
        folder / "up" / "2_nohash_0.flac": "no WAV, FLAC or OGG",
    }
    for path, content in zip(bad, (b"", None, b"words" * 100), strict=True):
        if content is None:
            soundfile.write(path, np.zeros((SAMPLES, 8)), RATE)
        else:
            path.write_bytes(content)
    module = loaded(arguments)
    assert module.skipped.keys() == {str(path) for path in bad}
    for path, reason in bad.items():
        assert reason in module.skipped[str(path)]
    assert module.fingerprint == before.fingerprint
    line = refusal(arguments, strict=True)
    assert line == f"{folder / 'yes' / '0_nohash_0.wav'}: empty; mend or remove it, or set strict: false"


def test_words_that_cannot_be(tmp_path: Path) -> None:
    arguments = written(tmp_path)
    folder = tmp_path / "speech_commands_v0.02"
    (folder / "sheila").mkdir()
    assert "has no sample of sheila" in refusal(arguments, words=["yes", "sheila"])
    (folder / "sheila" / "a_nohash_0.wav").write_bytes(b"")
    line = refusal(arguments, words=["yes", "sheila"])
    assert "has no sample of sheila" in line
    assert line.endswith("a_nohash_0.wav: empty")
    assert "has no speech_commands_v0.02/marvin; put them there" in refusal(arguments, words=["yes", "marvin"])
    assert refusal(arguments, words=["yes", "yes"]) == "words: names yes twice"
    assert "at least 2 classes, got 1" in refusal(arguments, words=["yes"])
    for word in ("_background_noise_", "../yes", ""):
        assert refusal(arguments, words=["yes", word]) == f"words: no word is called {word!r}"
    assert "held_out or published or speakers, got 'speaker'" in refusal(arguments, test="speaker")


def test_download_fetches_checks_and_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = written(tmp_path / "made")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(tmp_path / "made" / "speech_commands_v0.02", arcname=".")
    (tmp_path / "served.tar.gz").write_bytes(content.getvalue())
    monkeypatch.setattr(SpeechCommands, "source", (tmp_path / "served.tar.gz").as_uri())
    fetched = {**arguments, "root": str(tmp_path / "new"), "download": True}
    altered = SpeechCommands(**fetched)
    altered.prepare_data()
    with pytest.raises(UserError, match="truncated or altered"):
        altered.setup("fit")
    assert not (tmp_path / "new" / "speech_commands_v0.02").exists()
    monkeypatch.setattr(speech_commands, "SHA256", hashlib.sha256(content.getvalue()).hexdigest())
    SpeechCommands(**fetched).prepare_data()
    assert loaded(fetched).fingerprint == loaded(arguments).fingerprint
    (tmp_path / "served.tar.gz").unlink()
    SpeechCommands(**fetched).prepare_data()  # what is there is not fetched again


@pytest.mark.data
class TestRealClips:
    def test_ten_words_of_a_hundred_clips(self) -> None:
        root = data("speech_commands")
        module = loaded({"root": str(root)}, strict=True)
        assert {split: len(samples) for split, samples in module.samples.items()} == {
            "pool": 800,
            "craft": 100,
            "test": 100,
        }
        assert torch.cat(list(module.labels.values())).bincount().tolist() == [100] * 10
        assert {soundfile.info(path).frames for path in root.glob("*/*.flac")} == {16_000}
        assert module.sample_shape == (16_000,)
        exact = {soundfile.read(path, dtype="int16")[0].tobytes() for path in root.glob("*/*.flac")}
        splits = [{clip.numpy().tobytes() for clip in samples.stored} for samples in module.samples.values()]
        assert set.union(*splits) == exact
        assert sum(len(clips) for clips in splits) == len(exact) == 994, "six clips are there twice"

    def test_all_are_of_the_published_test_part(self) -> None:
        root = data("speech_commands")
        names = {speaker(path) for path in root.glob("*/*.flac")}
        assert len(names) == 216
        assert {published_part(name) for name in names} == {"test"}
        assert "has no sample of yes in the published training part" in refusal({"root": str(root)}, test="published")

    def test_speakers_stay_apart(self) -> None:
        root = data("speech_commands")
        module = loaded({"root": str(root)}, test="speakers")
        owners = [who(module, split, root) for split in ("pool", "craft", "test")]
        assert sum(len(own) for own in owners) == len(set.union(*owners)) == 216
        for split, share in (("pool", 800), ("craft", 100), ("test", 100)):
            assert abs(len(module.samples[split]) - share) <= 26, "within the clips of one speaker"
            assert module.labels[split].bincount(minlength=10).min() >= 0.08 * share
