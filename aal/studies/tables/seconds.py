"""Seconds to select at given numbers of labels: Table 3 of paper *dfal*."""

from functools import partial

from aal.runs.reading import Run
from aal.studies.comparison import (
    AGAINST,
    ARM,
    AT,
    SEEDS,
    SPREAD,
    check_columns,
    compare,
    compared,
    seconds_at,
)
from aal.studies.likeness import papers_figures
from aal.studies.results import Column, Table
from aal.studies.study import Cells, Study, TableKind

MISSING = "—: not every run queried with just that many labels."


def seconds_table(study: Study, cells: Cells) -> Table:
    """Make the table of seconds a query from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of labels at which a query was made.
        cells: Finished runs by arm and seed.
    """
    at: list[int] = study.settings[AT]

    def growth(run: Run) -> float | None:
        first, last = seconds_at(run, at[0]), seconds_at(run, at[-1])
        return last / first if first and last is not None else None

    times = f"{at[-1]} / {at[0]}"
    columns = (
        ARM,
        SEEDS,
        *(
            Column(f"seconds_{n}", f"seconds, {n} labels", 3, estimated=True, of=partial(seconds_at, labels=n))
            for n in at
        ),
        Column(
            "growth",
            times,
            2,
            estimated=True,
            of=growth,
            note=f"{times}: how many times as long the last takes as the first.",
        ),
        *AGAINST,
    )
    return compared(
        study,
        cells,
        columns,
        test=lambda row: compare(row, cells, partial(seconds_at, labels=at[0])),
        tested=f"Seconds to select with {at[0]} labels",
        notes=(f"{SPREAD} {MISSING}",),
        more=lambda beside: ["The paper's seconds are of its own machine."] if beside.shown else [],
    )


KIND = TableKind(seconds_table, papers=tuple(papers_figures("seconds")), required=(AT,), check=check_columns)
