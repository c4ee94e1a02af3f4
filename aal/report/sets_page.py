"""What a run that built sets of targeted poisons shows: how many targets were fooled, the sets, and every try."""

import math
from collections import Counter
from pathlib import Path

from aal.errors import UserError
from aal.poisons.target_sets import FOLDER, MANIFEST
from aal.report.numbers import show
from aal.report.page import Grid, Section, Tile, Triple, picture
from aal.report.pair_figures import png
from aal.report.pairs import read_saved
from aal.report.robustness import robust_parts
from aal.report.run_page import run_page, run_title
from aal.runs import files
from aal.runs.reading import Run, number

SHOWN = 9  # sets in the page
NO_IMAGE = "What is no image is in the folder sets/ alone."
SETS = (
    "Of each set the target, the first base and the poison made of it. Distance: of the features of the bases, and of "
    "the saved poisons, from those of the target, mean over the set; opacity: of the target's watermark in the bases."
)
TRIES = (
    "A round trains on everything and the poisons of one target. Fooled: whether the target was then taken for the "
    "class of the bases; else the next opacity is tried. Distances as above."
)


def sets_page(run: Run) -> str | None:
    """Make the page of a run of :class:`aal.callbacks.TargetedSets`; none of others."""
    if not any("sets" in record for record in run.rounds):
        return None
    what = f"targeted poisons for {show(number(run.summary, 'targets'), 0)} targets"
    tiles, sections = robust_parts(run)
    title = run_title(run, "Targeted poisons", what)
    return run_page(run, title, (*_tiles(run), *tiles), (_sets(run), _tries(run), *sections))


def _tiles(run: Run) -> tuple[Tile, ...]:
    summary = run.summary
    if not summary:
        return ()
    kept, tried = (show(number(summary, key), 0) for key in ("sets", "targets"))
    opacities = Counter(record["opacity"] for record in run.rounds if record.get("fooled"))
    told = ", ".join(f"{count} at {opacity:g}" for opacity, count in sorted(opacities.items()))
    clean = show(number(summary, "accuracy_clean"), 3)
    return (
        Tile("attack success", show(number(summary, "attack_success"), 3), f"{kept} of {tried} targets fooled"),
        Tile("sets kept", kept, f"by opacity: {told}" if told else "no target was fooled"),
        Tile("test accuracy, without poison", clean, f"{int(summary['labels'])} labels"),
        Tile("passed over", show(number(summary, "misclassified"), 0), "test samples misclassified without poison"),
    )


def _sets(run: Run) -> Section:
    """Show the first sets that were kept."""
    folders = sorted(path for path in (run.folder / FOLDER).glob("*") if path.name.isdecimal())
    if not folders:
        return Section("Sets", missing="No set was kept: no target was fooled.")
    try:
        shown = tuple(filter(None, (_set(run, folder) for folder in folders[:SHOWN])))
    except (KeyError, TypeError, ValueError, UserError) as error:  # the rest of the report is still worth having
        return Section("Sets", missing=f"The sets cannot be shown: {error}")
    first = f" The first {SHOWN} of {len(folders)}; the folder sets/ has the others." if len(folders) > SHOWN else ""
    return Section("Sets", SETS + first, triples=shown, missing="" if shown else NO_IMAGE)


def _set(run: Run, folder: Path) -> Triple | None:
    """Show a set of images; none of sound."""
    found = files.read_json(folder / MANIFEST)
    if not (folder / "target.png").exists():
        return None
    names = {"target": "target.png", "base": "00000_base.png", "poison": "00000_poison.png"}
    read = {kind: read_saved(folder, name, f"{folder}: {kind}").values for kind, name in names.items()}
    before, after = (math.fsum(found[f"distance_{when}"]) / len(found["bases"]) for when in ("before", "after"))
    wanted, true = (run.called(found[key]) for key in ("base_class", "true_class"))
    title = f"set {int(folder.name)}: test sample {found['target']}, {true} to be taken for {wanted}"
    told = f"{len(found['bases'])} poisons, opacity {found['opacity']:g}"
    images = tuple(picture(png(values), f"{kind}, {title}", kind) for kind, values in read.items())
    return Triple(images, title, (told, f"distance {before:.3g} → {after:.3g}"))


def _tries(run: Run) -> Section:
    """List every target and opacity that was tried."""
    rows = tuple(
        (
            str(record["round"]),
            str(record["target"]),
            run.called(record["base_class"]),
            f"{record['opacity']:g}",
            *(show(number(record, f"distance_{when}"), 3) for when in ("before", "after")),
            "yes" if record["fooled"] else "no",
        )
        for record in run.rounds
        if "fooled" in record
    )
    header = ("round", "test sample", "class of the bases", "opacity", "distance before", "distance after", "fooled")
    return Section("Every try", TRIES, grids=(Grid(header, rows),))
