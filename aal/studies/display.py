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
    TimeRemainingColumn,
)

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
            TextColumn("· left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[now]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._cells, self._count, self._looked = cells, skipped, 0.0
        self._running: list[Cell] = []
        if skipped:
            console.print(f"{skipped} of {cells} cells are finished already", highlight=False)
        # Time left is told from the cells of this invocation: those skipped took none of it.
        self._task = self.add_task("study", total=cells - skipped, now="")

    def begun(self, cell: Cell) -> None:
        """Show that a cell was started."""
        self._running.append(cell)

    def done(self, cell: Cell, seconds: float) -> None:
        """Show that a cell has finished."""
        self._running.remove(cell)
        self._count += 1
        self.advance(self._task)
        self._line(f"{cell.name}: done in {seconds:.0f} s ({self._count} of {self._cells} cells)")

    def broken(self, cell: Cell, why: str, *, again: bool) -> None:
        """Show that a cell's process ended without finishing, and whether it is tried again."""
        self._running.remove(cell)
        self._line(f"{cell.name}: {why}{'; trying again' if again else ''}", style="red")

    def look(self) -> None:
        """Refresh what the running cells are at, now and then: it reads their files."""
        if self.disable or time.monotonic() - self._looked < 0.5:
            return
        self._looked = time.monotonic()
        now = ", ".join(f"{cell.name} ({cell.labels() or 0} labels)" for cell in self._running)
        self.update(self._task, now=now)

    def _line(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, highlight=False, soft_wrap=True)
