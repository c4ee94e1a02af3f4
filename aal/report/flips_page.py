"""What a run of flipped labels shows: its trials, accuracy over positions, paths, suspects, what was passed over."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from aal.errors import UserError
from aal.flips.suspects import PATHS, SUSPECTS
from aal.report.curves import curves_figure
from aal.report.flip_curves import sweeps_panel
from aal.report.flip_figures import GALLERY, paths_figure, regions_section
from aal.report.flip_outcomes import (
    CLEAN,
    RANDOM,
    FlipSelection,
    level,
    over_repeats,
    selection_of,
    selections,
    values,
)
from aal.report.numbers import NONE, show
from aal.report.page import Grid, Picture, Section, Tile, figure_picture, saved_picture
from aal.report.robustness import robust_parts
from aal.report.run_page import run_page, run_title
from aal.robustness.outcomes import ROBUST, UNTARGETED, Evaluation
from aal.runs.files import read_bytes
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


def flips_page(run: Run) -> str | None:
    """Make the page of a run of flipped labels, which has nothing over the labels and no poison; none of others.

    Its figures also become files of the run.
    """
    if not any("selector" in record for record in run.rounds):
        return None
    repeat = number(run.rounds[-1], "repeat")
    last = f"{selection_of(run.rounds[-1])}" + ("" if repeat is None else f", repeat {repeat:.0f}")
    sections = (
        *(part(run) for part in (_trials, _positions, _classes, _paths, _suspects, _passed_over, _not_memorised)),
        *(regions_section(run), *robust_parts(run, after=last)[1]),
    )
    return run_page(run, flips_title(run), flips_tiles(run), sections, [trials_listing(run)])


def flips_title(run: Run) -> str:
    """Return what was flipped, in a line."""
    budget, strategy = int(run.summary.get("budget", 0)), str(run.summary.get("strategy"))
    clean = "no label flipped" if strategy == CLEAN else strategy
    return run_title(run, "Flipped labels", f"{budget} labels flipped: {strategy}" if budget else clean)


def flips_tiles(run: Run) -> tuple[Tile, ...]:
    """Show the clean classifier's numbers, those of random flips, and which selection hurt most."""
    clean = show(_mean(run, FlipSelection(CLEAN), "accuracy"), 3)
    tiles = [Tile("test accuracy, clean labels", clean, f"{show(number(run.rounds[0], 'labels'), 0)} labels")]
    for name, column in attack_columns(run).items():
        means = {one: _mean(run, one, column) for one in selections([run])}
        held = {one: mean for one, mean in means.items() if mean is not None}
        if FlipSelection(CLEAN) in held:
            tiles.append(Tile(f"adversarial accuracy, {name}", show(held.pop(FlipSelection(CLEAN)), 3), "clean labels"))
        if held:
            lowest, random = min(held, key=lambda one: held[one]), held.get(FlipSelection(RANDOM))
            remark = f"{lowest}{'' if random is None else f'; random: {show(random, 3)}'}"
            tiles.append(Tile(f"lowest with flips, {name}", show(held[lowest], 3), remark))
    left = sum(record.get("memorised") == 0 for record in run.rounds)
    return (*tiles, Tile("rounds not memorised", str(left), f"of {len(run.rounds)}"))


def trials_listing(run: Run) -> Section:
    """List every round with what it flipped and what that did."""
    robust = robust_columns(run)
    columns = dict.fromkeys(("repeat", "flips", "memorised", "epochs"), 0) | dict.fromkeys(("accuracy", *robust), 4)
    rows = []
    for record in run.rounds:
        position = number(record, "position")
        at = NONE if position is None else f"{position:g}"
        rows.append((str(record["round"]), str(record["selector"]), at, *_shown(record, columns)))
    header = ("round", "flips", "position", "repeat", "labels flipped", "memorised", "epochs", "natural accuracy")
    return Section("Every trial", grids=(Grid((*header, *map(_called, robust)), tuple(rows)),))


def robust_columns(run: Run) -> list[str]:
    """Return the columns of accuracies under attack that a run's records have, in order."""
    found = dict.fromkeys(name for record in run.rounds for name in record if name.startswith("robust_"))
    return [name for name in found if name != "robust_natural" and not name.endswith("_distance")]


def attack_columns(run: Run) -> dict[str, str]:
    """Return the column of each attack's adversarial accuracy, by the attack's name."""
    return {name.removeprefix("robust_"): name for name in robust_columns(run) if not name.endswith(ENDS)}


def _called(column: str) -> str:
    return column.removeprefix("robust_").replace("_not_target", ": not target")


def _shown(record: Mapping[str, Any], columns: Mapping[str, int]) -> tuple[str, ...]:
    """Print columns of a record, each with its digits."""
    return tuple(show(number(record, name), digits) for name, digits in columns.items())


def _mean(run: Run, selection: FlipSelection, column: str) -> float | None:
    return level(values({0: run}, selection, column))


def _trials(run: Run) -> Section:
    """Compare the selections."""
    robust, rows = robust_columns(run), []
    for one in selections([run]):
        tried = values({0: run}, one, "flips")
        cells = (str(one), str(len(tried)), show(level(tried), 0), show(_mean(run, one, "memorised"), 2))
        rows.append((*cells, *(_spread(values({0: run}, one, column)) for column in ("accuracy", *robust))))
    header = ("flips", "repeats", "labels flipped", "memorised", "natural accuracy", *map(_called, robust))
    return Section("What each selection did", TRIALS, grids=(Grid(header, tuple(rows)),))


def _spread(of: Mapping[tuple[int, int], float]) -> str:
    mean, sd = level(of), over_repeats(of)
    return show(mean, 3) + ("" if sd is None else f" ±{show(sd, 3, mean)}")


def _positions(run: Run) -> Section:
    """Draw accuracies over the positions of sweeps, a panel an accuracy."""
    columns = {_called(column): column for column in robust_columns(run)} | {"natural": "accuracy"}
    panels = [sweeps_panel(name, {"": {0: run}}, column, (RANDOM, CLEAN)) for name, column in columns.items()]
    figure = curves_figure(panels, "position", "accuracy on the test split", apart=True)
    pictures = figure_picture(run.folder, "flips_positions", figure, POSITIONS)
    return Section("Over the positions", pictures=pictures)


def _classes(run: Run) -> Section:
    """Compare the classes under each selection, a table an attack."""
    found: dict[str, dict[FlipSelection, dict[int, list[float]]]] = {}
    try:
        for record in run.rounds:
            for (name, label), share in _class_shares(run, record["round"]).items():
                of = found.setdefault(name, {}).setdefault(selection_of(record), {})
                of.setdefault(label, []).append(share)
    except UserError as error:  # the rest of the report is still worth having
        return Section("Class by class", missing=f"An evaluation cannot be shown: {error}")
    grids = []
    for name, selected in found.items():
        classes = sorted(set().union(*selected.values()))
        means = ((str(one), *(show(fmean(tried[label]), 3) for label in classes)) for one, tried in selected.items())
        grids.append(Grid((_called(name), *map(run.called, classes)), tuple(means)))
    return Section("Class by class", CLASSES, grids=tuple(grids))


def _class_shares(run: Run, round: int) -> dict[tuple[str, int], float]:
    """Return each attack's share in each class after a round."""
    paths = [run.folder / folder / f"round={round}.json" for folder in (ROBUST, UNTARGETED)]
    rows = [row for path in paths if path.exists() for row in Evaluation.load(path).per_class().items()]
    return {(name, label): share for label, row in rows for name, share in row.items() if name != "samples"}


def _paths(run: Run) -> Section:
    """Draw how long the adversarial paths are, each walk apart, those to a target and those away from the label too."""
    kinds: dict[str, list[tuple[int, int, int]]] = {}
    for row in _rows(run.folder / PATHS, "target", "walk"):
        kind = "to the class that a point would be labelled" if row["target"] else "to any other class"
        figures = int(row["steps"]), int(row["arrived"]), int(row["label"])
        kinds.setdefault(f"{kind} ({row['walk']})", []).append(figures)
    pictures: list[Picture] = []
    for place, (kind, rows) in enumerate(kinds.items(), start=1):
        steps, arrived, labels = torch.tensor(rows).unbind(1)
        name = "flips_paths" if place == 1 else f"flips_paths_{place}"
        text = (
            f"Steps of the adversarial paths {kind}, by class, under the clean classifier; in brackets the size of a "
            "step and the limit. Dotted: the median. Coloured: paths that never arrived, which end at the limit."
        )
        pictures += figure_picture(run.folder, name, paths_figure(steps, arrived.bool(), labels), text)
    return Section("How far the training points are from the boundary", pictures=tuple(pictures))


def _suspects(run: Run) -> Section:
    """Show the training points with the shortest paths."""
    rows = _rows(run.folder / SUSPECTS)
    header = ("index", "label", "predicted", "steps", "l2", "arrived", "source")
    rounded = [row | {"l2": show(float(row["l2"]), 3)} for row in rows[:SHOWN]]
    shown = tuple(tuple(row.get(key) or "" for key in header) for row in rounded)  # older runs name no source
    text = (
        "Training points with the shortest adversarial paths under the clean classifier, which may be labeling errors: "
        f"{len(rows):,} are listed in suspects.csv, the first {len(shown)} here. 0 steps: it does "
        "not take them for their label."
    )
    # There is no gallery of what is no image.
    pictures = saved_picture(run.folder / GALLERY, "training points closest to and farthest from the boundary")
    return Section("Suspects", text, pictures, grids=(Grid(header, shown),))


def _passed_over(run: Run) -> Section:
    """Tell what was not tried."""
    rows = tuple((str(name), str(reason)) for name, reason in run.summary.get("passed_over", {}).items())
    text = "Selections that could not be made, because there were fewer samples than labels to flip."
    return Section("Passed over", text, grids=(Grid(("selection", "why"), rows),))


def _not_memorised(run: Run) -> Section:
    """Tell which rounds were not memorised."""
    columns = {"round": 0, "repeat": 0, "epochs": 0, "flips_memorised": 2}
    left = [record for record in run.rounds if record.get("memorised") == 0]
    rows = tuple((str(selection_of(record)), *_shown(record, columns)) for record in left)
    grid = Grid(("flips", "round", "repeat", "epochs", "share of flips memorised"), rows)
    return Section("Not memorised", "Rounds that ended at the limit of epochs.", grids=(grid,))


def _rows(path: Path, *texts: str) -> list[dict[str, str]]:
    """Return the rows of a table of paths, which has these columns besides, none where there is no such file.

    Raises:
        UserError: The file is something else.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode())))
        for row in rows:
            _ = [row[key] for key in texts], [int(row[key]) for key in ("steps", "arrived", "label")], float(row["l2"])
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not as a run writes it ({type(error).__name__}: {error})") from None
    return rows
