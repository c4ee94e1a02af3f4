"""What a run shows while it goes: bars on a terminal, a few plain lines anywhere else, from rank zero only."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import TextIO, TypeVar

from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

DRAW_SECONDS = 0.1  # between two drawings of the bars
SLOW_SECONDS = 1.0  # a task that takes less leaves no line
TASK_LINE_SECONDS = 30.0  # between two lines of a task, where there are no bars
ROUND_LINE_SECONDS = 5.0  # between two lines of the rounds, where there are no bars
RECENT_ROUNDS = 50  # that the time left is judged by: later rounds train on more labels and take longer
CUT = Column(ratio=5, no_wrap=True)  # of bars: cut at its end where the terminal is narrow, as no other column is

T = TypeVar("T")


class SteadyConsole(Console):
    """A console whose cursor stays visible."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing: a killed run could not show a hidden cursor again."""
        return False

    def on_broken_pipe(self) -> None:
        """Raise what was caught: rich would end the process, but a stream that goes away ends the display alone."""
        raise


class Progress:
    """The display of one run, shared by its tasks: bars if the stream is a terminal that moves its cursor, else lines.

    No thread draws the bars (worker processes are forked while they show), and the cursor stays visible: a run killed
    at any moment leaves a sound terminal. A stream that is or goes away ends the display, never the run.

    Attributes:
        on_terminal: Whether there are bars.
        bars: Those that are showing; a task that ends inside others leaves no line. After they were stopped none is.
    """

    def __init__(self, stream: TextIO | None = None, *, enabled: bool = True) -> None:
        """Show on ``stream``, None for stderr; nothing at all unless ``enabled``."""
        stream = (stream or sys.stderr) if enabled else None
        self._works = stream is not None and not stream.closed
        moves_cursor = os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
        self.on_terminal = stream is not None and self._works and stream.isatty() and moves_cursor
        self._console = SteadyConsole(file=stream, force_terminal=self.on_terminal, force_jupyter=False)
        self.bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[state]}", markup=False, table_column=CUT),
            console=self._console,
            expand=True,
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # else `aal fit > file` would miss it
        )
        self._drawn = 0.0

    def task(self, description: str, total: int) -> "SamplesTask":
        """Begin to show a task such as "encoding pool" over ``total`` samples."""
        return SamplesTask(self, description, total, SLOW_SECONDS)

    def rounds(self, total: int, unit: str = "labels") -> "RoundsTask":
        """Begin to show the rounds of a run, until there are ``total`` of what it counts, such as labels."""
        return RoundsTask(self, total, unit)

    def stop(self) -> None:
        """Take the bars off the terminal. May be called at any time, and again; a task begun later has a bar again."""
        for bar in self.bars.task_ids:
            self.bars.remove_task(bar)
        with contextlib.suppress(OSError, ValueError):
            self.bars.live.stop()  # gives sys.stdout and sys.stderr back before it fails on a stream that is gone

    def line(self, text: str) -> None:
        """Print one line, above the bars if there are any."""
        self._write(lambda: self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True))

    def open(self, description: str, total: int) -> TaskID | None:
        """Add a bar, on a terminal."""
        if not self.on_terminal:
            return None
        self._write(self.bars.start)  # again is harmless
        return self._write(lambda: self.bars.add_task(description, total=total, state=""))

    def draw(self, bar: TaskID | None, done: int, state: Callable[[], str]) -> None:
        """Move a bar, and draw the bars unless that was just done."""
        now = time.monotonic()
        if bar is None or bar not in self.bars.task_ids or now - self._drawn < DRAW_SECONDS:
            return
        self._drawn = now
        self._write(lambda: self.bars.update(bar, completed=done, state=state(), refresh=True))

    def close(self, bar: TaskID | None) -> None:
        """Remove a bar, and the display with the last one."""
        if bar in self.bars.task_ids:
            self.bars.remove_task(bar)
            if not self.bars.task_ids:
                self.stop()

    def _write(self, action: Callable[[], T]) -> T | None:
        if not self._works or getattr(rank_zero_only, "rank", 0) != 0:
            return None
        try:
            return action()
        except (OSError, ValueError):  # the terminal is gone, the pipe broken, the stream closed: show nothing more
            self._works = False
            self.stop()
            return None


class SamplesTask(contextlib.AbstractContextManager["SamplesTask", None]):
    """Samples of one job, such as crafting or encoding. Without bars: a line now and then; none within a second.

    A context manager, which ends it.

    Attributes:
        total: What is counted up to; it may change while it goes on.
    """

    between = TASK_LINE_SECONDS  # two lines, where there are no bars

    def __init__(self, progress: Progress, description: str, total: int, quiet_for: float) -> None:
        self._progress, self._description, self.total = progress, description, total
        self._counted, self._open, self._begun = 0, True, time.monotonic()
        self._next_line = self._begun + quiet_for
        self._bar = progress.open(description, total)

    def advance(self, samples: int) -> None:
        """Count ``samples`` more as done."""
        self._counted += samples
        self._show()

    def done(self) -> None:
        """End it; again is harmless."""
        if self._open:
            self._open = False
            self._progress.close(self._bar)
            self._say_end()

    def _show(self, at_once: bool = False) -> None:
        """Move the bar; where there are none, print a line if it is time to."""
        self._progress.draw(self._bar, self._counted, self._state)
        if not self._progress.on_terminal and (at_once or time.monotonic() >= self._next_line):
            self._next_line = time.monotonic() + self.between
            self._say()

    def _say(self) -> None:
        self._progress.line(f"{self._description}: {self._state()}")

    def _say_end(self) -> None:
        took = time.monotonic() - self._begun
        if took >= SLOW_SECONDS and not self._progress.bars.task_ids:
            self._progress.line(f"{self._description}: {self._counted}/{self.total}, took {clock(took)}")

    def _state(self) -> str:
        left = (time.monotonic() - self._begun) / max(self._counted, 1) * (self.total - self._counted)
        return f"{self._counted}/{self.total}, {clock(left)} left"

    def __exit__(self, *error: object) -> None:
        self.done()


class RoundsTask(SamplesTask):
    """Rounds of a run, counted in labels or another unit. Without bars: a line every few seconds, and the last."""

    between = ROUND_LINE_SECONDS

    def __init__(self, progress: Progress, total: int, unit: str) -> None:
        super().__init__(progress, "rounds", total, 0.0)
        self._unit, self._told, self._remark, self._epoch, self._unsaid = unit, "", "", 0, False
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT_ROUNDS)  # (time, counted) of rounds done here

    def update(self, counted: int, round: int, accuracy: float | None, remark: str = "") -> None:
        """Show that a round is over.

        Args:
            counted: What was counted by then, such as samples labelled when this round was trained.
            round: The round, from 0.
            accuracy: On the test split, in [0, 1], or None if it was not measured.
            remark: What else is to be said.
        """
        self._counted, self._epoch, self._unsaid = counted, 0, True
        known = "" if accuracy is None else f", accuracy {accuracy:.3f}"
        self._told, self._remark = f"round {round}: {counted}/{self.total} {self._unit}{known}", remark
        self._recent.append((time.monotonic(), counted))
        self._show(at_once=counted >= self.total)

    def epoch(self, epoch: int) -> None:
        """Show that an ``epoch`` (from 1) of the next round's training is over; leaves no line."""
        self._epoch = epoch
        self._progress.draw(self._bar, self._counted, self._state)

    def _say(self) -> None:
        self._unsaid = False
        self._progress.line(self._state())

    def _say_end(self) -> None:
        if self._unsaid:
            self._say()

    def _state(self) -> str:
        parts = [self._told or f"round 0: 0/{self.total} {self._unit}"]
        if self._counted >= self.total or not self._open:
            parts.append(f"took {clock(time.monotonic() - self._begun)}")
        elif len(self._recent) > 1 and self._recent[-1][1] > self._recent[0][1]:
            (first, before), (last, counted) = self._recent[0], self._recent[-1]
            parts.append(f"{clock((last - first) / (counted - before) * (self.total - counted))} left")
        if self._epoch:
            parts.append(f"next: epoch {self._epoch}")
        return ", ".join([*parts, *filter(None, [self._remark])])  # what is last is cut first


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    return str(timedelta(seconds=round(max(seconds, 0.0))))


def quiet() -> Progress:
    """Return a display that shows nothing."""
    return Progress(enabled=False)
