"""The two ways a run ends early on purpose, each with its exit code."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

TRUTH = "YAML takes yes, no, on and off for true and false: put such a word in quotes"


class _End(Exception):
    """An end on purpose.

    Args:
        message: One line that says why.
        rows: Where it speaks of samples of a batch: which, so that a caller can say where they are from.
    """

    def __init__(self, message: str, rows: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class UserError(_End, ValueError):
    """The user's input is wrong: one line that names the argument or file and says what to do. Exit code 2."""


class RunStopped(_End, RuntimeError):
    """The run cannot go on (NaN, no space): what was saved stays whole. Exit code 3."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean x?"`` for the known word that is most like one that is not known, or begins with it."""
    spelled = {name.lower(): name for name in known}
    begun = [name for name in sorted(spelled) if len(word) > 3 and name.startswith(f"{word.lower()}_")]
    near = get_close_matches(word.lower(), spelled, 1, 0.8) or begun or get_close_matches(word.lower(), spelled, 1)
    return f"; did you mean {spelled[near[0]]}?" if near else ""


def unquoted(value: object) -> str:
    """Return what to do about a truth value where a word is wanted, else nothing."""
    return f"; {TRUTH}" if isinstance(value, bool) else ""
