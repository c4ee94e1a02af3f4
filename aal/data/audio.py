"""Sound from files: clips decoded, mixed to mono, resampled and cut to one length, or the reason why a file is none."""

import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from aal.checks import refuse
from aal.data.decoding import Unreadable

SUFFIXES = (".wav", ".flac", ".ogg")
FORMATS = ("WAV", "WAVEX", "FLAC", "OGG")
CHANNELS = 2
CONTEXT = 1000  # samples at the lower of both rates: the resampling filter sees no further to any 16-bit effect
LOUDEST = 16.0  # times full scale: decoders overshoot it a little; far beyond lie integers in a file of floats
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_clip(path: Path, sample_rate: int, length: int) -> np.typing.NDArray[np.int16]:
    """Read the beginning of a WAV, FLAC or OGG file; of a long one no more than that is decoded.

    Two channels are mixed to their mean. A 16-bit mono file of the right rate comes through unchanged.

    Args:
        path: The file.
        sample_rate: Samples a second to resample to, in Hz.
        length: Number of samples T to cut to, or to append zeros up to.

    Returns:
        The clip ``(T,)``; what exceeds full scale is clipped.

    Raises:
        Unreadable: The file cannot be read, is another format, is empty, truncated or damaged, or has more than two
            channels, values that are not finite or values far beyond full scale.
    """
    try:
        with path.open("rb") as file:
            _check_whole(file)
        with soundfile.SoundFile(path) as sound:
            return _decode(sound, sample_rate, length)
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    except soundfile.LibsndfileError as error:
        raise Unreadable(f"no WAV, FLAC or OGG, or truncated or damaged ({error.error_string.rstrip('.')})") from None


def _decode(sound: soundfile.SoundFile, sample_rate: int, length: int) -> np.typing.NDArray[np.int16]:
    """Decode, mix, resample and cut."""
    refuse(sound.format not in FORMATS, f"a {sound.format} file, no WAV, FLAC or OGG", Unreadable)
    refuse(sound.channels > CHANNELS, f"{sound.channels} channels, more than {CHANNELS}", Unreadable)
    refuse(not sound.frames, "zero samples long", Unreadable)
    ratio = sound.samplerate / sample_rate
    wanted = min(sound.frames, length if ratio == 1 else math.ceil(length * ratio + CONTEXT * max(1.0, ratio)))
    x = sound.read(wanted, dtype="float32", always_2d=True)  # holds 16 and 24 bits without loss
    whole = len(x) == wanted
    if whole and wanted < sound.frames:  # is the end of what was not decoded there at all?
        sound.seek(sound.frames - 1)
        whole = len(sound.read(1)) == 1
    refuse(not whole, f"truncated: it ends before the {sound.frames} samples that its header says", Unreadable)
    refuse(not np.isfinite(x).all(), "values that are not finite", Unreadable)
    refuse(np.abs(x).max() > LOUDEST, f"values up to {np.abs(x).max():.6g}, where full scale is 1", Unreadable)
    mono = x.mean(1)
    if ratio != 1:
        mono = soxr.resample(mono, sound.samplerate, sample_rate)
    clip = np.clip(np.rint(mono[:length] * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return np.pad(clip, (0, length - len(clip)))


def _check_whole(file: BinaryIO) -> None:
    """Refuse what the decoder would take for a shorter file: an empty one, a WAV or an OGG that was cut."""
    size = file.seek(0, 2)
    refuse(not size, "empty", Unreadable)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RIFX"):
        order = "<" if magic[:4] == b"RIFF" else ">"
        while len(header := file.read(8)) == 8:
            name, chunk = header[:4], struct.unpack(f"{order}I", header[4:])[0]
            left = size - file.tell()
            if name == b"data":
                refuse(
                    chunk in (0, 0xFFFFFFFF) and left > 0,
                    "streamed: its length is not in its header; write it anew",
                    Unreadable,
                )
                refuse(chunk > left, f"truncated: {left} bytes of samples, where its header says {chunk}", Unreadable)
                return
            file.seek(chunk + chunk % 2, 1)
    elif magic[:4] == b"OggS":
        file.seek(0)
        _check_ogg(file.read())


def _check_ogg(data: bytes) -> None:
    """Refuse an OGG file with a page that is damaged, missing or cut: the decoder would leave it out without a word."""
    place, following, last = 0, dict[bytes, int](), 0
    while place < len(data):
        head = data[place : place + 27]
        size = 27 + head[26] + sum(data[place + 27 : place + 27 + head[26]]) if len(head) == 27 else 27
        page = data[place : place + size]
        refuse(
            head[:4] != b"OggS" or len(page) < size,
            f"truncated or damaged: no whole OGG page at byte {place}",
            Unreadable,
        )
        refuse(
            _ogg_checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"),
            f"damaged: the OGG page at byte {place} fails its checksum",
            Unreadable,
        )
        stream, number = page[14:18], int.from_bytes(page[18:22], "little")
        refuse(
            number != following.get(stream, number), f"damaged: an OGG page is missing before byte {place}", Unreadable
        )
        following[stream], last = number + 1, page[5] & 4
        place += size
    refuse(not last, "truncated: it does not end with an OGG stream's last page", Unreadable)


def _ogg_checksum(page: bytes) -> int:
    """Return the CRC-32 of OGG: zlib's polynomial, but bits in the other order, from 0 and not inverted at the end."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
