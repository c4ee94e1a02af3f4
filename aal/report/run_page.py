"""The report of one run: its figures as files, and one HTML page."""

from collections.abc import Callable, Iterable
from pathlib import Path

from aal.errors import UserError
from aal.poisons.distortion import RATIOS
from aal.report.curves import Panel, accuracy_figure, expected_share, poison_curve, poison_figure, record_curve
from aal.report.image_pairs import images_figure
from aal.report.labelers import labelers_parts
from aal.report.numbers import show
from aal.report.page import (
    Listing,
    Page,
    Picture,
    Section,
    Tile,
    figure_picture,
    render_page,
    saved_picture,
    triples,
)
from aal.report.pairs import read_pairs
from aal.report.robustness import robust_parts
from aal.report.sound_pairs import sounds_figure
from aal.report.style import CLEAN, POISON, render
from aal.runs import files
from aal.runs.folder import flattened
from aal.runs.reading import Run, number, read_run

PAGES: list[Callable[[Run], Page | None]] = []  # of runs of other kinds than queries
LISTED = ("environment", "labelers")  # of the summary's parts, those that have a table of their own
PAIRS = 9  # base/poison pairs that a run's report shows
CRAFTED_FIGURE = "figures/crafted.png"
CRAFTED = (
    "Samples that were queried and the copies crafted of them, trained on with the same label, the first query to "
    "the last. Predicted: by the classifier of the last round, which has been trained on both."
)

ACCURACY = "Accuracy on the test split after each round of training, against the labels given until then."
SHARE = "Poison among the queries so far. Dotted: what random queries would find, N / (pool + N)."
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
    made = (make(run) for make in (*PAGES, query_page))
    files.write_text(folder / "report.html", render_page(next(page for page in made if page is not None)))


def register_page(make: Callable[[Run], Page | None]) -> None:
    """Have runs of a kind shown on a page of their own.

    Args:
        make: Makes the page of a run from its folder's files, :func:`run_page` with what it has to show; ``None`` for a
            run of another kind.
    """
    PAGES.append(make)


def run_page(
    run: Run, title: str, tiles: Iterable[Tile], sections: Iterable[Section], listings: Iterable[Listing] = ()
) -> Page:
    """Return a run's page: what it has to show of its own, and what is listed of every run.

    Sections with neither tables, pictures nor a word on why there are none are left out.
    """
    return Page(
        title=title,
        subtitle=f"Run {run.folder.resolve().name}",
        note="" if run.summary else "This run has not finished.",
        tiles=tuple(tiles),
        results=None,
        sections=tuple(
            section for section in sections if section.missing or section.grids or section.pictures or section.triples
        ),
        listings=(
            *listings,
            *summary_listing(run),
            *config_listing("Configuration", run),
            *environment_listing([run]),
        ),
    )


def query_page(run: Run) -> Page:
    """Make the page of a run of active learning, poisoned or not."""
    robust_tiles, robust_sections = robust_parts(run)
    labeler_tiles, labeler_sections = labelers_parts(run)
    curves, features, pairs = _curves(run), features_section({"": run}), _pairs(run)
    crafted = Section("Crafted copies", CRAFTED, saved_picture(run.folder / CRAFTED_FIGURE, CRAFTED))
    sections = (curves, *labeler_sections, crafted, *robust_sections, features, pairs)
    title = run_title(run, "Active learning", f"{run.summary.get('strategy')} queries")
    return run_page(run, title, (*_tiles(run), *labeler_tiles, *robust_tiles), sections)


def features_section(runs: dict[str, Run]) -> Section:
    """Show the scatter of features that runs have drawn, by caption."""
    title, pictures = "What the head sees", list[Picture]()
    for caption, run in runs.items():
        path = run.folder / "figures" / "features.png"
        pictures += saved_picture(path, "scatter of pool and poison features", caption)
    if not pictures:
        return Section(
            title, missing="There is no figures/features.png: it is drawn once poison is added that collides."
        )
    return Section(
        title,
        (
            "Features of the natural pool and of the poison on the first two principal components of both together. A "
            "collision maps poison of every class to one point."
        ),
        tuple(pictures),
    )


def pairs_section(folder: Path, count: int, title: str) -> Section:
    """Show base/poison pairs of a run, as they were before any was crafted anew, or say why there are none."""
    if not (folder / "poisons" / "manifest.json").exists():
        return Section(title, missing="There are no poisons.")
    try:
        pairs = read_pairs(folder, count)
    except UserError as error:  # the rest of the report is still worth having
        return Section(title, missing=f"The pairs cannot be shown: {error}")
    anew = ANEW if any((folder / "poisons").glob("round=*")) else ""
    return Section(title, (SOUNDS_TEXT if pairs[0].is_sound else IMAGES_TEXT) + anew, *triples(pairs))


def config_listing(title: str, run: Run) -> tuple[Listing, ...]:
    """List a run's resolved configuration."""
    return (Listing(title, run.config),) if run.config else ()


def environment_listing(runs: list[Run]) -> tuple[Listing, ...]:
    """List the environment of runs; what differs among them shows every value there is."""
    found = [flattened(run.summary.get("environment", {})) for run in runs]
    names = dict.fromkeys(name for one in found for name in one if name)
    values = (dict.fromkeys(str(one[name]) for one in found if name in one) for name in names)
    rows = tuple((name, ", ".join(several)) for name, several in zip(names, values, strict=True))
    return (Listing("Environment", header=("", ""), rows=rows),) if rows else ()


def summary_listing(run: Run) -> tuple[Listing, ...]:
    """List a run's final numbers."""
    rows = tuple((key, str(value)) for key, value in run.summary.items() if key not in LISTED)
    return (Listing("All final numbers", header=("", ""), rows=rows),) if rows else ()


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
        success, random, before, after = (
            show(number(summary, key), 3)
            for key in ("poison_success", "random_success_expected", "norm_initial", "norm_saved")
        )
        tiles += (
            Tile("share of poisons queried", success, f"random: {random}"),
            Tile("poisons", show(number(summary, "poisons"), 0), f"in a pool of {int(summary['pool'])}"),
            Tile("mean ‖f-μ‖", after, f"{before} before the attack"),
            *_distortion(run),
        )
    if "target_fooled" in summary:
        yes, taken = ("yes", "taken") if summary["target_fooled"] else ("no", "not taken")
        tiles.append(Tile("target fooled", yes, f"in the last round {taken} for the poisons' class"))
    return tuple(tiles)


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
    title, colour = "Over the labels", CLEAN if number(run.summary, "poisons") is None else POISON
    accuracy, share = record_curve("accuracy", colour, [run]), poison_curve("poison", POISON, [run])
    if accuracy is None:
        return Section(title, missing="No round has ended yet.")
    pictures = [figure_picture(run.folder, "accuracy", accuracy_figure([Panel("", (accuracy,))]), ACCURACY)]
    if share is not None:
        figure = poison_figure([Panel("", (share,), expected_share(run))])
        pictures.append(figure_picture(run.folder, "poison_share", figure, SHARE))
    return Section(title, pictures=tuple(pictures))


def _pairs(run: Run) -> Section:
    section = pairs_section(run.folder, PAIRS, "Base instances and poison")
    if not section.missing:
        pairs = read_pairs(run.folder, PAIRS)
        figure = sounds_figure(pairs) if pairs[0].is_sound else images_figure(pairs)
        files.write_bytes(run.folder / "figures" / "pairs.png", render(figure))
    return section
