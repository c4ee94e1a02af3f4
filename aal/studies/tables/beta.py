"""Where a classifier is the Bayes classifier when training points lean to the boundary: paper *shadow*, section 3."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aal.runs.reading import Run, number
from aal.studies.beta_outcomes import LEVEL, Comparison, compared_at_each, setting_of_arm
from aal.studies.comparison import AGAINST, ARM, AT, SEEDS, SPREAD, accuracy_at, check_columns, concluded, difference
from aal.studies.results import Column, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

if TYPE_CHECKING:
    from aal.report.page import Section

AREA = (
    "Area: share of uniform samples at which the classifier is the Bayes classifier, the paper's measure. Accuracy: "
    "expected, at the same samples, on labels drawn from eta; in the last round, beside that of the Bayes classifier."
)
CHOSEN = "Chosen: what did best on the split val in the last round, of the first seed."
HOLM = f"Larger, smaller: p below {LEVEL:g} after Holm's correction over all tests against the same arm."


def beta_table(study: Study, cells: Cells) -> Table:
    """Make the table of areas over the number of training points.

    Args:
        study: The study; its setting ``columns`` lists numbers of training points.
        cells: Finished runs by arm and seed.
    """
    sizes = study.settings[AT]
    columns = (
        ARM,
        Column("data", "eta, labels"),
        Column("classifier", "classifier"),
        Column("density", "β, floor"),
        *(Column(key, printed=False) for key in ("eta", "noise", "beta", "floor")),
        SEEDS,
        *(Column(f"area_{n}", f"area, n = {n:,}", 4, estimated=True) for n in sizes),
        Column("accuracy_drawn", "accuracy", 4, estimated=True),
        Column("accuracy_bayes", "of Bayes", 4, estimated=True),
        Column("chosen", "chosen", note=CHOSEN),
        *AGAINST,
    )
    found = compared_at_each(study, cells)
    last = {(one.row.arm, one.row.against): one for one in found}  # n ascends
    rows = [_line(row, cells, sizes, last.get((row.arm, row.against))) for row in study.rows]
    tests = [one.test for one in found]
    return concluded(
        columns, rows, tests, tested="Area", notes=(SPREAD, AREA, HOLM), more=verdicts(study, cells, found)
    )


def verdicts(study: Study, cells: Cells, found: list[Comparison]) -> list[str]:
    """Say of each kind of labels and classifier how often leaning to the boundary gave a larger or smaller area."""
    counts: dict[str, Counter[str]] = {}
    for one in found:
        setting = setting_of_arm(cells, one.row.arm)
        if setting is not None:
            kind = f"{setting.classifier}, {'noisy labels' if setting.noisy else 'labels without noise'}"
            counts.setdefault(kind, Counter())[one.outcome] += 1
    return [
        f"{kind}: of {sum(own.values())} comparisons with the uniform density, the area is larger in {own['larger']}, "
        f"smaller in {own['smaller']}, undecided in {own['undecided']}."
        for kind, own in counts.items()
    ]


def _line(row: Row, cells: Cells, sizes: list[int], last: Comparison | None) -> dict[str, Value]:
    runs = list(cells[row.arm].values())
    setting = setting_of_arm(cells, row.arm)
    said: dict[str, Value] = {}
    if setting is not None:
        said = {"eta": setting.eta, "noise": "noisy" if setting.noisy else "clean", "classifier": setting.classifier}
        said |= {"beta": f"{setting.beta:g}", "floor": f"{setting.floor:g}" if setting.beta else None}
        said |= {"data": f"{said['eta']}, {said['noise']}"}
        said |= {"density": ", ".join(str(said[key]) for key in ("beta", "floor") if said[key])}
    at_end = {key: mean_sd(_at_end(run, key) for run in runs) for key in ("accuracy_drawn", "accuracy_bayes")}
    return {
        "arm": row.arm,
        "n": len(runs),
        "against": row.against,
        **said,
        **{f"area_{n}": mean_sd(map(partial(accuracy_at, labels=n), runs)) for n in sizes},
        **at_end,
        "chosen": _chosen(runs),
        **difference(None if last is None else last.test),
    }


def _at_end(run: Run, key: str) -> float | None:
    return number(run.rounds[-1], key) if run.rounds else None


def _chosen(runs: list[Run]) -> str | None:
    """Return the arguments that the last round of the first run chose, where it chose."""
    last = runs[0].rounds[-1] if runs and runs[0].rounds else {}
    start = "chosen_"
    return ", ".join(f"{key.removeprefix(start)} {last[key]:g}" for key in last if key.startswith(start)) or None


def _sections(study: Study, cells: Cells, directory: Path) -> "tuple[Section, ...]":
    from aal.studies.beta_panels import beta_sections

    return beta_sections(study, cells, directory)


KIND = TableKind(beta_table, required=(AT,), check=check_columns, sections=_sections)
