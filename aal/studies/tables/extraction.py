"""Fidelity of shadows over the queries that they cost, whoever chose these: model extraction beyond paper *shadow*."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
KNOWN = "Answers: what the victim says of a sample."


def extraction_table(study: Study, cells: Cells) -> Table:
    """Make the table of fidelity, and accuracy, over queries from the finished cells of a study.

    Args:
        study: The study; its setting ``columns`` lists numbers of queries, at the last of which arms are compared.
        cells: Finished runs by arm and seed.
    """
    at = study.settings[AT]

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
        return compare(row, cells, partial(with_queries, queries=at[-1], column="fidelity"), digits=4)

    return compared(study, cells, columns, notes=(SPREAD,), test=test, tested=f"Fidelity with {at[-1]} queries")


def _sections(study: Study, cells: Cells, directory: Path) -> "tuple[Section, ...]":
    from aal.studies.extraction_panels import extraction_sections

    return extraction_sections(study, cells, directory)


KIND = TableKind(extraction_table, required=(AT,), check=check_columns, sections=_sections)
