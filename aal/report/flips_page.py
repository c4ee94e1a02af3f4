"""What a run of flipped labels shows: its trials, accuracy over positions, paths, suspects, what was passed over."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from aal.errors import UserError
from aal.flips.listing import PATHS, SUSPECTS
from aal.report.curves import Panel, position_figure
from aal.report.flip_curves import level, paths_figure, position_curve
from aal.report.flip_outcomes import (
    CLEAN,
    RANDOM,
    FlipSelection,
    of_flips,
    over_repeats,
    selection_of,
    selections,
    swept,
    values,
)
from aal.report.gallery import GALLERY
from aal.report.numbers import NONE, show
from aal.report.page import Grid, Listing, Page, Section, Tile, figure_picture, picture
from aal.report.regions import regions_sections
from aal.report.robustness import robust_parts
from aal.report.run_page import run_page
from aal.report.style import PALETTE
from aal.robustness.results import ROBUST, UNTARGETED, Evaluation
from aal.runs.reading import Run, number

ENDS = ("_not_target", "_distance")  # of columns that belong to an attack's
SHOWN = 20  # suspects in the page

TRIALS = (
    "Mean over the repeats of a selection, ± their sample standard deviation. Memorised: share of its rounds that "
    "ended with the whole training set memorised, the flipped labels among it."
)
POSITIONS = (
    "Accuracy of the networks trained on flipped labels against where in the sweep the flips were: in which bucket of "
    "path lengths, 0 next to the boundary of the clean classifier, or how far from their class's mean samples were "
    "placed. Band: ± one sample standard deviation over repeats. Dotted: flips at random, and clean labels."
)
CLASSES = (
    "Adversarial accuracy of each class after each selection, mean over its repeats. With targets, “not target” is "
    "the share that is not taken for the target."
)
LENGTHS = (
    "Steps of the adversarial paths {kind}, by class, under the clean classifier; in brackets the size of a step and "
    "the limit. Dotted: the median. Coloured: paths that never arrived, which end at the limit."
)
SUSPECTED = (
    "Training points with the shortest adversarial paths under the clean classifier, which may be labeling errors: "
    "{count:,} are listed in suspects.csv, the first {shown} here. 0 steps: it does not take them for their label."
)
PASSED_OVER = "Selections that could not be made, because there were fewer samples than labels to flip."


def flips_page(run: Run) -> Page | None:
    """Make the page of a run of flipped labels, which has nothing over the labels and no poison; none of others.

    Its figures also become files of the run.
    """
    if not of_flips(run):
        return None
    repeat = number(run.rounds[-1], "repeat")
    last = f"{selection_of(run.rounds[-1])}" + ("" if repeat is None else f", repeat {repeat:.0f}")
    own = (_trials(run), *_positions(run), *_classes(run), *_paths(run), *_suspects(run), *_passed_over(run))
    sections = (*own, *regions_sections(run), *robust_parts(run, after=last)[1])
    return run_page(run, flips_title(run), flips_tiles(run), sections, trials_listing(run))


def flips_title(run: Run) -> str:
    """Return what was flipped, in a line."""
    summary = run.summary
    if not summary:
        return "Flipped labels"
    budget = int(summary["budget"])
    flipped = f"{budget} labels flipped: {summary['strategy']}" if budget else str(summary["strategy"])
    names = (summary["data"], summary.get("head"), flipped, f"seed {summary['seed']}")
    return ", ".join(str(name) for name in names if name is not None)


def flips_tiles(run: Run) -> tuple[Tile, ...]:
    """Show the clean classifier's numbers, those of random flips, and which selection hurt most."""
    runs, attacks = {0: run}, attack_columns(run)
    known = selections([run])
    clean = values(runs, FlipSelection(CLEAN), "accuracy")
    tiles = [
        Tile("test accuracy, clean labels", show(level(clean), 3), f"{show(number(run.rounds[0], 'labels'), 0)} labels")
    ]
    for name, column in attacks.items():
        means = {one: level(values(runs, one, column)) for one in known}
        held = {one: mean for one, mean in means.items() if mean is not None}
        if FlipSelection(CLEAN) in held:
            tiles.append(Tile(f"adversarial accuracy, {name}", show(held.pop(FlipSelection(CLEAN)), 3), "clean labels"))
        if held:
            lowest = min(held, key=lambda one: held[one])
            random = held.get(FlipSelection(RANDOM))
            remark = f"{lowest}{'' if random is None else f'; random: {show(random, 3)}'}"
            tiles.append(Tile(f"lowest with flips, {name}", show(held[lowest], 3), remark))
    left = sum(record.get("memorised") == 0 for record in run.rounds)
    tiles.append(Tile("rounds not memorised", str(left), f"of {len(run.rounds)}"))
    return tuple(tiles)


def trials_listing(run: Run) -> tuple[Listing, ...]:
    """List every round with what it flipped and what that did."""
    columns = {
        "repeat": 0,
        "flips": 0,
        "memorised": 0,
        "epochs": 0,
        "accuracy": 4,
        **dict.fromkeys(robust_columns(run), 4),
    }
    rows = []
    for record in run.rounds:
        position = number(record, "position")
        at = NONE if position is None else f"{position:g}"
        shown = (show(number(record, column), digits) for column, digits in columns.items())
        rows.append((str(record["round"]), str(record["selector"]), at, *shown))
    header = ("round", "flips", "position", "repeat", "labels", "memorised", "epochs", "natural accuracy")
    robust = (_called(column) for column in robust_columns(run))
    return (Listing("Every trial", header=(*header, *robust), rows=tuple(rows)),)


def robust_columns(run: Run) -> list[str]:
    """Return the columns of accuracies under attack that a run's records have, in order."""
    found = dict.fromkeys(name for record in run.rounds for name in record if name.startswith("robust_"))
    return [name for name in found if name != "robust_natural" and not name.endswith("_distance")]


def attack_columns(run: Run) -> dict[str, str]:
    """Return the column of each attack's adversarial accuracy, by the attack's name."""
    return {name.removeprefix("robust_"): name for name in robust_columns(run) if not name.endswith(ENDS)}


def _called(column: str) -> str:
    return column.removeprefix("robust_").replace("_not_target", ": not target")


def _trials(run: Run) -> Section:
    """Compare the selections."""
    runs, columns = {0: run}, ["accuracy", *robust_columns(run)]
    rows = []
    for one in selections([run]):
        tried = values(runs, one, "flips")
        memorised = level(values(runs, one, "memorised"))
        cells = (str(one), str(len(tried)), show(level(tried), 0), show(memorised, 2))
        rows.append((*cells, *(_spread(values(runs, one, column)) for column in columns)))
    robust = (_called(column) for column in columns[1:])
    header = ("flips", "repeats", "labels", "memorised", "natural accuracy", *robust)
    return Section("What each selection did", TRIALS, grids=(Grid(header, tuple(rows)),))


def _spread(of: Mapping[tuple[int, int], float]) -> str:
    mean, sd = level(of), over_repeats(of)
    return show(mean, 3) + ("" if sd is None else f" ±{show(sd, 3, mean)}")


def _positions(run: Run) -> tuple[Section, ...]:
    """Draw accuracies over the positions of sweeps, a panel an accuracy."""
    sweeps, runs = swept(selections([run])), {0: run}
    panels = []
    for column in (*robust_columns(run), "accuracy"):
        levels = {name: level(values(runs, FlipSelection(name), column)) for name in (RANDOM, CLEAN)}
        curves = [
            position_curve(name, PALETTE[k % len(PALETTE)], runs, positions, column)
            for k, (name, positions) in enumerate(sweeps.items())
        ]
        if drawn := tuple(filter(None, curves)):
            panels.append(
                Panel(
                    "natural" if column == "accuracy" else _called(column),
                    drawn,
                    {name: at for name, at in levels.items() if at is not None},
                )
            )
    if not panels:
        return ()
    figure = position_figure(panels, "position", "accuracy on the test split")
    shown = figure_picture(run.folder, "flips_positions", figure, POSITIONS, POSITIONS)
    return (Section("Over the positions", pictures=(shown,)),)


def _classes(run: Run) -> tuple[Section, ...]:
    """Compare the classes under each selection, a table an attack."""
    found: dict[str, dict[FlipSelection, list[dict[int, float]]]] = {}
    try:
        for record in run.rounds:
            for name, shares in _per_class(run, int(record["round"])).items():
                found.setdefault(name, {}).setdefault(selection_of(record), []).append(shares)
    except UserError as error:  # the rest of the report is still worth having
        return (Section("Class by class", missing=f"An evaluation cannot be shown: {error}"),)
    grids = []
    for name, by_selection in found.items():
        classes = sorted({label for tries in by_selection.values() for one in tries for label in one})
        rows = [
            (str(one), *(show(sum(t[label] for t in tries) / len(tries), 3) for label in classes))
            for one, tries in by_selection.items()
        ]
        header = (_called(name), *(str(label) for label in classes))
        grids.append(Grid(header, tuple(rows)))
    return (Section("Class by class", CLASSES, grids=tuple(grids)),) if grids else ()


def _per_class(run: Run, number_of_round: int) -> dict[str, dict[int, float]]:
    """Return each attack's share in each class after a round."""
    found: dict[str, dict[int, float]] = {}
    for folder in (ROBUST, UNTARGETED):
        path = run.folder / folder / f"round={number_of_round}.json"
        if path.exists():
            for label, shares in Evaluation.load(path).per_class().items():
                for name, share in shares.items():
                    if name != "samples":
                        found.setdefault(name, {})[label] = share
    return found


def _paths(run: Run) -> tuple[Section, ...]:
    """Draw how long the adversarial paths are, each walk apart, those to a target and those away from the label too."""
    path = run.folder / PATHS
    if not path.is_file():
        return ()
    kinds: dict[str, list[tuple[int, int, int]]] = {}
    for row in _rows(path):
        kind = "to the class that a point would be labelled" if row["target"] else "to any other class"
        figures = int(row["steps"]), int(row["arrived"]), int(row["label"])
        kinds.setdefault(f"{kind} ({row['walk']})", []).append(figures)
    pictures = []
    for number_of_kind, (kind, rows) in enumerate(kinds.items()):
        steps, arrived, labels = torch.tensor(rows).unbind(1)
        name = "flips_paths" if number_of_kind == 0 else f"flips_paths_{number_of_kind + 1}"
        text = LENGTHS.format(kind=kind)
        pictures.append(figure_picture(run.folder, name, paths_figure(steps, arrived.bool(), labels), text, text))
    return (Section("How far the training points are from the boundary", pictures=tuple(pictures)),)


def _suspects(run: Run) -> tuple[Section, ...]:
    """Show the training points with the shortest paths."""
    path, gallery = run.folder / SUSPECTS, run.folder / GALLERY
    if not path.is_file():
        return ()
    rows = _rows(path)
    header = ("index", "label", "predicted", "steps", "l2", "arrived", "source")
    rounded = [row | {"l2": show(float(row["l2"]), 3)} for row in rows[:SHOWN]]
    shown = [tuple(row.get(key) or "" for key in header) for row in rounded]  # older runs name no source
    text = SUSPECTED.format(count=len(rows), shown=len(shown))
    called = "training points closest to and farthest from the boundary"
    pictures = (picture(gallery.read_bytes(), called),) if gallery.is_file() else ()  # none of what is no image
    return (Section("Suspects", text, pictures, grids=(Grid(header, tuple(shown)),)),)


def _passed_over(run: Run) -> Iterator[Section]:
    """Tell what was not tried, and which rounds were not memorised."""
    if passed := run.summary.get("passed_over"):
        rows = tuple((str(name), str(reason)) for name, reason in passed.items())
        yield Section("Passed over", PASSED_OVER, grids=(Grid(("selection", "why"), rows),))
    columns = {"round": 0, "repeat": 0, "epochs": 0, "flips_memorised": 2}
    left = tuple(
        (str(selection_of(record)), *(show(number(record, name), digits) for name, digits in columns.items()))
        for record in run.rounds
        if record.get("memorised") == 0
    )
    if left:
        grid = Grid(("flips", "round", "repeat", "epochs", "share of flips memorised"), left)
        yield Section("Not memorised", "Rounds that ended at the limit of epochs.", grids=(grid,))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
