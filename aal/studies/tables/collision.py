"""Table I of the collision paper (Adversarial Vulnerability of Active Transfer Learning): ours beside the paper's."""

from collections.abc import Iterator

from aal.runs.reading import Run, common, number, part
from aal.studies.comparison import AGAINST, ARM, Figures, compared, papers_figures
from aal.studies.results import Column, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

PAPER = papers_figures("collision")  # by data set and head
PAPER_DATA = {"SpeechCommands": "AudioSet"}  # the ten commands of the paper's "Audio Set 10"
PAPER_WORDS = {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}
PAPER_BUDGET = 500  # labels queried, and poisons in the pool

NORMS = ("norm_initial", "norm_crafted", "norm_saved")
DISTORTION = ("perturbation_l2", "perturbation_linf", "psnr", "snr")  # of images psnr, of sound snr

LOSSES = (
    "Losses are mean squared distances ‖f(x) - μ‖², before crafting and after saving: the losses of the paper's Table "
    "I only fit a square. table.csv has the norms too, and how far the saved poison is from its base."
)
RANDOM = (
    "Success random is N over the natural unlabelled pool, as in the paper; expected is what random queries would "
    "find, budget / (pool + N)."
)
PAPER_SAME = "[ ]: the paper's figure under the same setting (its backbones: ResNet-50 for images, YAMNet for audio)."
PAPER_OTHERWISE = (
    "[ ]: the paper's figure for the data set that the study's row names: 500 poisons and 500 queries, ResNet-50 for "
    "images and YAMNet for audio; where our setting differs the study's note says how."
)


def _of(key: str, title: str, name: str, digits: int = 3, note: str = "") -> Column:
    """Return a column of what the summaries of poisoned runs call ``name``."""
    return Column(key, title, digits, estimated=True, of=lambda run: number(run.summary, name), note=note)


COLUMNS = (
    Column("data", "data"),
    Column("head", "head"),
    ARM,
    Column("n", "n", counts=True),
    Column("accuracy_clean", "acc. clean", 3, estimated=True),
    _of("accuracy_poisoned", "acc. poisoned", "accuracy"),
    _of("loss_initial", "loss initial", "squared_initial", 2, LOSSES),
    _of("loss_adversarial", "loss advers.", "squared_saved"),
    Column("poisons", "N", counts=True),
    _of("success_poison", "success poison", "poison_success"),
    _of("success_random", "success random", "random_success", note=RANDOM),
    _of("success_random_expected", "random expected", "random_success_expected"),
    Column("seconds_per_poison", "s per poison", 3, estimated=True),
    Column("clean_arm", printed=False),
    Column("n_poisoned", printed=False),
    Column("n_clean", printed=False),
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

    def paper(row: Row) -> Figures:
        poisoned = next(iter(cells[row.arm].values()), None)
        return paper_figures(poisoned, row.paper) if poisoned else {}

    def own(row: Row, poisoned: list[Run], figures: Figures) -> dict[str, Value]:
        clean = list(cells[row.group].values())
        both = poisoned + clean
        return {
            "data": common(both, "data"),
            "head": common(both, "head"),
            "n": str(len(poisoned)) if len(poisoned) == len(clean) else f"{len(poisoned)} / {len(clean)}",
            "accuracy_clean": mean_sd(
                (number(run.summary, "accuracy") for run in clean), figures.get("accuracy_clean")
            ),
            "clean_arm": row.against,
            "n_poisoned": len(poisoned),
            "n_clean": len(clean),
            "labels": common(both, "labels"),
        }

    return compared(
        study,
        cells,
        COLUMNS,
        paper=paper,
        own=own,
        notes=("Mean ±sample standard deviation over n seeds (n of the arm / n of the clean arm where they differ).",),
        more=_papers_notes(study.rows, cells, any(paper(row) for row in study.rows)),
        named="",
    )


KIND = TableKind(collision_table, papers=tuple(dict.fromkeys(name.split("/")[0] for name in PAPER)), paired=True)


def paper_figures(run: Run, beside: str | None = None) -> Figures:
    """Return Table I's figures by column where a run has the paper's setting, else nothing.

    The setting, as the run's ``config.yaml`` has it: mu zero with screening and balance, 500 poisons and queries, one
    at a time by entropy, a backbone that stays frozen, and the whole of a data set of the paper's, told by the
    datamodule's class.

    Args:
        run: A poisoned run.
        beside: The data set whose figures are wanted whatever the setting is; None for that of the run.
    """
    figures = PAPER.get(f"{beside or _paper_data(run)}/{run.summary.get('head')}", {})
    return figures if beside is not None or (figures and _paper_setting(run)) else {}


def _paper_data(run: Run) -> str:
    """Return what the paper calls the data set that a run's datamodule reads; its class where the paper has none."""
    name, _ = part(run, "data")
    return PAPER_DATA.get(name, name)


def _paper_setting(run: Run) -> bool:
    """Return whether a run's poison, queries, model and choice of data are those of the paper's Table I."""
    (_, poison), (_, query), (_, model), (_, data) = (part(run, key) for key in ("poison", "query", "model", "data"))
    words = data.get("words")
    return (
        (poison.get("mu"), poison.get("screen"), poison.get("balance")) == ("zero", True, True)
        and run.summary["strategy"] == "Entropy"
        and run.summary["budget"] == run.summary.get("poisons") == PAPER_BUDGET
        and query.get("query_size") == 1
        and model.get("freeze", True) is True
        and model.get("unfreeze_at") is None
        and data.get("classes") is None
        and data.get("limit") is None
        and "labels" not in data  # of AudioSet, whose ten labels are the user's choice
        and (words is None or (isinstance(words, list) and set(map(str, words)) == PAPER_WORDS))
    )


def _papers_notes(rows: tuple[Row, ...], cells: Cells, shown: bool) -> Iterator[str]:
    if shown:
        yield PAPER_OTHERWISE if any(row.paper for row in rows) else PAPER_SAME
    elsewhere = {arm for row in rows if row.paper for arm in (row.arm, row.against)}
    ours = [run for arm, runs in cells.items() if arm not in elsewhere for run in runs.values()]
    missing = sorted({run.summary["data"] for run in ours if f"{_paper_data(run)}/NN1" not in PAPER})
    if missing:
        yield f"The paper has no figures for {', '.join(missing)}."
