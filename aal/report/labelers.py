"""What a run learned of its labelers: tiles, a table of the labelers, accuracy on the secured set."""

from typing import Any

from aal.report.curves import rounds_picture
from aal.report.numbers import show
from aal.report.page import Grid, Section, Tile
from aal.report.style import CLEAN, POOL
from aal.runs.reading import Run, number

TEXT = (
    "Labels given: in answer to queries and as initial labels. Examined: those that other labelers agreed about when "
    "they examined them; contradicted: those where they agreed on another label. Errors: the share of the examined "
    "labels that was contradicted; Dawid and Skene's estimate from all samples with several answers; and the true "
    "share of wrong answers, which a simulated oracle knows. What there are no answers to tell is —."
)
SECURED = (
    "Accuracy on the secured set in use and on the test split, against the labels given until then. Where it drops, "
    "the last labels are examined."
)
COLUMNS = {  # of the table, what each is of a labeler, and digits after the point
    "labeler": ("labeler", 0),
    "labels given": ("given", 0),
    "examined": ("examined", 0),
    "contradicted": ("contradicted", 0),
    "confidence": ("confidence", 2),
    "distrusted since round": ("distrusted_since", 0),
    "error, contradicted": ("error_contradicted", 3),
    "error, Dawid-Skene": ("error_dawid_skene", 3),
    "error, true": ("error_true", 3),
}


def labelers_parts(run: Run) -> tuple[tuple[Tile, ...], tuple[Section, ...]]:
    """Show what is known of a run's labelers, if it kept watch over any; the figure also becomes a file."""
    summary, labelers = run.summary, run.summary.get("labelers")
    if not labelers:
        return (), ()
    distrusted, extra, budget = (show(number(summary, name), 0) for name in ("distrusted", "extra_labels", "budget"))
    changed = f"{int(summary['relabelled'])} replaced, {int(summary['discarded'])} discarded"
    tiles = (
        Tile("labelers distrusted", distrusted, f"of {len(labelers)}"),
        Tile("labels to examine others", extra, f"beside the {budget} of the budget; {changed}"),
    )
    grid = Grid(tuple(COLUMNS), tuple(_row(labeler) for labeler in labelers))
    columns = {"test": (CLEAN, "accuracy"), "secured": (POOL, "secured_accuracy")}
    pictures = rounds_picture(run, "secured_accuracy", columns, SECURED)
    return tiles, (Section("Labelers", TEXT, grids=(grid,), pictures=pictures),)


def _row(labeler: dict[str, Any]) -> tuple[str, ...]:
    values = ((number(labeler, name), digits) for name, digits in COLUMNS.values())
    return tuple(show(None if value is None else round(value, digits), digits) for value, digits in values)
