"""Sound files: what is read is what was written, at the rate and length asked for, and what cannot be read says why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aal.data.audio import read_clip
from aal.data.decoding import Unreadable

RATE = 16_000
NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)


def tone(rate: int, hertz: float = 440.0, seconds: float = 1.0, peak: float = 0.5) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def strongest(clip: np.ndarray) -> tuple[float, float]:
    """Return the frequency in Hz and the peak, of full scale, of the strongest tone in a second's middle half."""
    spectrum = np.abs(np.fft.rfft(clip[RATE // 4 : 3 * RATE // 4] / 2**15 * np.hanning(RATE // 2)))
    return float(spectrum.argmax() * 2), float(spectrum.max() * 2 / np.hanning(RATE // 2).sum())


def largest_difference(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(np.int64) - second).max())


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bits_of_the_right_rate_come_through_unchanged(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"x{suffix}", NOISE, RATE, subtype="PCM_16")
    assert np.array_equal(read_clip(tmp_path / f"x{suffix}", RATE, 5000), NOISE)
    assert np.array_equal(read_clip(tmp_path / f"x{suffix}", RATE, 3000), NOISE[:3000]), "cut at the end"
    padded = read_clip(tmp_path / f"x{suffix}", RATE, 7000)
    assert padded.dtype == np.int16
    assert np.array_equal(padded, np.concatenate([NOISE, np.zeros(2000, np.int16)])), "zeros at the end"


def test_other_widths_become_the_nearest_sixteen_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, NOISE, RATE, subtype="PCM_U8")  # keeps the upper 8 bits
    assert np.array_equal(read_clip(path, RATE, 5000), NOISE >> 8 << 8)
    for subtype in ("PCM_24", "PCM_32"):
        wide = (NOISE.astype(np.int32) << 16) + 0x5000  # 0.3 of a step above
        soundfile.write(path, wide, RATE, subtype=subtype)
        assert np.array_equal(read_clip(path, RATE, 5000), NOISE)
    for subtype in ("FLOAT", "DOUBLE"):
        soundfile.write(path, np.array([0.5, -1.0, 1.0, 1.5, -3.0, 0.4 / 2**15, 0.6 / 2**15]), RATE, subtype=subtype)
        assert read_clip(path, RATE, 7).tolist() == [2**14, -(2**15), 2**15 - 1, 2**15 - 1, -(2**15), 0, 1]


def test_two_channels_become_their_mean(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([[100, 300], [-50, 50], [2**15 - 1, -(2**15)]], np.int16), RATE)
    assert read_clip(tmp_path / "x.wav", RATE, 3).tolist() == [200, 0, 0]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_a_tone_keeps_its_frequency_and_peak(tmp_path: Path, suffix: str, rate: int) -> None:
    soundfile.write(tmp_path / f"x{suffix}", tone(rate), rate)
    frequency, peak = strongest(read_clip(tmp_path / f"x{suffix}", RATE, RATE))
    assert frequency == 440
    assert peak == pytest.approx(0.5, abs=0.02 if suffix == ".ogg" else 0.001)


def test_what_the_new_rate_cannot_carry_is_filtered_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(44_100, hertz=12_000), 44_100)
    middle = read_clip(tmp_path / "x.wav", RATE, RATE)[RATE // 4 : 3 * RATE // 4]
    assert np.abs(middle).max() <= 1, "12 kHz folded back to 4 kHz"


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_the_beginning_of_a_long_file_is_that_of_the_whole(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 60 * rate), rate)
    whole = read_clip(path, RATE, 60 * RATE)
    decoded = 0
    read: Callable[..., np.ndarray] = soundfile.SoundFile.read

    def counting(sound: soundfile.SoundFile, frames: int = -1, **how: object) -> np.ndarray:
        nonlocal decoded
        decoded += frames
        return read(sound, frames, **how)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    assert largest_difference(read_clip(path, RATE, RATE), whole[:RATE]) <= 1
    assert rate <= decoded <= 1.2 * rate, "a second of sixty"


def made(path: Path) -> dict[str, Path]:
    """Write files that cannot be used, each named for why."""
    files: dict[str, Path] = {}

    def add(name: str, content: bytes) -> None:
        files[name] = path / name
        files[name].write_bytes(content)

    def encoded(name: str, x: np.ndarray, subtype: str | None = None) -> bytes:
        soundfile.write(path / name, x, RATE, subtype=subtype)
        return (path / name).read_bytes()

    noise = np.random.default_rng(2).uniform(-0.5, 0.5, 3 * RATE)
    add("empty.wav", b"")
    add("text.wav", b"these are words, no sound" * 100)
    add("header_only.wav", encoded("a.wav", noise)[:30])
    add("zero_samples.wav", encoded("a.wav", noise[:0]))
    add("zero_samples.ogg", encoded("a.ogg", noise[:0]))
    add("eight.wav", encoded("a.wav", np.zeros((100, 8))))
    add("three.flac", encoded("a.flac", np.zeros((100, 3))))
    add("nan.wav", encoded("a.wav", np.array([0.0, np.nan, 0.1]), "FLOAT"))
    add("inf.wav", encoded("a.wav", np.array([0.0, -np.inf, 0.1]), "DOUBLE"))
    add("integers.wav", encoded("a.wav", np.array([0.0, 20_000.0, -30_000.0]), "FLOAT"))
    for subtype in ("PCM_16", "PCM_24", "FLOAT", "PCM_U8"):
        whole = encoded("a.wav", noise, subtype)
        add(f"truncated_{subtype}.wav", whole[: len(whole) // 2])
        add(f"short_{subtype}.wav", whole[:-1])
    for suffix in ("flac", "ogg"):
        whole = encoded(f"a.{suffix}", noise)
        for percent in (3, 50, 99):
            add(f"truncated_{percent}.{suffix}", whole[: len(whole) * percent // 100])
        altered = bytearray(whole)
        altered[100] ^= 0xFF
        altered[len(whole) // 20 : len(whole) // 20 + 8] = bytes(8)
        add(f"altered.{suffix}", bytes(altered))
        page = whole.find(b"OggS", whole.find(b"OggS", whole.find(b"OggS", 1) + 1) + 1)  # the second of samples
        for percent in (10, 50, 80) if suffix == "ogg" else ():
            altered = bytearray(whole)
            altered[len(whole) * percent // 100] ^= 1
            add(f"one_bit_altered_{percent}.ogg", bytes(altered))
        if suffix == "ogg":
            following = whole.find(b"OggS", page + 1)
            add("altered_page_gone.ogg", whole[:page] + whole[following:])
    streamed = bytearray(encoded("a.wav", noise))
    streamed[40:44] = b"\xff" * 4
    add("streamed.wav", bytes(streamed))
    add("aiff.wav", encoded("a.aiff", noise))
    (path / "folder.wav").mkdir()
    return files | {"folder.wav": path / "folder.wav", "absent.wav": path / "absent.wav"}


REASONS = {
    "empty.wav": "empty",
    "text.wav": "no WAV, FLAC or OGG",
    "zero_samples": "zero samples",
    "eight.wav": "8 channels",
    "three.flac": "3 channels",
    "nan.wav": "not finite",
    "inf.wav": "not finite",
    "integers.wav": "up to 30000, where full scale is 1",
    "truncated": "truncated",
    "short": "truncated",
    "altered": "damaged",
    "one_bit_altered": "damaged",
    "streamed": "its length is not in its header",
    "aiff.wav": "AIFF",
    "folder.wav": "cannot be read",
    "absent.wav": "No such file",
}


@pytest.mark.parametrize("length", [100, 3 * RATE], ids=["beginning", "whole"])
def test_files_that_are_no_sound_say_why(tmp_path: Path, length: int) -> None:
    for name, path in made(tmp_path).items():
        if length == 100 and name.startswith("altered"):
            continue  # the damage lies in what nobody asked for
        with pytest.raises(Unreadable) as error:
            read_clip(path, RATE, length)
        expected = next((reason for start, reason in REASONS.items() if name.startswith(start)), "")
        assert expected in str(error.value), name
        assert "\n" not in str(error.value)
