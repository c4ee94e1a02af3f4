"""Fidelity of shadows over the queries that they cost, whoever chose these: model extraction beyond paper *shadow*."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aal.checks import refuse
from aal.studies.comparison import AGAINST, ARM, AT, SEEDS, SPREAD, check_columns, compare, compared, with_queries
from aal.studies.paired import PairedTest
from aal.studies.results import Column, Table
from aal.studies.study import Cells, Row, Study, TableKind

if TYPE_CHECKING:
    from aal.report.page import Section

QUERIES = (
    "Queries: samples that the victim was asked about, for labels and by attacks. At a number of queries: in the last "
    "round that had cost no more. Fidelity: share of test samples that get the victim's label."
)
COMPARED = "compared"  # the setting that says at which of the columns
KNOWN = "Answers: what the victim says of a sample."


def extraction_table(study: Study, cells: Cells) -> Table:
    """Make the table of fidelity, and accuracy, over queries from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of queries. Arms are compared at the one that the
            setting ``compared`` names, else at the last, where a pool may be exhausted and nothing left to choose.
        cells: Finished runs by arm and seed.
    """
    at = study.settings[AT]
    where = study.settings.get(COMPARED, at[-1])

    def columns_of(column: str) -> list[Column]:
        return [
            Column(
                f"{column}_{queries}",
                f"{column}, {queries}",
                4,
                estimated=True,
                of=partial(with_queries, queries=queries, column=column),
            )
            for queries in at
        ]

    columns = (
        ARM,
        SEEDS,
        Column("victim_answers", "answers", note=KNOWN),
        *columns_of("fidelity"),
        *columns_of("accuracy"),
        Column("victim_accuracy", "victim's accuracy", 4, estimated=True, note=QUERIES),
        *AGAINST,
    )

    def test(row: Row) -> PairedTest:
        return compare(row, cells, partial(with_queries, queries=where, column="fidelity"), digits=4)

    return compared(study, cells, columns, notes=(SPREAD,), test=test, tested=f"Fidelity with {where} queries")


def check_compared(study: Study, called: str) -> None:
    """Refuse columns that are no ascending numbers, and one to compare at that is none of them."""
    check_columns(study, called)
    where, at = study.settings.get(COMPARED), study.settings[AT]
    refuse(where not in (None, *at), f"{called}: settings.{COMPARED} must be one of {AT}, {at}, not {where!r}")


def _sections(study: Study, cells: Cells, directory: Path) -> "tuple[Section, ...]":
    from aal.studies.extraction_panels import extraction_sections

    return extraction_sections(study, cells, directory)


KIND = TableKind(extraction_table, required=(AT,), optional=(COMPARED,), check=check_compared, sections=_sections)
