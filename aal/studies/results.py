"""A study's table: estimates over seeds, printed, written as CSV, and shown in the report."""

import statistics
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from aal.report.numbers import NONE, show
from aal.runs import files
from aal.runs.reading import Run
from aal.studies.paired import NAME, PairedTest

UNBOUNDED = 100_000  # columns of a console that no table is too wide for


@dataclass(frozen=True)
class MeanSd:
    """Mean and sample standard deviation of a quantity over seeds.

    Attributes:
        mean: Mean; None where no run has the quantity.
        sd: Sample standard deviation; None under two runs.
        paper: The paper's figure under the same setting, as text where it is a bound; None where it has none.
        beyond: Where there is no mean, what the quantity is known not to be below.
    """

    mean: float | None
    sd: float | None = None
    paper: float | str | None = None
    beyond: float | None = None


def mean_sd(values: Iterable[float | None], paper: float | str | None = None) -> MeanSd:
    """Estimate mean and spread; if any run lacks the quantity, there is no estimate, since n would not hold for it."""
    numbers = list(values)
    known = [value for value in numbers if value is not None]
    if not known or len(known) < len(numbers):
        return MeanSd(None, None, paper)
    return MeanSd(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, paper)


Value = str | int | float | MeanSd | None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in the CSV file; an estimate has ``<key>_mean``, ``<key>_sd`` and ``<key>_paper`` there.
        title: Its header where people read it.
        digits: Digits after the point for an estimate.
        estimated: Whether it holds estimates rather than texts and counts.
        counts: Whether it holds counts, which stand to the right as estimates do.
        printed: Whether people see it; the CSV file has every column.
        sometimes: Whether people see it only where a row has something in it.
        of: What of a run it is an estimate of; None: the number of its key in the summary.
        note: Sentence to read it by; may be empty.
    """

    key: str
    title: str = ""
    digits: int = 3
    estimated: bool = False
    counts: bool = False
    printed: bool = True
    sometimes: bool = False
    of: Callable[[Run], float | None] | None = None
    note: str = ""

    @property
    def right(self) -> bool:
        """Whether its values stand to the right."""
        return self.estimated or self.counts


@dataclass(frozen=True)
class Table:
    """A study's table and what belongs under it.

    Attributes:
        columns: Columns in order.
        rows: Value by column key, one mapping a row.
        tests: Paired tests, one for each row that is compared with another arm.
        notes: Sentences to read the table by.
        tested: What the tests are of.
    """

    columns: tuple[Column, ...]
    rows: tuple[dict[str, Value], ...]
    tests: tuple[PairedTest, ...]
    notes: tuple[str, ...]
    tested: str = "Final accuracy"

    @property
    def printed(self) -> tuple[Column, ...]:
        """The columns that people see."""
        return tuple(column for column in self.columns if column.printed)


def lines(value: Value, digits: int) -> tuple[str, str, str]:
    """Print a value in up to three lines: mean, spread, the paper's figure (empty where there is none)."""
    if not isinstance(value, MeanSd):
        return NONE if value is None else str(value), "", ""
    spread = "" if value.sd is None else f"±{show(value.sd, digits, value.mean)}"
    bound = value.mean is None and value.beyond is not None
    mean = f"≥ {show(value.beyond, digits)}" if bound else show(value.mean, digits)
    if value.paper is None or isinstance(value.paper, str):
        return mean, spread, value.paper or ""
    return mean, spread, show(value.paper, digits)


def print_table(table: Table, console: Console, title: str, note: str) -> None:
    """Print a table with its paired tests and notes; where its columns do not fit, a block of lines for each row.

    Args:
        table: The table.
        console: Where to.
        title: Headline.
        note: A sentence about the study; may be empty.
    """
    heading = Text(title, "bold")
    grids = (_grid(table, heading, padding) for padding in (1, 0))
    unbounded = console.options.update(width=UNBOUNDED)
    fitting = (grid for grid in grids if Measurement.get(console, unbounded, grid).maximum <= console.width)
    if (grid := next(fitting, None)) is not None:
        console.print(grid)
    else:
        console.print(heading)
        longest = max(len(column.title) for column in table.printed)
        for row in table.rows:
            console.print()
            for column in table.printed:
                console.print(Text(f"{column.title:{longest}}  ").append_text(_cell(column, row[column.key], " ")))
    console.print()
    tests = [f"{table.tested}, {NAME} over identical seeds:", *(f"  {test}" for test in table.tests)]
    for line in filter(None, (note, *(tests if table.tests else ()), *table.notes)):
        console.print(Text(line))


def write_table(table: Table, path: Path) -> None:
    """Write a table as CSV: every column in full precision, mean, sd and the paper's figure apart.

    Raises:
        OSError: The file could not be written.
    """
    files.write_csv(
        path,
        [name for column in table.columns for name in _names(column)],
        [[field for column in table.columns for field in _fields(column, row)] for row in table.rows],
    )


def _grid(table: Table, heading: Text, padding: int) -> Grid:
    """Lay a table out in columns, so much apart besides one: titles break between words, nothing else does."""
    grid = Grid(
        title=heading,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0, 0, padding),
        show_lines=True,
    )
    for column in table.printed:
        cells = [_cell(column, row[column.key], "\n") for row in table.rows]
        width = max(len(line) for text in (*column.title.split(), *map(str, cells)) for line in text.split("\n"))
        head = Text(textwrap.fill(column.title, width))
        grid.add_column(head, justify="right" if column.right else "left", no_wrap=True)
    for row in table.rows:
        grid.add_row(*(_cell(column, row[column.key], "\n") for column in table.printed))
    return grid


def _cell(column: Column, value: Value, between: str) -> Text:
    mean, spread, paper = lines(value, column.digits)
    parts = (Text(mean), Text(spread, "dim"), Text(f"[{paper}]" if paper else "", "cyan"))
    return Text(between).join(filter(None, parts))


def _names(column: Column) -> Sequence[str]:
    return [f"{column.key}_{part}" for part in ("mean", "sd", "paper")] if column.estimated else [column.key]


def _fields(column: Column, row: dict[str, Value]) -> Sequence[object]:
    value = row[column.key]
    return [value.mean, value.sd, value.paper] if isinstance(value, MeanSd) else [value]
