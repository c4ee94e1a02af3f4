"""Refusing numbers that make no sense, with a line that names the key."""

import math
from collections.abc import Mapping, Sequence

from aal.errors import UserError


def at_least(least: float, values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite, below ``least`` or an integer of more than 64 bits.

    Args:
        least: The lowest value allowed.
        values: Values by their key in a configuration.

    Raises:
        UserError: Names the first such key and its value.
    """
    for key, value in values.items():
        _within_64_bits(key, value)
        if value is None or not math.isfinite(value) or value < least:
            raise UserError(f"{key}: must be at least {least}, got {value}")


def at_least_or_none(least: float, values: Mapping[str, float | None]) -> None:
    """Refuse what :func:`at_least` does, but for a value that is ``None``.

    Raises:
        UserError: Names the first such key and its value.
    """
    at_least(least, {key: value for key, value in values.items() if value is not None})


def one_of(known: Sequence[str], values: Mapping[str, object]) -> None:
    """Refuse a value that is none of some words.

    Raises:
        UserError: Names the first such key, the words and the value.
    """
    for key, value in values.items():
        if value not in known:
            raise UserError(f"{key}: must be one of {', '.join(known)}, got {value!r}")


def positive(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite, 0 or below, or an integer of more than 64 bits.

    Raises:
        UserError: Names the first such key and its value.
    """
    for key, value in values.items():
        _within_64_bits(key, value)
        if value is None or not math.isfinite(value) or value <= 0:
            raise UserError(f"{key}: must be above 0, got {value}")


def probability(values: Mapping[str, float]) -> None:
    """Refuse a value that is not from 0 to 1.

    Raises:
        UserError: Names the first such key and its value.
    """
    for key, value in values.items():
        if not 0 <= value <= 1:
            raise UserError(f"{key}: must be from 0 to 1, got {value}")


def _within_64_bits(key: str, value: float | None) -> None:
    if isinstance(value, int) and abs(value) >= 2**63:
        raise UserError(f"{key}: must be an integer of 64 bits, got {value}")
