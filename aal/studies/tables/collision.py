"""Table I of the collision paper (Adversarial Vulnerability of Active Transfer Learning): ours beside the paper's."""

from collections.abc import Iterator

from aal.runs.reading import Run, common, number, part
from aal.studies.study import Cells, Row, Study, TableKind
from aal.studies.tables.paired import paired_test
from aal.studies.tables.table import (
    UNCORRECTED,
    Column,
    Estimate,
    Table,
    Value,
    difference,
    difference_columns,
    estimate,
)

QUANTITIES = ("clean", "poisoned", "initial", "adversarial", "success", "random", "seconds")
PAPER: dict[tuple[str, str], tuple[float, ...]] = {  # by datamodule and head; the order is that of QUANTITIES
    ("STL10", "NN1"): (0.862, 0.347, 66450.624, 107.729, 1.0, 0.126, 113.08),
    ("CIFAR10", "NN1"): (0.432, 0.267, 5016.588, 39.746, 1.0, 0.013, 93.425),
    ("AudioSet", "NN1"): (0.252, 0.143, 24.59, 0.488, 1.0, 0.016, 73.083),
    ("STL10", "NN2"): (0.844, 0.7, 66450.624, 107.729, 0.86, 0.126, 113.08),
    ("CIFAR10", "NN2"): (0.428, 0.341, 5016.588, 39.746, 0.832, 0.013, 93.425),
    ("AudioSet", "NN2"): (0.263, 0.141, 24.59, 0.488, 0.998, 0.016, 73.083),
}
PAPER_DATA = {"SpeechCommands": "AudioSet"}  # the ten commands of the paper's "Audio Set 10"
PAPER_WORDS = {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}
PAPER_BUDGET = 500  # labels queried, and poisons in the pool

NORMS = ("norm_initial", "norm_crafted", "norm_saved")
DISTORTION = ("perturbation_l2", "perturbation_linf", "psnr", "snr")  # of images psnr, of sound snr

COLUMNS = (
    Column("data", "data"),
    Column("head", "head"),
    Column("arm", "arm"),
    Column("n", "n", counts=True),
    Column("accuracy_clean", "acc. clean", 3, estimated=True),
    Column("accuracy_poisoned", "acc. poisoned", 3, estimated=True),
    Column("loss_initial", "loss initial", 2, estimated=True),
    Column("loss_adversarial", "loss advers.", 3, estimated=True),
    Column("poisons", "N", counts=True),
    Column("success_poison", "success poison", 3, estimated=True),
    Column("success_random", "success random", 3, estimated=True),
    Column("success_random_expected", "random expected", 3, estimated=True),
    Column("seconds_per_poison", "s per poison", 3, estimated=True),
    Column("clean_arm", printed=False),
    Column("n_poisoned", printed=False),
    Column("n_clean", printed=False),
    Column("labels", printed=False),
    *(Column(key, digits=3, estimated=True, printed=False) for key in (*NORMS, "squared_crafted", *DISTORTION)),
    *difference_columns(),
)

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


def collision_table(study: Study, cells: Cells) -> Table:
    """Make Table I from the finished cells of a study.

    Args:
        study: The study; its rows set a poisoned arm beside a clean one.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of the study's, those without a finished run included.
    """
    tests, values = [], []
    for row in study.rows:
        assert row.against is not None
        poisoned, clean = cells[row.arm], cells[row.against]
        test = paired_test(row.arm, row.against, poisoned, clean)
        values.append(_row(row, list(poisoned.values()), list(clean.values())) | difference(test))
        tests.append(test)
    return Table(COLUMNS, tuple(values), tuple(tests), tuple(_notes(study.rows, cells, values)))


KIND = TableKind(collision_table, papers=tuple(dict.fromkeys(data for data, _ in PAPER)), paired=True)


def paper_figures(run: Run, beside: str | None = None) -> dict[str, float]:
    """Return Table I's figures by quantity where a run has the paper's setting, else nothing.

    The setting, as the run's ``config.yaml`` has it: mu zero with screening and balance, 500 poisons and queries, one
    at a time by entropy, a backbone that stays frozen, and the whole of a data set of the paper's, told by the
    datamodule's class.

    Args:
        run: A poisoned run.
        beside: The data set whose figures are wanted whatever the setting is; None for that of the run.
    """
    head = str(run.summary.get("head"))
    if beside is not None:
        return dict(zip(QUANTITIES, PAPER.get((beside, head), ()), strict=False))
    figures = PAPER.get((_paper_data(run), head))
    return dict(zip(QUANTITIES, figures, strict=True)) if figures and _paper_setting(run) else {}


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


def _row(row: Row, poisoned: list[Run], clean: list[Run]) -> dict[str, Value]:
    paper = paper_figures(poisoned[0], row.paper) if poisoned else {}
    both = poisoned + clean

    def of(runs: list[Run], key: str, quantity: str = "") -> Estimate:
        return estimate((number(run.summary, key) for run in runs), paper.get(quantity))

    return {
        "data": common(both, "data"),
        "head": common(both, "head"),
        "arm": row.arm,
        "n": str(len(poisoned)) if len(poisoned) == len(clean) else f"{len(poisoned)} / {len(clean)}",
        "accuracy_clean": of(clean, "accuracy", "clean"),
        "accuracy_poisoned": of(poisoned, "accuracy", "poisoned"),
        "loss_initial": of(poisoned, "squared_initial", "initial"),
        "loss_adversarial": of(poisoned, "squared_saved", "adversarial"),
        "poisons": common(poisoned, "poisons"),
        "success_poison": of(poisoned, "poison_success", "success"),
        "success_random": of(poisoned, "random_success", "random"),
        "success_random_expected": of(poisoned, "random_success_expected"),
        "seconds_per_poison": of(poisoned, "seconds_per_poison", "seconds"),
        "clean_arm": row.against,
        "n_poisoned": len(poisoned),
        "n_clean": len(clean),
        "labels": common(both, "labels"),
        **{key: of(poisoned, key) for key in (*NORMS, "squared_crafted", *DISTORTION)},
    }


def _notes(rows: tuple[Row, ...], cells: Cells, values: list[dict[str, Value]]) -> Iterator[str]:
    yield UNCORRECTED
    yield "Mean ±sample standard deviation over n seeds (n of the arm / n of the clean arm where they differ)."
    yield LOSSES
    yield RANDOM
    if any(isinstance(cell, Estimate) and cell.paper is not None for value in values for cell in value.values()):
        yield PAPER_OTHERWISE if any(row.paper for row in rows) else PAPER_SAME
    elsewhere = {row.arm for row in rows if row.paper} | {row.against for row in rows if row.paper}
    ours = [run for arm, runs in cells.items() if arm not in elsewhere for run in runs.values()]
    missing = sorted({run.summary["data"] for run in ours if (_paper_data(run), "NN1") not in PAPER})
    if missing:
        yield f"The paper has no figures for {', '.join(missing)}."
