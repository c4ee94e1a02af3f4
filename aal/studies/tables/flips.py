"""What flipped labels do to natural and adversarial accuracy: Table 4.1 and Figures 4.6b and 4.8 of paper *noise*."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aal.checks import refuse
from aal.report.flip_outcomes import (
    CLEAN,
    RANDOM,
    FlipSelection,
    Values,
    averaged,
    by_seed,
    over_repeats,
    selections,
    swept,
    values,
)
from aal.runs.reading import Run
from aal.studies.comparison import AGAINST, ARM, SEEDS, concluded, difference
from aal.studies.likeness import Beside, Facts, Figures, facts_of, papers_figures
from aal.studies.paired import PairedTest, paired_values
from aal.studies.results import Column, MeanSd, Table, Value, mean_sd
from aal.studies.study import Cells, Row, Study, TableKind

if TYPE_CHECKING:
    from aal.report.page import Section

PAPER = papers_figures("flips")
ATTACK, COLUMN = "attack", "column"
ALONG = "along"  # the setting that is the key of the number in which a study's arms differ
KINDS = {"accuracy": "", "not_target": "_not_target"}  # what COLUMN may be, with the end of the record's column

SPREAD = (
    "Mean ±sample standard deviation over n seeds, each the mean over its repeats. Sd over repeats: the standard "
    "deviation over the repeats of a seed, pooled over seeds."
)
LABELS = "Rounds memorised: share of the rounds that ended with the whole training set memorised."
MEASURED = {
    "accuracy": "Adversarial accuracy: share of the samples that are classified as their label without {} and with it.",
    "not_target": "Adversarial accuracy: share of the samples that {} does not bring to be taken for the target.",
}
DIFFERENCE = (
    "Difference and p: of the adversarial accuracy to random flips in the same arm, or to the same flips in the arm "
    "that the row is compared with."
)
THIRDS = (
    "Closest and farthest: the first and the last position of a sweep. Middle: all but the first and the last third of "
    "the positions."
)
COLUMNS = (
    ARM,
    Column("selector", "flips"),
    Column("position", "position", counts=True, sometimes=True),
    SEEDS,
    Column("repeats", "repeats", counts=True),
    Column("flips", "labels flipped", 0, estimated=True, note=LABELS),
    Column("memorised", "rounds memorised", 2, estimated=True),
    Column("accuracy", "natural accuracy", 4, estimated=True),
    Column("adversarial", "adversarial accuracy", 4, estimated=True),
    Column("over_repeats", "sd over repeats", 4, estimated=True, sometimes=True),
    Column("change", "difference", 4, estimated=True, note=DIFFERENCE),
    Column("p", "p", counts=True, note=THIRDS),
    *AGAINST,
)


def flips_table(study: Study, cells: Cells) -> Table:
    """Make the table of runs of :class:`aal.callbacks.LabelFlip`: of each row's arm, a line for each selection.

    The tests below it are of selections without a position, of whole sweeps where a row is compared with another arm,
    and of what the paper says of sweeps: positions in the middle hurt most, the closest least.

    Args:
        study: The study; its setting ``attack`` names the attack, ``column`` what is measured: ``accuracy``, which it
            is if not said, or ``not_target``. Its figure is over positions, or over the number that ``along`` is the
            key of in a configuration.
        cells: Finished runs by arm and seed.

    Returns:
        A table with a line at least for each of the study's rows, those without a finished run included.
    """
    column, tests, beside = adversarial_column(study), [], Beside(study.table)
    rows: list[dict[str, Value]] = []
    for row in study.rows:
        runs = cells[row.arm]
        known = selections(runs.values())
        first = next(iter(runs.values()), None)
        figures = beside.figures(row.arm, row.paper, attacked(first, study.settings[ATTACK])) if first else {}
        for selection in known:
            test = _test(row, selection, cells, column)
            rows.append(_line(row, selection, runs, column, figures) | (_difference(test) if test else {}))
            tests += [test] if test is not None and selection.position is None else []
        rows += [] if known else [{"arm": row.arm, "n": 0, "against": row.against}]
        tests += [*_whole_sweeps(row, known, cells, column), *_claims(row.arm, known, runs, column)]
    measured = MEASURED[study.settings.get(COLUMN, "accuracy")].format(study.settings[ATTACK])
    columns = [replace(one, note=measured) if one.key == "adversarial" else one for one in COLUMNS]
    return concluded(columns, rows, tests, tested="Adversarial accuracy", notes=(SPREAD,), more=beside.notes())


def adversarial_column(study: Study) -> str:
    """Return the column of a round's record that a study is about."""
    return f"robust_{study.settings[ATTACK]}{KINDS[study.settings.get(COLUMN, 'accuracy')]}"


def attacked(run: Run, attack: str) -> Facts:
    """Return what a run was, and by which attack it is judged: ``attack``, and whether it is ``aimed`` at a class."""
    facts = facts_of(run)
    apart = f"robust.untargeted.{attack}" in facts
    key = f"robust.{'untargeted' if apart else 'attacks'}.{attack}"
    own = {name.replace(key, "attack"): fact for name, fact in facts.items() if f"{name}.".startswith(f"{key}.")}
    return {**facts, **own, "aimed": not apart and facts.get("robust.targets") is not None}


def middle(positions: list[FlipSelection]) -> list[FlipSelection]:
    """Return all but the first and the last third of at least three positions."""
    third = len(positions) // 3
    return positions[third : len(positions) - third]


def _check(study: Study, called: str) -> None:
    """Refuse settings that name no column.

    Raises:
        UserError: Says which; the line starts with ``called``.
    """
    settings = study.settings
    attack, kind, along = settings[ATTACK], settings.get(COLUMN, "accuracy"), settings.get(ALONG, "")
    refuse(
        not isinstance(attack, str) or not attack.isidentifier(),
        f"{called}: settings.{ATTACK} must be the name of an attack, not {attack!r}",
    )
    refuse(kind not in KINDS, f"{called}: settings.{COLUMN} must be {' or '.join(KINDS)}, not {kind!r}")
    refuse(
        not isinstance(along, str),
        f"{called}: settings.{ALONG} must be the dotted key of a number in a configuration",
    )


def _sections(study: Study, cells: Cells, directory: Path) -> "tuple[Section, ...]":
    from aal.studies.flip_panels import flips_sections

    return flips_sections(study, cells, directory, adversarial_column(study), study.settings.get(ALONG))


KIND = TableKind(
    flips_table,
    papers=tuple(PAPER),
    required=(ATTACK,),
    optional=(COLUMN, ALONG),
    check=_check,
    sections=_sections,
)


def _line(
    row: Row, selection: FlipSelection, runs: Mapping[int, Run], column: str, figures: Figures
) -> dict[str, Value]:
    own = {key: values(runs, selection, key) for key in ("flips", "memorised", "accuracy", column)}
    means = {key: by_seed(of) for key, of in own.items()}
    seeds = means["flips"]
    over_seeds = {key: mean_sd(map(of.get, seeds)) for key, of in means.items()}
    figures = figures if selection.selector == RANDOM else {}
    tried = sorted({sum(seed == other for other, _ in own["flips"]) for seed, _ in own["flips"]})
    return {
        "arm": row.arm,
        "selector": selection.selector,
        "position": None if selection.position is None else f"{selection.position:g}",
        "n": len(seeds),
        "repeats": " to ".join(dict.fromkeys(str(count) for count in (tried[0], tried[-1]))),
        "flips": MeanSd(over_seeds["flips"].mean),
        "memorised": MeanSd(over_seeds["memorised"].mean),
        "accuracy": over_seeds["accuracy"],
        "adversarial": replace(over_seeds[column], paper=figures.get("adversarial")),
        "over_repeats": MeanSd(over_repeats(own[column]), None, figures.get("over_repeats")),
        "against": row.against or (RANDOM if selection.selector not in (CLEAN, RANDOM) else None),
    }


def _difference(test: PairedTest) -> dict[str, Value]:
    """Return what a test comes to, for people and for the CSV file."""
    return difference(test) | {
        "change": MeanSd(test.mean, test.sd),
        "p": None if test.p is None else f"{test.p:.2g}",
    }


def _test(row: Row, selection: FlipSelection, cells: Cells, column: str) -> PairedTest | None:
    """Compare a selection with itself in another arm, or with random flips in its own; None with nothing."""
    called, ours = f"{row.arm}: {selection}", values(cells[row.arm], selection, column)
    if row.against:
        theirs = values(cells[row.against], selection, column)
        return paired_trials(called, f"{row.against}: {selection}", ours, theirs)
    random = values(cells[row.arm], FlipSelection(RANDOM), column)
    compares = random and selection.selector not in (CLEAN, RANDOM)
    return paired_trials(called, RANDOM, ours, random) if compares else None


def _whole_sweeps(row: Row, known: list[FlipSelection], cells: Cells, column: str) -> Iterator[PairedTest]:
    """Compare the mean over the positions of each sweep with the same in another arm."""
    if not row.against:
        return
    for name, positions in swept(known).items():
        sides = [averaged(values(cells[arm], one, column) for one in positions) for arm in (row.arm, row.against)]
        yield paired_trials(f"{row.arm}: all of {name}", f"{row.against}: all of {name}", *sides)


def _claims(arm: str, known: list[FlipSelection], runs: Mapping[int, Run], column: str) -> Iterator[PairedTest]:
    """Compare the middle of each sweep, and its closest position, with its farthest and with random flips."""
    random = values(runs, FlipSelection(RANDOM), column)
    for name, positions in swept(known).items():
        if len(positions) < 3:
            continue
        inner = averaged(values(runs, selection, column) for selection in middle(positions))
        closest, farthest = f"the closest, {positions[0]}", f"the farthest, {positions[-1]}"
        nearest = values(runs, positions[0], column)
        others: dict[str, Values] = {farthest: values(runs, positions[-1], column)}
        others |= {RANDOM: random} if random else {}
        for other, theirs in ({closest: nearest} | others).items():
            yield paired_trials(f"{arm}: middle of {name}", other, inner, theirs)
        for other, theirs in others.items():
            yield paired_trials(f"{arm}: {closest}", other, nearest, theirs)


def paired_trials(arm: str, against: str, ours: Values, theirs: Values) -> PairedTest:
    """Compare two selections, or one in two arms, seed by seed: the means over the repeats that both have."""
    shared = sorted(set(ours) & set(theirs))
    sides = [by_seed({trial: of[trial] for trial in shared}) for of in (ours, theirs)]
    return paired_values(arm, against, *sides)
