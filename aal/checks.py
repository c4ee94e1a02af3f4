"""Refusing numbers that make no sense, with a line that names the key."""

import math
from collections.abc import Mapping

from aal.errors import UserError


def at_least(least: float, values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite or below ``least``.

    Args:
        least: The lowest value allowed.
        values: Values by their key in a configuration.

    Raises:
        UserError: Names the first such key and its value.
    """
    for key, value in values.items():
        if value is None or not math.isfinite(value) or value < least:
            raise UserError(f"{key}: must be at least {least}, got {value}")


def positive(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite, or 0 or below.

    Raises:
        UserError: Names the first such key and its value.
    """
    for key, value in values.items():
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
