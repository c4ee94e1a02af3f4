"""How far a study is: live bars on a terminal, one line a cell elsewhere."""

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from aal.runs.progress import CUT, clock
from aal.studies.cells import Cell


class StudyProgress(Progress):
    """Shows the cells of a study as they start, end and break."""

    def __init__(self, cells: int, skipped: int) -> None:
        """Begin with ``skipped`` of ``cells`` cells already finished."""
        console = Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells ·"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[now]}", markup=False, table_column=CUT),
            console=console,
            expand=True,
            disable=not console.is_terminal,
        )
        self._cells, self._skipped, self._looked = cells, skipped, 0.0
        self._running: dict[Cell, float] = {}  # when each was started
        self._done, self._to_go, self._at_once, self._took = 0, cells - skipped, 0, 0.0
        if skipped:
            console.print(f"{skipped} of {cells} cells are finished already", highlight=False)
        self._task = self.add_task("study", total=cells - skipped, now="", left="")

    def begun(self, cell: Cell) -> None:
        """Show that a cell was started."""
        self._running[cell] = time.monotonic()
        self._at_once = max(self._at_once, len(self._running))

    def done(self, cell: Cell, seconds: float) -> None:
        """Show that a cell has finished."""
        del self._running[cell]
        self._done, self._to_go, self._took = self._done + 1, self._to_go - 1, self._took + seconds
        left = self._left()
        self.update(self._task, advance=1, left=left)
        count = f"{self._skipped + self._done} of {self._cells}"
        self._line(f"{cell.name}: done in {seconds:.0f} s ({count} cells{left})")

    def broken(self, cell: Cell, why: str, *, again: bool) -> None:
        """Show that a cell's process ended without finishing, and whether it is tried again."""
        del self._running[cell]
        self._to_go -= not again
        self._line(f"{cell.name}: {why}{'; trying again' if again else ''}", style="red")

    def look(self) -> None:
        """Refresh what the running cells are at, now and then: it reads their files."""
        if self.disable or time.monotonic() - self._looked < 0.5:
            return
        self._looked = time.monotonic()
        now = ", ".join(f"{cell.name} ({cell.labels() or 0} labels)" for cell in self._running)
        self.update(self._task, now=now, left=self._left())

    def _left(self) -> str:
        """Tell how long the cells to go take if each takes the mean of those that this invocation has finished."""
        if not self._done or not self._to_go:
            return ""
        mean, now = self._took / self._done, time.monotonic()
        begun = sum(min(now - started, mean) for started in self._running.values())
        return f", {clock((mean * self._to_go - begun) / min(self._at_once, self._to_go))} left"

    def _line(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, highlight=False, soft_wrap=True)
