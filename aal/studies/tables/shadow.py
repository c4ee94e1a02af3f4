"""Shadows of a victim: accuracy, fidelity and what they cost, Tables 2 to 6 of paper *shadow*."""

from functools import partial

from aal.runs.reading import Run, number
from aal.studies.comparison import AGAINST, ARM, AT, SEEDS, SPREAD, check_columns, compare, compared
from aal.studies.likeness import papers_figures
from aal.studies.paired import PairedTest
from aal.studies.results import Column, Table
from aal.studies.study import Cells, Row, Study, TableKind

PAPER = papers_figures("shadow")
COSTS = (
    "Queries: samples that the victim was asked about, for labels and by attacks. Fidelity: share of test samples that "
    "get the victim's label. Boundary: mean distance in L2 of the samples made from the victim's boundary."
)


def shadow_table(study: Study, cells: Cells) -> Table:
    """Make the table of shadows from the finished cells of a study.

    Args:
        study: The study; its setting ``columns``, if there is one, lists budgets, the accuracy at each of which it
            shows.
        cells: Finished runs by arm and seed.
    """
    at = tuple(
        Column(f"accuracy_{budget}", f"accuracy, {budget}", 4, estimated=True, of=partial(at_budget, budget=budget))
        for budget in study.settings.get(AT, ())
    )
    columns = (
        ARM,
        SEEDS,
        *at,
        Column("accuracy", "accuracy" if not at else "accuracy at the end", 4, estimated=True),
        Column("fidelity", "fidelity", 4, estimated=True, of=lambda run: number(run.rounds[-1], "fidelity")),
        Column("victim_accuracy", "victim's accuracy", 4, estimated=True),
        Column("queries_labels", "queries, labels", 0, estimated=True),
        Column("queries_attack", "queries, attack", 0, estimated=True, note=COSTS),
        Column("perturbation_linf", "perturbation, L∞", 3, estimated=True, sometimes=True),
        Column("boundary_distance", "boundary", 3, estimated=True, sometimes=True),
        Column("substitute_fidelity", "substitute's fidelity", 3, estimated=True, sometimes=True),
        Column("substitute_loss", "its loss", 3, estimated=True, sometimes=True),
        Column("failed", "failed", 0, estimated=True, sometimes=True),
        *AGAINST,
    )

    def test(row: Row) -> PairedTest:  # of shadows that some labels, none or any number of them were asked for
        return compare(row, cells, lambda run: number(run.summary, "accuracy"))

    return compared(study, cells, columns, notes=(SPREAD,), test=test)


def at_budget(run: Run, budget: int) -> float | None:
    """Return the accuracy of the round of that budget; None where there was none."""
    return next((number(record, "accuracy") for record in run.rounds if record.get("budget") == budget), None)


def check_budgets(study: Study, called: str) -> None:
    """Refuse a setting ``columns`` that is not a list of ascending budgets."""
    if AT in study.settings:
        check_columns(study, called)


KIND = TableKind(shadow_table, papers=tuple(PAPER), optional=(AT,), check=check_budgets)
