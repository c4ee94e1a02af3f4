"""Numbers as people read them: with the digits that their size needs."""

import math

NONE = "—"


def show(number: float | None, digits: int, beside: float | None = None) -> str:
    """Print a number with ``digits`` after the point; fewer where it is large, more where it is small.

    Args:
        number: The number; None is printed as a dash.
        digits: Digits after the point for numbers from 0.01 to 100; from 1000 on there is none.
        beside: Choose the digits for this number instead: a spread is printed like its mean.
    """
    if number is None:
        return NONE
    size = abs(number if beside is None else beside)
    if size >= 100:
        digits = min(digits, 0 if size >= 1000 else 1)
    elif digits and 0 < size < 0.01:
        digits = max(digits, min(6, 1 - math.floor(math.log10(size))))  # two significant ones
    return f"{number:,.{digits}f}"
