"""Sound files: what is read is what was written, at the rate and length asked for, and what cannot be read says why."""

import itertools
import math
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aal.data.audio import _ogg_checksum, read_clip
from aal.data.decoding import Unreadable

RATE = 16_000
ID3 = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
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


WALK = (np.cumsum(np.random.default_rng(3).normal(0, 0.01, 30_000)).clip(-1, 1) * 2**15 * 0.99).astype(np.int16)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_the_beginning_of_whole_ogg_files_of_any_length(subtype: str, tmp_path: Path) -> None:
    """Of some lengths the decoder finds no sample where it is told to go near the end."""
    path = tmp_path / "x.ogg"
    for samples in range(10_000, 30_000, 331):
        soundfile.write(path, tone(RATE, 400, samples / RATE), RATE, format="OGG", subtype=subtype)
        assert np.abs(np.fft.rfft(read_clip(path, RATE, 8000))).argmax() == 200, samples


@pytest.mark.parametrize("subtype", sorted(soundfile.available_subtypes("WAV").keys() - {"MPEG_LAYER_III"}))
def test_the_beginning_of_a_wav_of_every_kind(subtype: str, tmp_path: Path) -> None:
    """Some of them the decoder cannot wind."""
    rate = 8000 if subtype.startswith(("NMS", "G721", "GSM")) else RATE
    soundfile.write(tmp_path / "x.wav", tone(rate, rate / 40, 2), rate, subtype=subtype)
    assert np.abs(np.fft.rfft(read_clip(tmp_path / "x.wav", rate, 8000))).argmax() == 200


def without_length(flac: bytes) -> bytes:
    """Return what an encoder writes into a pipe: no number of samples and no digest of them."""
    rates = int.from_bytes(flac[18:26]) >> 36 << 36
    return flac[:18] + rates.to_bytes(8) + bytes(16) + flac[42:]


def frames_of(flac: bytes) -> list[bytes]:
    """Return metadata and frames, of which each says its number."""
    places, place = [], 0
    while place >= 0:
        places.append(place)
        number = re.escape(bytes([len(places) - 1]))
        found = re.compile(rb"\xff\xf8.." + number, re.DOTALL).search(flac, place + 1)
        place = found.start() if found else -1
    return [flac[start:end] for start, end in itertools.pairwise([*places, len(flac)])]


def within_ogg(flac: bytes, serial: int = 7) -> bytes:
    """Return FLAC in OGG pages, a packet each (https://xiph.org/flac/ogg_mapping.html)."""
    metadata, *frames = frames_of(flac)
    packets = [b"\x7fFLAC\1\0\0\1" + metadata[:42], metadata[42:], *frames]
    pages = b""
    for number, packet in enumerate(packets):
        flags = (2 if not number else 0) + (4 if number == len(packets) - 1 else 0)
        head = b"OggS\0" + struct.pack("<BqIIIB", flags, 0, serial, number, 0, len(packet) // 255 + 1)
        page = head + b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) + packet
        pages += page[:22] + _ogg_checksum(page).to_bytes(4, "little") + page[26:]
    return pages


@pytest.mark.parametrize("samples", [30_000, 7 * 4096, 100, 4097])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_from_a_pipe_and_within_ogg(subtype: str, samples: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    soundfile.write(path, WALK[:samples], RATE, format="FLAC", subtype=subtype)
    flac = path.read_bytes()
    assert len(frames_of(flac)) == math.ceil(samples / 4096) + 1
    for content in (
        without_length(flac),
        within_ogg(flac),
        within_ogg(without_length(flac)),
        ID3 + without_length(flac),
    ):
        path.write_bytes(content)
        for length in (50, samples, 40_000):
            expected = np.pad(WALK[: min(length, samples)], (0, max(length - samples, 0)))
            assert np.array_equal(read_clip(path, RATE, length), expected)
        path.write_bytes(content[:-20])
        with pytest.raises(Unreadable, match="truncated"):
            read_clip(path, RATE, 50)


def test_streams_one_after_another_are_refused_and_tags_before_a_sound_are_not(tmp_path: Path) -> None:
    path = tmp_path / "x"
    soundfile.write(path, WALK, RATE, format="OGG")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(Unreadable, match="several OGG streams one after another"):
        read_clip(path, RATE, RATE)
    soundfile.write(path, WALK, RATE, format="WAV")
    wav = ID3 + path.read_bytes()
    path.write_bytes(wav)
    assert np.array_equal(read_clip(path, RATE, 8000), WALK[:8000])
    path.write_bytes(wav[:-1])
    with pytest.raises(Unreadable, match="truncated"):
        read_clip(path, RATE, 8000)


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
