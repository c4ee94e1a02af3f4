"""Refusing numbers that make no sense, with a line that names the argument."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, cast

from aal.errors import RunStopped, UserError

LARGEST = 3e37  # learning rate or decay: above, Adam's first step, ten times as long, is no number of single precision
QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)
Ranges = dict[str, Callable[[Mapping[str, Any]], None]]


def refuse(wrong: object, line: str, kind: type[Exception] = UserError) -> None:
    """Refuse an argument, or a file, where something is wrong with it.

    Args:
        wrong: Refused where this is true, or not empty.
        line: Says what is wrong.
        kind: What is raised.

    Raises:
        UserError: Or another ``kind``, with this line.
    """
    if wrong:
        raise kind(line)


@contextmanager
def argument(name: str) -> Iterator[None]:
    """Put an argument's name before what is refused within, or stops the run.

    Raises:
        UserError: What was refused, with the name before its line.
        RunStopped: What stopped the run, likewise.
    """
    try:
        yield
    except (UserError, RunStopped) as error:
        raise type(error)(f"{name}: {error}", error.rows) from None


def kind_of(value: object) -> str:
    """Return what kind of thing a value is: ``torch.int64 (3, 2)`` of a tensor, else the name of its class."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    without = " without values" if getattr(value, "is_meta", False) else ""
    return type(value).__name__ if dtype is None or shape is None else f"{dtype} {tuple(shape)}{without}"


def at_least(least: float, values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite, below ``least`` or an integer of more than 64 bits.

    Args:
        least: The lowest value allowed.
        values: Values by the name of their argument.

    Raises:
        UserError: Names the first such argument and its value.
    """
    _refuse_others(values, lambda value: value >= least, f"at least {least}")


def at_least_or_none(least: float, values: Mapping[str, float | None]) -> None:
    """Refuse what :func:`at_least` does, but for a value that is ``None``.

    Raises:
        UserError: Names the first such argument and its value.
    """
    or_none(partial(at_least, least))(values)


def or_none(refuse_others: Callable[[Mapping[str, Any]], None]) -> Callable[[Mapping[str, Any]], None]:
    """Return what refuses the same values, but for ``None``."""
    return lambda values: refuse_others({name: value for name, value in values.items() if value is not None})


FROM_0, FROM_1, FROM_2 = (partial(at_least, least) for least in range(3))


def count(values: Mapping[str, object]) -> None:
    """Refuse a value that is no whole number from 1 to ``2**63 - 1``.

    Raises:
        UserError: Names the first such argument and its value.
    """
    for name, value in values.items():
        refuse(not isinstance(value, int), f"{name}: must be a whole number, got {value}")
        at_least(1, {name: cast(int, value)})


def one_of(known: Sequence[str], values: Mapping[str, object]) -> None:
    """Refuse a value that is none of some words.

    Raises:
        UserError: Names the first such argument, the words and the value.
    """
    for name, value in values.items():
        refuse(value not in known, f"{name}: must be one of {', '.join(known)}, got {value!r}")


def positive(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite, 0 or below, or an integer of more than 64 bits.

    Raises:
        UserError: Names the first such argument and its value.
    """
    _refuse_others(values, lambda value: value > 0, "above 0")


def rate(values: Mapping[str, float | None]) -> None:
    """Refuse a learning rate that is missing, 0 or below, or so large that no step could be a number.

    Raises:
        UserError: Names the first such argument and its value.
    """
    _refuse_others(values, lambda value: 0 < value <= LARGEST, f"above 0 and at most {LARGEST:g}")


def finite_number(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is missing, not finite or an integer of more than 64 bits.

    Raises:
        UserError: Names the first such argument and its value.
    """
    _refuse_others(values, math.isfinite, "a finite number")


def probability(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is not from 0 to 1.

    Raises:
        UserError: Names the first such argument and its value.
    """
    between(0, 1, values)


def between(least: float, most: float, values: Mapping[str, float | None]) -> None:
    """Refuse a value that is not from ``least`` to ``most``.

    Raises:
        UserError: Names the first such argument, the range and the value.
    """
    _refuse_others(values, lambda value: least <= value <= most, f"from {least} to {most}")


def below_one(values: Mapping[str, float | None]) -> None:
    """Refuse a value that is not in [0, 1).

    Raises:
        UserError: Names the first such argument and its value.
    """
    _refuse_others(values, lambda value: 0 <= value < 1, "in [0, 1)")


def class_number(given: str | int | None, num_classes: int, names: Sequence[str] | None, key: str) -> int:
    """Return a class's number.

    Args:
        given: A number, or a name. A text of digits, as the command line gives a number, is one where no class has such
            a name. A name in quotes, as the command line may give it, is the name.
        num_classes: Number of classes C.
        names: Their names, where they have any.
        key: The argument's name.

    Raises:
        UserError: There is no such class; the line begins with ``key``.
    """
    known = list(names or ())
    if isinstance(given, str) and given not in known and QUOTED.fullmatch(given):
        given = given[1:-1]
    elif isinstance(given, str) and given.isdecimal() and not any(name.isdecimal() for name in known):
        given = int(given)
    if isinstance(given, str):
        refuse(not known, f"{key}: the classes have no names but numbers, 0 to {num_classes - 1}; got {given!r}")
        refuse(given not in known, f"{key}: there is no class {given!r}; the classes are {', '.join(known)}")
        return known.index(given)
    between(0, num_classes - 1, {key: given})
    assert given is not None
    return given


def class_map(
    given: Mapping[str | int, str | int],
    num_classes: int,
    names: Sequence[str] | None,
    key: str,
    more: Mapping[str | int, int] = MappingProxyType({}),
) -> dict[int, int]:
    """Return the numbers of the classes of a map from one to another; arguments as of :func:`class_number`.

    Args:
        given: Numbers or names, from class to class.
        num_classes: Number of classes C.
        names: Their names, where they have any.
        key: The argument's name.
        more: Further targets, by their names, that are no classes of the data.

    Raises:
        UserError: There is no such class, one is named twice or leads to itself; the line begins with ``key``.
    """
    ways: dict[int, int] = {}
    for source, target in given.items():
        label = class_number(source, num_classes, names, key)
        refuse(label in ways, f"{key}: class {source!r} is named twice")
        ways[label] = more[target] if target in more else class_number(target, num_classes, names, key)
        refuse(label == ways[label], f"{key}: must lead from a class to another, got {source!r} to {target!r}")
    return ways


def _refuse_others(values: Mapping[str, float | None], fits: Callable[[float], bool], range: str) -> None:
    for name, value in values.items():
        refuse(isinstance(value, int) and abs(value) >= 2**63, f"{name}: must be an integer of 64 bits, got {value}")
        refuse(value is None or not math.isfinite(value) or not fits(value), f"{name}: must be {range}, got {value}")


class Checked:
    """Dataclasses of arguments, some of which have a range.

    Attributes:
        ranges: For each argument that has a range, what refuses a value outside of it, given by its name.
    """

    ranges: ClassVar[Ranges] = {}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, refuse_others in self.ranges.items():
            refuse_others({name: getattr(self, name)})
