"""How a run's classifier stood up to attacks: tiles, tables, accuracy over labels and radius, examples."""

import itertools

import torch

from aal.errors import UserError
from aal.report.curves import Curve, Panel, curves_figure, rounds_picture
from aal.report.numbers import show
from aal.report.page import Grid, Picture, Section, Tile, figure_picture, saved_picture
from aal.report.style import CLEAN, PALETTE, POISON
from aal.robustness.outcomes import ROBUST, UNTARGETED, Evaluation
from aal.runs.reading import Run, number

EXAMPLES = "Samples that the attack fooled, drawn at random: as they are, attacked, and the difference made visible."


def robust_parts(run: Run, after: str = "") -> tuple[tuple[Tile, ...], tuple[Section, ...]]:
    """Show the last evaluation of a run, none where there was none; its figures also become files of the run.

    Args:
        run: The run.
        after: What its last round did to the data, where rounds do not add labels: they have no curve over labels.
    """
    evaluated = [record for record in run.rounds if number(record, "robust_natural") is not None]
    if not evaluated:
        return (), ()
    title, file = "Robustness" + (f", after {after}" if after else ""), f"round={evaluated[-1]['round']}.json"
    try:
        found = [Evaluation.load(run.folder / ROBUST / file)]
        also = run.folder / UNTARGETED / file
        found += [Evaluation.load(also)] if also.exists() else []
    except UserError as error:  # the rest of the report is still worth having
        return (), (Section(title, missing=f"The evaluation cannot be shown: {error}"),)
    several = len(found) > 1
    sections = (_sections(run, one, title, over_rounds=not after, among_targeted=several) for one in found)
    return tuple(tile for one in found for tile in _tiles(one)), tuple(itertools.chain(*sections))


def _sections(run: Run, found: Evaluation, title: str, *, over_rounds: bool, among_targeted: bool) -> list[Section]:
    """Show one evaluation and its examples."""
    aimed = found.target is not None
    text = (
        f"Adversarial accuracy: the share of {len(found.index):,} test samples that are classified as their label both "
        "without an attack and with it; what is misclassified without one counts as misclassified. Distance: mean size "
        "of the perturbations that fooled the classifier, in the attack's norm. Passes: forward passes of the model "
        "for each sample attacked."
    )
    if aimed:
        text += " The attacks aim at a class; “not target” is the share that is not taken for it."
    elif among_targeted:
        text += " For these attacks any class but the label will do."
    if among_targeted:
        title = f"{title}: {'targeted' if aimed else 'untargeted'}"
    name = "robust_rounds" if aimed or not among_targeted else "robust_rounds_untargeted"
    pictures = (*(_over_rounds(run, found, name) if over_rounds else ()), *_over_radii(run, found))
    drawn = {name: run.folder / "figures" / f"robust_examples_{name}.png" for name in found.attacks}
    return [
        Section(title, text, grids=(_attacks(found), _classes(run, found)), pictures=pictures),
        *(Section(f"Examples: {name}", EXAMPLES, saved_picture(path, EXAMPLES)) for name, path in drawn.items()),
    ]


def _tiles(found: Evaluation) -> tuple[Tile, ...]:
    figures, tiles = found.figures(), []
    for name, outcome in found.attacks.items():
        radius = "" if outcome.radius is None else f"radius {outcome.radius:.3g}, "
        aside = "" if found.target is None else f", not target: {show(figures[f'{name}_not_target'], 3)}"
        remark = f"{radius}natural: {show(figures['natural'], 3)}{aside}; of {len(found.index):,} test samples"
        tiles.append(Tile(f"adversarial accuracy, {name}", show(figures[name], 3), remark))
    return tuple(tiles)


def _attacks(found: Evaluation) -> Grid:
    """Compare the attacks."""
    figures, aimed = found.figures(), found.target is not None
    rows = []
    for name, outcome in found.attacks.items():
        attacked = outcome.queries > 0
        passes = float(outcome.queries[attacked].double().mean()) if attacked.any() else None
        target = (show(figures[f"{name}_not_target"], 3),) if aimed else ()
        shown = (show(figures[name], 3), *target, show(figures.get(f"{name}_distance"), 3), show(passes, 1))
        rows.append((f"{name}: {outcome.attack}", *shown))
    header = ("attack", "adversarial accuracy", *(("not target",) if aimed else ()), "distance", "passes")
    return Grid(header, tuple(rows))


def _classes(run: Run, found: Evaluation) -> Grid:
    """Compare the classes, all of them together in the last row."""
    table = [(run.called(label), figures) for label, figures in found.per_class().items()]
    table += [("all", {"samples": len(found.index), **found.figures()})]
    names = [name for name in table[0][1] if name != "samples"]
    rows = [
        (label, f"{figures['samples']:,.0f}", *(show(figures[name], 3) for name in names)) for label, figures in table
    ]
    return Grid(("class", "samples", *(name.replace("_not_target", ": not target") for name in names)), tuple(rows))


def _over_rounds(run: Run, found: Evaluation, name: str) -> tuple[Picture, ...]:
    """Draw accuracies over labels, as a file of that name, where more than one round was evaluated."""
    colours = {"natural": CLEAN} | {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(found.attacks)}
    text = "Natural and adversarial accuracy after the rounds that were evaluated, against the labels given until then."
    columns = {name: (colour, f"robust_{name}") for name, colour in colours.items()}
    return rounds_picture(run, name, columns, text, least=2)


def _over_radii(run: Run, found: Evaluation) -> tuple[Picture, ...]:
    """Draw what is left over the radius, a panel an attack: norms may differ."""
    curves = {name: torch.tensor(found.curve(name), dtype=torch.float64).unbind(1) for name in found.curves}
    panels = [Panel(name, (Curve("", POISON, radii, shares, None),)) for name, (radii, shares) in curves.items()]
    left = "accuracy" if found.target is None else "not taken for the target"
    figure = curves_figure(panels, "radius, in the units of the samples", left, share=True, whole=False)
    text = "What is left as an attack's radius grows; each radius goes on from what the last one left of a sample."
    return figure_picture(run.folder, "robust_radii", figure, text)
