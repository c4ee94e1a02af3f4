"""Table I of the collision paper (Adversarial Vulnerability of Active Transfer Learning): ours beside the paper's."""

from collections.abc import Iterator
from typing import Any

from aal.runs.reading import Run, common, number, part
from aal.studies.comparison import AGAINST, ARM, compared
from aal.studies.likeness import Beside, Figures, facts_of, papers_figures
from aal.studies.results import Column, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

PAPER = papers_figures("collision")  # by data set and head
PAPER_DATA = {"SpeechCommands": "AudioSet"}  # the ten commands of the paper's "Audio Set 10"
# What differs in the setting of an accuracy without poison.
CLEAN: dict[str, Any] = {"poison": None} | {
    key: {} for key in ("poison.mu", "poison.screen", "poison.balance", "poisons")
}

NORMS = ("norm_initial", "norm_crafted", "norm_saved")
DISTORTION = ("perturbation_l2", "perturbation_linf", "psnr", "snr")  # of images psnr, of sound snr

COMPARED = "Its accuracy: that of the arm compared with."
LOSSES = (
    "Losses are mean squared distances ‖f(x) - μ‖², before crafting and after saving: the losses of the paper's Table "
    "I only fit a square. table.csv has the norms too, and how far the saved poison is from its base."
)
QUERIED = (
    "Poisons queried: share of the N poisons that were queried, the paper's success rate; queries to poison: share of "
    "the queries that went to one."
)
RANDOM = (
    "N / pool: of the natural unlabelled pool, the paper's success rate of random queries. Random finds: share of the "
    "poisons that random queries would find, budget / (pool + N)."
)


def _of(key: str, title: str, name: str, digits: int = 3, note: str = "") -> Column:
    """Return a column of what the summaries of poisoned runs call ``name``."""
    return Column(key, title, digits, estimated=True, of=lambda run: number(run.summary, name), note=note)


def _to_poison(run: Run) -> float | None:
    """Return the share of a run's queries that went to poison."""
    queried, budget = number(run.summary, "poisons_queried"), number(run.summary, "budget")
    return None if queried is None or not budget else queried / budget


COLUMNS = (
    Column("data", "data"),
    Column("head", "head"),
    ARM,
    Column("n", "n", counts=True),
    Column("accuracy", "accuracy", 3, estimated=True),
    Column("against", "compared with"),
    Column("accuracy_against", "its accuracy", 3, estimated=True, note=COMPARED),
    _of("loss_initial", "loss initial", "squared_initial", 2, LOSSES),
    _of("loss_adversarial", "loss advers.", "squared_saved"),
    Column("poisons", "N", counts=True),
    _of("success_poison", "poisons queried", "poison_success", note=QUERIED),
    Column("queries_to_poison", "queries to poison", 3, estimated=True, of=_to_poison),
    _of("success_random", "N / pool", "random_success", note=RANDOM),
    _of("success_random_expected", "random finds", "random_success_expected"),
    Column("seconds_per_poison", "s per poison", 3, estimated=True),
    Column("n_arm", printed=False),
    Column("n_against", printed=False),
    Column("labels", printed=False),
    *(Column(key, digits=3, estimated=True, printed=False) for key in (*NORMS, "squared_crafted", *DISTORTION)),
    *AGAINST[1:],
)


def collision_table(study: Study, cells: Cells) -> Table:
    """Make Table I from the finished cells of a study.

    Args:
        study: The study; its rows set a poisoned arm beside a clean one.
        cells: Finished runs by arm and seed.
    """

    def paper(beside: Beside, row: Row, run: Run) -> Figures:
        name = f"{row.paper or _paper_data(run)}/{run.summary.get('head')}"
        figures = dict(beside.figures(row.arm, name, facts_of(run)))
        other = next(iter(cells[row.group].values()), None)
        if not (figures and other and beside.figures(row.group, name, facts_of(other), CLEAN)):
            figures.pop("accuracy_against", None)
        return figures

    def own(row: Row, runs: list[Run], figures: Figures) -> dict[str, Value]:
        others = list(cells[row.group].values())
        accuracies = (number(run.summary, "accuracy") for run in others)
        both = runs + others
        return {
            "data": common(both, "data"),
            "head": common(both, "head"),
            "n": str(len(runs)) if len(runs) == len(others) else f"{len(runs)} / {len(others)}",
            "accuracy_against": mean_sd(accuracies, figures.get("accuracy_against")),
            "n_arm": len(runs),
            "n_against": len(others),
            "labels": common(both, "labels"),
        }

    return compared(
        study,
        cells,
        COLUMNS,
        paper=paper,
        own=own,
        notes=("Mean ±sample standard deviation over n seeds (n of the arm / of that compared with, if they differ).",),
        more=lambda beside: _missing(study.rows, cells),
    )


KIND = TableKind(collision_table, papers=tuple(dict.fromkeys(name.split("/")[0] for name in PAPER)), paired=True)


def _paper_data(run: Run) -> str:
    """Return what the paper calls the data set that a run's datamodule reads; its class where the paper has none."""
    name, _ = part(run, "data")
    return PAPER_DATA.get(name, name)


def _missing(rows: tuple[Row, ...], cells: Cells) -> Iterator[str]:
    """Say which data sets and heads the paper has no figures for."""
    runs = [(row.paper, run) for row in rows for run in cells[row.arm].values()]
    other = [run.summary for name, run in runs if f"{name or _paper_data(run)}/{run.summary.get('head')}" not in PAPER]
    if other:
        names = sorted({f"{summary['data']}, {summary.get('head')}" for summary in other})
        yield f"The paper has no figures for {'; '.join(names)}."
