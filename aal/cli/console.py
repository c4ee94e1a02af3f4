"""Where commands print their tables: as wide as the terminal, elsewhere as ``COLUMNS`` says."""

import os

from rich.console import Console

WIDTH = 120  # columns where the output is no terminal and nothing says how many there are


def tables_console() -> Console:
    """Return a console on stdout for tables."""
    asked = os.environ.get("COLUMNS", "")
    piped = int(asked) if asked.isdecimal() and int(asked) else WIDTH
    return Console(highlight=False, width=None if Console().is_terminal else piped)
