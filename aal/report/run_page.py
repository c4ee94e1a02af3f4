"""The report of one run: its figures as files, and one HTML page."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from aal.errors import UserError
from aal.poisons.distortion import RATIOS
from aal.report.curves import Panel, expected_share, poison_curve, poison_figure, rounds_picture
from aal.report.labelers import labelers_parts
from aal.report.numbers import show
from aal.report.page import (
    Grid,
    Section,
    Tile,
    Triple,
    figure_picture,
    render_page,
    saved_picture,
    triples,
)
from aal.report.pair_figures import images_figure, sounds_figure
from aal.report.pairs import read_pairs
from aal.report.robustness import robust_parts
from aal.report.style import CLEAN, POISON, render
from aal.runs import files
from aal.runs.folder import flattened
from aal.runs.reading import Run, number, read_run

# What makes the page of a run of another kind than queries, with run_page; None of others. Callbacks append theirs.
PAGES: list[Callable[[Run], str | None]] = []
LISTED = ("environment", "files", "labelers", "classes")  # of the summary's parts, those that have a table of their own
PAIRS = 9  # base/poison pairs that a run's report shows
CRAFTED_FIGURE = "figures/crafted.png"
CRAFTED = (
    "Labeled samples and the copies crafted of them, trained on with the same label, the first to the last. Predicted: "
    "by the classifier of the last round, which has been trained on both."
)

ACCURACY = "Accuracy on the test split after each round of training, against the labels given until then."
SHARE = "Poison among the queries so far, as a share of them. Dotted: that of random queries, N / (pool + N)."
FEATURES = (
    "Features of the natural pool and of the poison on the first two principal components of both together. A "
    "collision maps poison of every class to one point."
)
DISTANCES = (
    "‖f-μ‖ is the distance of the features from the collision vector, or from the target's: of the base, of the saved "
    "poison, and of the poison before it was saved."
)
IMAGES_TEXT = (
    "Base instances and the poison made of them, drawn at random, both as saved in 8 bits. PSNR: of the poison against "
    f"its base. ‖δ‖∞: the pixel changed most; ‖δ‖₂: pixels from 0 to 1. {DISTANCES}"
)
SOUNDS_TEXT = (
    "Base clips and the poison made of them, drawn at random, both as saved in 16 bits. All spectrograms share one "
    "scale of colours; the difference is poison minus base. SNR: of the poison against its base. ‖δ‖∞: the sample "
    f"changed most, in 16-bit units; ‖δ‖₂: samples from -1 to 1. {DISTANCES}"
)
ANEW = " These are the first ones; those that were crafted anew after a round are in its folder, poisons/round=*."


def write_run_report(folder: Path) -> None:
    """Write a run's figures to ``figures/`` and its page to ``report.html``.

    A part that the run does not have is left out of the page, with a sentence that says why.

    Args:
        folder: The run's folder.

    Raises:
        UserError: There is no such folder, or its summary or rounds are broken.
        OSError: A file could not be written.
    """
    run = read_run(folder)
    made = filter(None, (make(run) for make in (*PAGES, query_page)))
    files.write_text(folder / "report.html", next(made))


def run_page(
    run: Run, title: str, tiles: Iterable[Tile], sections: Iterable[Section], listings: Iterable[Section] = ()
) -> str:
    """Render a run's page: what it has to show of its own, and what is listed of every run."""
    numbers = tuple((key, str(value)) for key, value in run.summary.items() if key not in LISTED)
    return render_page(
        title=title,
        subtitle=f"Run {run.folder.resolve().name}",
        note="" if run.summary else "This run has not finished.",
        tiles=tiles,
        sections=sections,
        listings=(
            *listings,
            Section("All final numbers", grids=(Grid(("", ""), numbers),)),
            *classes_listing(run),
            Section("Configuration", run.config),
            environment_listing([run]),
        ),
    )


def classes_listing(run: Run) -> tuple[Section, ...]:
    """List which class has which number, where classes have names."""
    rows = tuple((str(label), name) for label, name in enumerate(run.classes))
    return (Section("Classes", grids=(Grid(("label", "class"), rows),)),) if rows else ()


def query_page(run: Run) -> str:
    """Make the page of a run of active learning, poisoned or not."""
    robust_tiles, robust_sections = robust_parts(run)
    labeler_tiles, labeler_sections = labelers_parts(run)
    curves = _curves(run)
    features = Section("") if "target" in run.summary else features_section({"": run})
    pairs = pairs_section(run.folder, PAIRS, "Base instances and poison", drawn=True)
    crafted = Section("Crafted copies", CRAFTED, saved_picture(run.folder / CRAFTED_FIGURE, CRAFTED))
    sections = (curves, *labeler_sections, crafted, *robust_sections, features, *_target(run), pairs)
    title = run_title(run, "Active learning", f"{run.summary.get('strategy')} queries")
    return run_page(run, title, (*_tiles(run), *labeler_tiles, *robust_tiles), sections)


def _target(run: Run) -> tuple[Section, ...]:
    """Show the target of targeted poisons, and what became of it."""
    if "target" not in run.summary:
        return ()
    summary, tried = run.summary, [record for record in run.rounds if "target_fooled" in record]
    true, wanted = (run.called(summary[key]) for key in ("target_class", "target_wanted"))
    fooled = sum(record["target_fooled"] for record in tried)
    right = sum(record["target_correct"] for record in tried)
    rows = (
        ("test sample", str(summary["target"])),
        ("its class", true),
        ("to be taken for", wanted),
        ("taken for it", f"after {fooled} of {len(tried)} rounds"),
        ("classified rightly", f"after {right} of {len(tried)} rounds"),
        ("opacity of its watermark in the bases", f"{summary['opacity']:g}"),
    )
    shown = saved_picture(run.folder / "poisons" / "target.png", f"the target, of class {true}")
    return (Section("The target", triples=(Triple(shown, "", ()),) if shown else (), grids=(Grid(("", ""), rows),)),)


def features_section(runs: dict[str, Run]) -> Section:
    """Show the scatter of features that runs have drawn, by caption."""
    drawn = (
        saved_picture(run.folder / "figures" / "features.png", "scatter of pool and poison features", caption)
        for caption, run in runs.items()
    )
    pictures = tuple(itertools.chain(*drawn))
    missing = "" if pictures else "There is no figures/features.png: it is drawn once poison is added that collides."
    return Section("What the head sees", FEATURES, pictures, missing=missing)


def pairs_section(folder: Path, count: int, title: str, *, drawn: bool = False) -> Section:
    """Show base/poison pairs of a run, as they were before any was crafted anew, or say why there are none.

    Args:
        folder: The run's folder.
        count: How many pairs, at most.
        title: Headline.
        drawn: Whether they also become the file ``figures/pairs.png`` of the run.
    """
    if not (folder / "poisons" / "manifest.json").exists():
        return Section(title, missing="There are no poisons.")
    try:
        pairs = read_pairs(folder, count)
    except UserError as error:  # the rest of the report is still worth having
        return Section(title, missing=f"The pairs cannot be shown: {error}")
    if drawn:
        figure = sounds_figure(pairs) if pairs[0].is_sound else images_figure(pairs)
        files.write_bytes(folder / "figures" / "pairs.png", render(figure))
    anew = ANEW if any((folder / "poisons").glob("round=*")) else ""
    return Section(title, (SOUNDS_TEXT if pairs[0].is_sound else IMAGES_TEXT) + anew, *triples(pairs))


def environment_listing(runs: list[Run]) -> Section:
    """List the environment of runs; what differs among them shows every value there is."""
    found = [flattened(run.summary.get("environment", {})) for run in runs]
    names = dict.fromkeys(name for one in found for name in one if name)
    rows = tuple((name, ", ".join(dict.fromkeys(str(one[name]) for one in found if name in one))) for name in names)
    return Section("Environment", grids=(Grid(("", ""), rows),))


def run_title(run: Run, unfinished: str, what: str) -> str:
    """Return what a run was on and what it did, in a line.

    Args:
        run: The run.
        unfinished: What stands there while it has not finished.
        what: What it did.
    """
    names = (run.summary.get("data"), run.summary.get("head"), what, f"seed {run.summary.get('seed')}")
    return ", ".join(str(name) for name in names if name is not None) if run.summary else unfinished


def _tiles(run: Run) -> tuple[Tile, ...]:
    summary = run.summary
    if not summary:
        return ()
    tiles = [Tile("test accuracy", show(number(summary, "accuracy"), 3), f"{int(summary['labels'])} labels")]
    if number(summary, "poison_success") is not None:
        before, after = (show(number(summary, key), 3) for key in ("norm_initial", "norm_saved"))
        tiles += (
            queries_tile([run]),
            Tile("poisons", show(number(summary, "poisons"), 0), f"beside {int(summary['pool'])} natural samples"),
            Tile(f"mean ‖f-μ‖{', μ the target' if 'target' in summary else ''}", after, f"{before} before the attack"),
            *_distortion(run),
        )
    if "target_fooled" in summary:
        yes, taken = ("yes", "taken") if summary["target_fooled"] else ("no", "not taken")
        wanted = run.called(summary["target_wanted"])
        tiles.append(Tile("target fooled", yes, f"in the last round {taken} for class {wanted}, as the attacker wants"))
    return tuple(tiles)


def queries_tile(runs: Sequence[Run]) -> Tile:
    """Show which share of the queries went to poison, in all runs, and what random queries would find of it."""
    queried, budget, poisons = (
        sum(number(run.summary, key) or 0 for run in runs) for key in ("poisons_queried", "budget", "poisons")
    )
    levels = dict.fromkeys(show(level, 3) for run in runs for level in expected_share(run).values())
    told = f"{queried:,.0f} of {budget:,.0f} queries, {queried:,.0f} of {poisons:,.0f} poisons"
    told += f" in {len(runs)} runs" if len(runs) > 1 else ""
    share = queried / budget if budget else None
    return Tile("poison among the queries", show(share, 3), f"{told}; random queries: {' to '.join(levels)}")


def _distortion(run: Run) -> list[Tile]:
    """Show how far the saved poison is from its base."""
    ratio = next((name for name in RATIOS if name in run.summary), None)
    largest = number(run.summary, "perturbation_linf")
    if ratio is None or largest is None:
        return []
    decibels = number(run.summary, ratio)
    value = "—" if decibels is None else f"{decibels:.1f} dB"
    steps = f"{largest * 255:.0f} of 255" if ratio == "psnr" else f"{largest * 2**15:,.0f} of 32,768"
    return [Tile(f"mean {ratio.upper()} of poison", value, f"mean ‖δ‖∞: {steps}")]


def _curves(run: Run) -> Section:
    """Draw accuracy and, in a poisoned run, the share of poison; both also become files of the run."""
    colour = CLEAN if number(run.summary, "poisons") is None else POISON
    share = tuple(filter(None, [poison_curve("poison", POISON, [run])]))
    pictures = (
        *rounds_picture(run, "accuracy", {"accuracy": (colour, "accuracy")}, ACCURACY),
        *figure_picture(run.folder, "poison_share", poison_figure([Panel("", share, expected_share(run))]), SHARE),
    )
    return Section("Over the labels", pictures=pictures, missing="" if pictures else "No round has ended yet.")
