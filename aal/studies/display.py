"""How far a study is: live bars on a terminal, one line a cell elsewhere."""

import time
from types import TracebackType

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aal.studies.cells import Cell


class StudyProgress:
    """Shows the cells of a study as they start, end and break."""

    def __init__(self, cells: int, skipped: int) -> None:
        """Begin with ``skipped`` of ``cells`` cells already finished."""
        self.console = Console(stderr=True)
        self.total = cells
        self.count = skipped
        self.running: list[Cell] = []
        self.looked = 0.0
        if skipped:
            self.console.print(f"{skipped} of {cells} cells are finished already", highlight=False)
        self.bars = progress.Progress(
            TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells ·"),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[now]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        # Time left is told from the cells of this invocation: those skipped took none of it.
        self.task = self.bars.add_task("study", total=cells - skipped, now="")

    def __enter__(self) -> "StudyProgress":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def start(self, cell: Cell) -> None:
        """Show that a cell was started."""
        self.running.append(cell)

    def done(self, cell: Cell, seconds: float) -> None:
        """Show that a cell has finished."""
        self.running.remove(cell)
        self.count += 1
        self.bars.advance(self.task)
        self._line(f"{cell.name}: done in {seconds:.0f} s ({self.count} of {self.total} cells)")

    def broken(self, cell: Cell, what: str, *, again: bool) -> None:
        """Show that a cell's process ended without finishing, and whether it is tried again."""
        self.running.remove(cell)
        self._line(f"{what}{'; trying again' if again else ''}", style="red")

    def update(self) -> None:
        """Refresh what the running cells are at, now and then: it reads their files."""
        if self.bars.disable or time.monotonic() - self.looked < 0.5:
            return
        self.looked = time.monotonic()
        now = ", ".join(f"{cell.name} ({cell.labels() or 0} labels)" for cell in self.running)
        self.bars.update(self.task, now=now)

    def _line(self, text: str, style: str = "") -> None:
        self.console.print(escape(text), style=style, highlight=False, soft_wrap=True)
