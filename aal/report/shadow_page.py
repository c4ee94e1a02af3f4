"""The page of a run that steals a model: how good the shadow is, what it cost, and where its points lie."""

from aal.report.curves import Panel, curves_figure, mean_curve
from aal.report.numbers import show
from aal.report.page import Grid, Section, Tile, figure_picture, saved_picture
from aal.report.run_page import run_page, run_title
from aal.report.shadow_figure import FIGURE
from aal.report.style import CLEAN, POISON
from aal.runs.reading import Run, number

TEXT = (
    "The share of test samples that the shadow classifies rightly, and its fidelity: the share to which it gives the "
    "label that the victim gives, over the samples that the synthesis was to make."
)

WHAT = {"budget": "samples to make", "labels": "labels given"}


def shadow_page(run: Run) -> str | None:
    """Make the page of a run with a victim; None of any other, or where no round has ended yet."""
    if not any("fidelity" in record for record in run.rounds):
        return None
    axis = "budget" if "budget" in run.rounds[0] else "labels"
    curves = (
        mean_curve(name, colour, {record[axis]: [record[name]] for record in run.rounds if name in record})
        for name, colour in (("accuracy", CLEAN), ("fidelity", POISON))
    )
    figure = curves_figure([Panel("", tuple(filter(None, curves)))], f"{WHAT[axis]}", "share of test samples")
    over = Section("Over what was asked for", pictures=figure_picture(run.folder, "fidelity", figure, TEXT))
    drawn = [record for record in run.rounds if (run.folder / FIGURE.format(record["round"])).is_file()]
    pictures = [
        shown
        for record in drawn
        for shown in saved_picture(
            run.folder / FIGURE.format(record["round"]),
            f"boundaries of victim and shadow, round {record['round']}",
            f"{record.get('budget', record['labels'])} samples",
        )
    ]
    plane = Section("In the plane", "", tuple(pictures))
    title = run_title(run, "Model extraction", f"shadow of {run.summary.get('victim')}")
    return run_page(run, title, _tiles(run), (over, plane, _costs(run)))


def _tiles(run: Run) -> tuple[Tile, ...]:
    summary = run.summary
    if not summary:
        return ()
    victim = show(number(summary, "victim_accuracy"), 3)
    asked = number(summary, "queries_labels") or 0, number(summary, "queries_attack") or 0
    return (
        Tile("fidelity", show(number(run.rounds[-1], "fidelity"), 3), "share of test samples with the victim's label"),
        Tile("shadow's test accuracy", show(number(summary, "accuracy"), 3), f"the victim's: {victim}"),
        Tile("queries of the victim", f"{sum(asked):,.0f}", f"{asked[0]:,.0f} for labels, {asked[1]:,.0f} by attacks"),
    )


def _costs(run: Run) -> Section:
    """Say what was made, what it cost, and what the adversary had to know."""
    summary = run.summary
    named = (
        ("victim", "the victim"),
        ("victim_samples", "its training samples"),
        ("victim_train_accuracy", "its accuracy on them"),
        ("victim_accuracy", "its test accuracy"),
        ("victim_answers", "it answers with"),
        ("strategy", "samples were made by"),
        ("substitute_fidelity", "fidelity of the network whose gradients were followed"),
        ("substitute_loss", "its training loss, nats"),
        ("budget", "samples to make"),
        ("made", "made"),
        ("failed", "sources that no sample could be made of"),
        ("perturbation_l2", "mean perturbation, L2"),
        ("perturbation_linf", "mean perturbation, L∞"),
        ("boundary_distance", "mean distance from the victim's boundary, L2"),
        ("boundary_by", "measured by"),
    )
    rows = [(text, _told(summary[key])) for key, text in named if key in summary]
    nothing = f"nothing but the victim's {summary.get('victim_answers', 'labels')}"
    rows.append(("the adversary had to know", "; ".join(summary.get("knows") or [nothing])))
    return Section("What was made, and what it took", grids=(Grid(("", ""), tuple(rows)),) if summary else ())


def _told(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
