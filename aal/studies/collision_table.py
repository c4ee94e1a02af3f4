"""Table I of the collision paper (Adversarial Vulnerability of Active Transfer Learning): ours beside the paper's."""

from collections.abc import Iterator, Mapping
from typing import Any

from aal.documents import read_mapping
from aal.studies.paired import paired_test
from aal.studies.runs import Run, number
from aal.studies.study import Row
from aal.studies.table import Column, Estimate, Table, Value, estimate

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
    *(Column(f"difference_{key}", printed=False) for key in ("n", "mean", "sd", "t", "p", "remark")),
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
UNCORRECTED = "p is not corrected for the number of rows."


def collision_table(rows: tuple[Row, ...], cells: Mapping[str, Mapping[int, Run]]) -> Table:
    """Make Table I from the finished cells of a study.

    Args:
        rows: The poisoned and clean arms to set beside each other.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a row for each of ``rows``, those without a finished run included.
    """
    tests = tuple(paired_test(row.arm, row.clean, cells[row.arm], cells[row.clean]) for row in rows)
    values: list[dict[str, Value]] = []
    for row, test in zip(rows, tests, strict=True):
        value = _row(row, list(cells[row.arm].values()), list(cells[row.clean].values()))
        difference: dict[str, Value] = {
            "n": test.n,
            "mean": test.mean,
            "sd": test.sd,
            "t": test.t,
            "p": test.p,
            "remark": test.remark,
        }
        value |= {f"difference_{key}": part for key, part in difference.items()}
        values.append(value)
    return Table(COLUMNS, tuple(values), tests, tuple(_notes(rows, cells, values)))


def paper_figures(run: Run, beside: str | None = None) -> dict[str, float]:
    """Return Table I's figures by quantity where a run has the paper's setting, else nothing.

    The setting is mu zero with screening and balance, and 500 poisons and queries by entropy.

    Args:
        run: A poisoned run.
        beside: The data set whose figures are wanted whatever the setting is; None for that of the run.
    """
    if beside is not None:
        return dict(zip(QUANTITIES, PAPER.get((beside, str(run.summary.get("head"))), ()), strict=False))
    summary, poison = run.summary, _poison(run)
    setting = (
        (poison.get("mu"), poison.get("screen"), poison.get("balance")) == ("zero", True, True)
        and summary["strategy"] == "Entropy"
        and summary["budget"] == summary.get("poisons") == PAPER_BUDGET
    )
    figures = PAPER.get((PAPER_DATA.get(summary["data"], summary["data"]), str(summary.get("head"))))
    return dict(zip(QUANTITIES, figures, strict=True)) if setting and figures else {}


def _row(row: Row, poisoned: list[Run], clean: list[Run]) -> dict[str, Value]:
    paper = paper_figures(poisoned[0], row.paper) if poisoned else {}
    both = poisoned + clean

    def of(runs: list[Run], key: str, quantity: str = "") -> Estimate:
        return estimate((number(run.summary, key) for run in runs), paper.get(quantity))

    return {
        "data": _common(both, "data"),
        "head": _common(both, "head"),
        "arm": row.arm,
        "n": str(len(poisoned)) if len(poisoned) == len(clean) else f"{len(poisoned)} / {len(clean)}",
        "accuracy_clean": of(clean, "accuracy", "clean"),
        "accuracy_poisoned": of(poisoned, "accuracy", "poisoned"),
        "loss_initial": of(poisoned, "squared_initial", "initial"),
        "loss_adversarial": of(poisoned, "squared_saved", "adversarial"),
        "poisons": _common(poisoned, "poisons"),
        "success_poison": of(poisoned, "poison_success", "success"),
        "success_random": of(poisoned, "random_success", "random"),
        "success_random_expected": of(poisoned, "random_success_expected"),
        "seconds_per_poison": of(poisoned, "seconds_per_poison", "seconds"),
        "clean_arm": row.clean,
        "n_poisoned": len(poisoned),
        "n_clean": len(clean),
        "labels": _common(both, "labels"),
        **{key: of(poisoned, key) for key in (*NORMS, "squared_crafted", *DISTORTION)},
    }


def _common(runs: list[Run], key: str) -> str | None:
    """Return what all runs say under ``key``, or every value there is where they differ."""
    found = dict.fromkeys(str(run.summary[key]) for run in runs if key in run.summary)
    return " / ".join(found) or None


def _notes(
    rows: tuple[Row, ...], cells: Mapping[str, Mapping[int, Run]], values: list[dict[str, Value]]
) -> Iterator[str]:
    yield UNCORRECTED
    yield "Mean ±sample standard deviation over n seeds (n of the arm / n of the clean arm where they differ)."
    yield LOSSES
    yield RANDOM
    if any(isinstance(cell, Estimate) and cell.paper is not None for value in values for cell in value.values()):
        yield PAPER_OTHERWISE if any(row.paper for row in rows) else PAPER_SAME
    elsewhere = {row.arm for row in rows if row.paper} | {row.clean for row in rows if row.paper}
    data = {run.summary["data"] for arm, runs in cells.items() if arm not in elsewhere for run in runs.values()}
    missing = sorted(name for name in data if (PAPER_DATA.get(name, name), "NN1") not in PAPER)
    if missing:
        yield f"The paper has no figures for {', '.join(missing)}."


def _poison(run: Run) -> dict[str, Any]:
    """Return the settings of a run's poison from its configuration; nothing where it was not poisoned."""
    path = run.folder / "config.yaml"
    poison = read_mapping(path).get("poison") if path.is_file() else None
    settings = poison.get("init_args") if isinstance(poison, dict) else None
    return settings if isinstance(settings, dict) else {}
