"""The cells that are still to run, each held back until the cells that it reads have finished."""

from collections.abc import Iterable

from aal.studies.cells import Cell
from aal.studies.study import Study


class Queue:
    """Gives out cells in order, of those whose sources have finished; a cell may be put back to be tried again.

    Args:
        study: The study, whose arms say which cells are read.
        cells: The cells that have not finished.
    """

    def __init__(self, study: Study, cells: Iterable[Cell]) -> None:
        self._study = study
        self._waiting = [(cell, 1) for cell in cells]
        self._unfinished = {(cell.arm, cell.seed) for cell, _ in self._waiting}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> tuple[Cell, int] | None:
        """Take out the first cell that can start, and which attempt it is; None where all wait for others."""
        for place, (cell, _) in enumerate(self._waiting):
            if not self._unfinished & self._sources(cell):
                return self._waiting.pop(place)
        return None

    def again(self, cell: Cell, attempt: int) -> None:
        """Put a cell back, behind the others."""
        self._waiting.append((cell, attempt))

    def finished(self, cell: Cell) -> None:
        """Let go of the cells that read this one, if they wait for no other."""
        self._unfinished.discard((cell.arm, cell.seed))

    def give_up(self, cell: Cell) -> list[tuple[Cell, Cell]]:
        """Take out the cells that read one that is broken, and those that read them, each with what it reads."""
        lost = []
        for other, _ in list(self._waiting):
            if (cell.arm, cell.seed) in self._sources(other):
                self._waiting = [pair for pair in self._waiting if pair[0] != other]
                lost += [(other, cell), *self.give_up(other)]
        return list(dict(lost).items())

    def _sources(self, cell: Cell) -> set[tuple[str, int]]:
        return {(arm, cell.seed) for arm in self._study.arms[cell.arm].reads}
