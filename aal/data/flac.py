"""FLAC whose header does not tell its length, as an encoder leaves it that writes into a pipe."""

from functools import cache

from aal.checks import refuse
from aal.data.decoding import Unreadable

HEADER = 42  # bytes before the first frame, at least
UNKNOWN = 2**36  # the number of samples takes 36 bits, 0 of them where it is not known
SIZE_BYTES, RATE_BYTES = {6: 1, 7: 2}, {12: 1, 13: 2, 14: 2}  # after a frame's number, by their codes


def with_length(data: bytes) -> bytes:
    """Return a FLAC file whose header has its number of samples: as it is, or found by its last frame.

    Source: RFC 9639, sections 8.2 and 9.

    Raises:
        Unreadable: The number is to be found, and the file does not end with a whole frame.
    """
    known = int.from_bytes(data[18:26])
    if known % UNKNOWN:
        return data
    start, samples = len(data), 0
    while not samples and start > 0:
        start = data.rfind(b"\xff", HEADER, start)
        samples = _samples_until_end(data[start:], int.from_bytes(data[10:12])) if start > 0 else 0
    refuse(not samples, "truncated or damaged: it does not end with a whole FLAC frame", Unreadable)
    return data[:18] + (known + samples).to_bytes(8) + data[26:]


def _samples_until_end(frame: bytes, block: int) -> int:
    """Return how many samples a file has at the end of a frame, 0 where the bytes are no whole frame.

    Args:
        frame: The bytes.
        block: Samples a frame, where all but the last have as many.
    """
    if len(frame) < 9 or frame[1] >> 1 != 0b1111100:
        return 0
    size, more = (
        frame[2] >> 4,
        max(8 - (frame[4] ^ 0xFF).bit_length() - 1, 0),
    )  # further bytes of the number, as in UTF-8
    end = 5 + more + SIZE_BYTES.get(size, 0)
    header = frame[: end + RATE_BYTES.get(frame[2] & 15, 0) + 1]
    if not size or _remainder(header, 0x07, 8) or _remainder(frame, 0x8005, 16):
        return 0
    number = frame[4] & (0x7F >> (more + 1 if more else 0))
    for byte in frame[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    if size in SIZE_BYTES:
        last = int.from_bytes(frame[5 + more : end]) + 1
    else:
        last = 192 if size == 1 else 576 << size - 2 if size < 6 else 256 << size - 8
    return last + number * (1 if frame[1] & 1 else block)


def _remainder(data: bytes, polynomial: int, bits: int) -> int:
    """Return what division by a polynomial leaves of bytes, 0 where their CRC ends them."""
    rest = 0
    for byte in data:
        rest = (rest << 8) % 2**bits ^ _table(polynomial, bits)[rest >> bits - 8 ^ byte]
    return rest


@cache
def _table(polynomial: int, bits: int) -> list[int]:
    table = [byte << bits - 8 for byte in range(256)]
    for _ in range(8):
        table = [(rest << 1) % 2**bits ^ (polynomial if rest >> bits - 1 else 0) for rest in table]
    return table
