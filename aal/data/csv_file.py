"""Tables in text files: columns of numbers and of words; a missing or wrong value is named by its line and column."""

import csv
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aal.checks import refuse
from aal.errors import UserError, did_you_mean
from aal.runs.files import refuse_irregular

MISSING = ("", "?", "na", "n/a", "nan", "null")  # spelled with any capitals
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
NUMBER = re.compile(r"-?\d+")
AT_ONCE = 2**18  # values whose texts are in memory
FEW = 20  # different words that a column may have in any table


@dataclass(frozen=True)
class CSVColumn:
    """A column of a table.

    Args:
        name: What its header calls it; without a header, its number from 0.
        values: Its numbers, or the place of each of its words in ``words``, float64 ``(N,)``.
        words: The different words, sorted; ``None`` where the column has numbers.
    """

    name: str
    values: NDArray[np.float64]
    words: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CSVFile:
    """A text file of rows, in UTF-8, their values parted by one character and perhaps in double quotes.

    Empty lines are left alone, and so are spaces around a value.

    Args:
        path: The file.
        separator: What parts values: one character, or ``tab``.
        header: Whether the first row has the names of the columns.
        known: The names of the columns of a file that has no header, if they are known.

    Raises:
        UserError: ``separator`` is no single character. What is read raises it for a file that is missing, no text or
            damaged, with its line.
    """

    path: Path
    separator: str = ","
    header: bool = True
    known: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a separator that cannot part values."""
        refuse(
            (len(self.separator) != 1 or self.separator in '"\r\n') and self.separator != "tab",
            f"separator: must be one character, or tab, got {self.separator!r}",
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns; their numbers from 0, where there is no header."""
        if self.known is not None:
            return self.known
        line, fields = next(self._rows(), (0, []))
        refuse(not fields, f"{self.path}: has no rows")
        if not self.header:
            return tuple(map(str, range(len(fields))))
        names = tuple(name or str(place) for place, name in enumerate(fields))
        for name in names:
            refuse(
                names.count(name) > 1,
                f"{self.path}: line {line} names column {name!r} twice; if it is no header, set header: false",
            )
        return names

    def number(self, given: str | int, key: str) -> int:
        """Return a column's number.

        Args:
            given: Its name, or its number from 0, from -1 backwards.
            key: The argument's name.

        Raises:
            UserError: There is no such column; the line begins with ``key``.
        """
        names = self.names
        if isinstance(given, str) and given not in names and NUMBER.fullmatch(given):
            given = int(given)  # as the command line gives a number
        if isinstance(given, int):
            refuse(
                not -len(names) <= given < len(names),
                f"{key}: {self.path} has {len(names)} columns, 0 to {len(names) - 1}, got {given}",
            )
            return given % len(names)
        near = did_you_mean(given, names)
        refuse(given not in names, f"{key}: {self.path} has no column {given!r}, only {', '.join(names)}{near}")
        return names.index(given)

    def read(self, used: Sequence[int], words: Collection[int] = ()) -> tuple[list[CSVColumn], list[int]]:
        """Read columns; the first row tells which of them have words, and the others must be alike.

        Args:
            used: The columns' numbers.
            words: Those that have words even where they look like numbers.

        Returns:
            The columns, and the line of each row, from 1.

        Raises:
            UserError: A row of another length; a value that is missing, no finite number, or a number among words; a
                column with another word in nearly every row; names that look like numbers. The line and the column are
                named.
        """
        lines, parts = list[int](), [list[NDArray[np.float64]]() for _ in used]
        known: list[dict[str, int] | None] = []
        given = self._rows(skip=int(self.header))
        while rows := [*islice(given, max(AT_ONCE // len(self.names), 1))]:
            own, fields = zip(*rows, strict=True)
            for line, row in rows:
                refuse(
                    len(row) != len(self.names),
                    f"{self.path}: line {line} has {len(row)} values, where there are {len(self.names)} columns",
                )
            columns = [*zip(*fields, strict=True)]
            if not lines:
                known = [{} if place in words or _is_word(columns[place][0]) else None for place in used]
                self._refuse_values_as_names([place for place in used if not _is_word(columns[place][0])])
            lines += own
            for part, place, spelled in zip(parts, used, known, strict=True):
                texts = columns[place]
                part.append(
                    self._numbers(place, texts, own)
                    if spelled is None
                    else self._places(place, texts, own, spelled, place in words)
                )
        refuse(not lines, f"{self.path}: has no rows{' below its header' if self.header else ''}")
        return [
            self._column(place, np.concatenate(part), spelled, place in words)
            for place, part, spelled in zip(used, parts, known, strict=True)
        ], lines

    def _rows(self, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Give the line, from 1, and the values of each row that is not empty, after some first ones."""
        refuse_irregular(self.path)
        delimiter = "\t" if self.separator == "tab" else self.separator
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
                for row in rows:
                    line = rows.line_num
                    fields = [field.strip() for field in row]
                    if fields not in ([], [""]):
                        if not skip:
                            yield line, fields
                        skip = max(skip - 1, 0)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: no UTF-8 text after line {line} ({error.reason})") from None
        except csv.Error as error:
            raise UserError(f"{self.path}: damaged after line {line} ({error})") from None

    def _numbers(self, place: int, texts: Sequence[str], lines: Sequence[int]) -> NDArray[np.float64]:
        """Return the numbers that the texts of a column say."""
        try:
            values = np.array([float(text) for text in texts])
            fine = np.isfinite(values).all() and "_" not in "".join(texts)
        except ValueError:
            fine = False
        if not fine:
            for line, text in zip(lines, texts, strict=True):
                self._refuse_missing(line, place, text)
                refuse(_is_word(text), f"{self._at(line, place)}: {text!r} is no number, as others in the column are")
                refuse(not math.isfinite(float(text)), f"{self._at(line, place)}: {text!r} is not finite")
        return values

    def _places(
        self, place: int, texts: Sequence[str], lines: Sequence[int], known: dict[str, int], any_word: bool
    ) -> NDArray[np.float64]:
        """Return the places of a column's words among those known, to which the new ones are added."""
        for text in dict.fromkeys(texts):
            if text in known:
                continue
            line = lines[texts.index(text)]
            self._refuse_missing(line, place, text)
            if not any_word:
                refuse(
                    not _is_word(text),
                    f"{self._at(line, place)}: {text!r} is a number, where the first row has the word "
                    f"{next(iter(known), texts[0])!r}; if that is a header, set header: true, and if numbers are words "
                    "in this column, name it under text",
                )
                refuse(
                    DECIMAL_COMMA.fullmatch(text),
                    f"{self._at(line, place)}: {text!r} is no number: decimals have a point",
                )
            known[text] = len(known)
        return np.array([float(known[text]) for text in texts])

    def _column(
        self, place: int, values: NDArray[np.float64], known: dict[str, int] | None, any_word: bool
    ) -> CSVColumn:
        """Return a column whose words are sorted."""
        name = self.names[place]
        if known is None:
            return CSVColumn(name, values)
        refuse(
            not any_word and len(known) > max(FEW, len(values) // 2),
            f"{self.path}: column {name!r} has {len(known)} different words in {len(values)} rows; name it under "
            "ignore if it is no category, under text if it is one",
        )
        words = tuple(sorted(known))
        order = np.empty(len(words))
        order[[known[word] for word in words]] = np.arange(len(words))
        return CSVColumn(name, order[values.astype(np.int64)], words)

    def _at(self, line: int, place: int) -> str:
        return f"{self.path}: line {line}, column {self.names[place]!r}"

    def _refuse_missing(self, line: int, place: int, text: str) -> None:
        refuse(
            text.lower() in MISSING,
            f"{self._at(line, place)}: {text!r} is a missing value; fill it in, or remove the row or the column",
        )

    def _refuse_values_as_names(self, numbers: Sequence[int]) -> None:
        """Refuse a header that has a number above every number, unless they count the columns: it is a row."""
        names = [self.names[place] for place in numbers]
        counted = all(NUMBER.fullmatch(name) for name in names) and {
            int(name) - place for name, place in zip(names, numbers, strict=True)
        }
        refuse(
            self.header and names and not any(map(_is_word, names)) and not (counted and len(counted) == 1),
            f"{self.path}: the names in its header are numbers ({', '.join(names[:3])}), as if it were a row; set "
            "header: false",
        )


def _is_word(text: str) -> bool:
    """Whether a value is neither a number nor missing."""
    try:
        float(text)
    except ValueError:
        return text.lower() not in MISSING
    return "_" in text
