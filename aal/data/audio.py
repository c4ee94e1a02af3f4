"""Sound from files: clips decoded, mixed to mono, resampled and cut to one length, or the reason why a file is none."""

import io
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
from aal.data.flac import UNKNOWN, with_length

SUFFIXES = (".wav", ".flac", ".ogg")
FORMATS = ("WAV", "WAVEX", "FLAC", "OGG")
CHANNELS = 2
CONTEXT = 1000  # samples at the lower of both rates: the resampling filter sees no further to any 16-bit effect
LOUDEST = 16.0  # times full scale: decoders overshoot it a little; far beyond lie integers in a file of floats
FLAC_IN_OGG = b"\x7fFLAC"  # four bytes more, then all of a FLAC file but the pages
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_clip(path: Path, sample_rate: int, length: int) -> np.typing.NDArray[np.int16]:
    """Read the beginning of a WAV, FLAC or OGG file; of a long one no more than that is decoded.

    FLAC may be within OGG, or without its length, as it comes out of a pipe. Two channels are mixed to their mean. A
    16-bit mono file of the right rate comes through unchanged.

    Args:
        path: The file.
        sample_rate: Samples a second to resample to, in Hz.
        length: Number of samples T to cut to, or to append zeros up to.

    Returns:
        The clip ``(T,)``; what exceeds full scale is clipped.

    Raises:
        Unreadable: The file cannot be read, is another format, is empty, truncated or damaged, or has several
            streams, more than two channels, values that are not finite or values far beyond full scale.
    """
    try:
        with path.open("rb") as file:
            content = _whole(file)
        with soundfile.SoundFile(path if content is None else io.BytesIO(content)) as sound:
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
    if whole and wanted < sound.frames and sound.format == "FLAC":  # is the end of what was not decoded there at all?
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


def _whole(file: BinaryIO) -> bytes | None:
    """Refuse what the decoder would take for a shorter file: an empty one, a WAV or an OGG that was cut.

    Returns:
        What is to be decoded in place of the file, where the decoder takes a whole one for damaged: FLAC within OGG, or
        without its length.
    """
    size = file.seek(0, 2)
    refuse(not size, "empty", Unreadable)
    file.seek(0)
    start, tag = 0, file.read(10)
    if tag[:3] == b"ID3":  # it goes before the sound, and the decoder passes it over
        start = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(tag[6:])))
    file.seek(start)
    magic = file.read(26)
    if magic[:4] == b"fLaC":
        file.seek(start)
        return with_length(file.read()) if not int.from_bytes(magic[18:]) % UNKNOWN else None
    file.seek(start + 12)
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
                break
            file.seek(chunk + chunk % 2, 1)
    elif magic[:4] == b"OggS":
        file.seek(start)
        content = _content_of_ogg(file.read())
        return with_length(content[9:]) if content.startswith(FLAC_IN_OGG) else None
    return None


def _content_of_ogg(data: bytes) -> bytes:
    """Return what is in the pages of an OGG file, all of which must be there and whole.

    The decoder would leave a page that is damaged, missing or cut out without a word, and a second stream too.
    """
    place, following, last, content = 0, dict[bytes, int](), 0, bytearray()
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
        refuse(last and page[5] & 2, "several OGG streams one after another: only the first would be read", Unreadable)
        stream, number = page[14:18], int.from_bytes(page[18:22], "little")
        refuse(
            number != following.get(stream, number), f"damaged: an OGG page is missing before byte {place}", Unreadable
        )
        following[stream], last = number + 1, page[5] & 4
        content += page[27 + head[26] :]
        place += size
    refuse(not last, "truncated: it does not end with an OGG stream's last page", Unreadable)
    return bytes(content)


def _ogg_checksum(page: bytes) -> int:
    """Return the CRC-32 of OGG: zlib's polynomial, but bits in the other order, from 0 and not inverted at the end."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
