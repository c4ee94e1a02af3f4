"""What a run learned of its labelers: tiles, a table of the labelers, accuracy on the secured set."""

from typing import Any

from aal.report.curves import Panel, accuracy_figure, record_curve
from aal.report.numbers import show
from aal.report.page import Grid, Picture, Section, Tile, figure_picture
from aal.report.style import CLEAN, POOL
from aal.runs.reading import Run, number

TITLE = "Labelers"
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
HEADER = (
    *("labeler", "labels given", "examined", "contradicted", "confidence", "distrusted since round"),
    *("error, contradicted", "error, Dawid-Skene", "error, true"),
)


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
    grid = Grid(HEADER, tuple(_row(labeler) for labeler in labelers))
    return tiles, (Section(TITLE, TEXT, grids=(grid,), pictures=_over_rounds(run)),)


def _row(labeler: dict[str, Any]) -> tuple[str, ...]:
    digits = {
        **dict.fromkeys(("labeler", "given", "examined", "contradicted"), 0),
        **{"confidence": 2, "distrusted_since": 0},
        **dict.fromkeys(("error_contradicted", "error_dawid_skene", "error_true"), 3),
    }
    values = ((number(labeler, name), at) for name, at in digits.items())
    return tuple(show(None if value is None else round(value, at), at) for value, at in values)


def _over_rounds(run: Run) -> tuple[Picture, ...]:
    """Draw the accuracy on the secured set beside that on the test split."""
    columns = {"test": (CLEAN, "accuracy"), "secured": (POOL, "secured_accuracy")}
    curves = [record_curve(name, colour, [run], column) for name, (colour, column) in columns.items()]
    drawn = tuple(curve for curve in curves if curve is not None)
    return (figure_picture(run.folder, "secured_accuracy", accuracy_figure([Panel("", drawn)]), SECURED),)
