"""Which classes of a data set are used: those that a user names, each once, and two at least."""

from collections.abc import Sequence
from typing import TypeVar

from aal.checks import refuse

Class = TypeVar("Class", str, int)


def choose(asked: Sequence[Class] | None, known: Sequence[Class], key: str) -> tuple[Class, ...]:
    """Return the classes that a user asked for, in that order; all where none are named.

    Args:
        asked: The user's choice.
        known: What there is.
        key: The argument's name.

    Raises:
        UserError: An unknown class, one named twice, or fewer than two.
    """
    for name in asked or ():
        refuse(name not in known, f"{key}: there is no {name}, only {', '.join(map(str, known))}")
    return distinct(known if asked is None else asked, key)


def distinct(names: Sequence[Class], key: str) -> tuple[Class, ...]:
    """Return a choice of classes, unless it names one twice, or fewer than two.

    Args:
        names: The classes.
        key: The argument's name.

    Raises:
        UserError: Says which.
    """
    for name in names:
        refuse(names.count(name) > 1, f"{key}: names {name} twice")
    refuse(len(names) < 2, f"{key}: a classifier needs at least 2 classes, got {len(names)}")
    return tuple(names)
