"""The figures of a study of training points near the boundary: area over their number, and which density does best."""

from pathlib import Path
from statistics import fmean

from aal.report.beta_figures import Best, best_figure
from aal.report.curves import Panel, curves_figure, mean_curve
from aal.report.page import Grid, Section, figure_picture
from aal.report.style import CLEAN, PALETTE
from aal.studies.beta_outcomes import Comparison, areas, compared_at_each, groups_of_rows, setting_of_arm
from aal.studies.comparison import AT
from aal.studies.study import Cells, Study

AREA = (
    "Share of the uniform square at which the classifier is the Bayes classifier, over the number of training points. "
    "Line: mean over seeds; band: ± one sample standard deviation. Grey: the uniform density."
)
BEST = (
    "The β with the largest mean area at each number of training points. Bold and +: its area is larger than that of "
    "the uniform density by a paired test, corrected over all tests of the row. β = 0 with <: all others are smaller "
    "by such a test."
)


def beta_sections(study: Study, cells: Cells, directory: Path) -> tuple[Section, ...]:
    """Draw the areas of each group of arms, and say which density does best.

    Args:
        study: A study whose table is ``beta``.
        cells: Finished runs by arm and seed.
        directory: The study's folder.
    """
    panels = [_panel(study, cells, arms) for arms in groups_of_rows(study).values()]
    drawn = figure_picture(
        directory, "beta_area", curves_figure(panels, "training points", "area", apart=True, log=True), AREA
    )
    found = compared_at_each(study, cells)
    rows = {
        _title(cells, group): [best_of(cells, arms, n, found) for n in study.settings[AT]]
        for group, arms in groups_of_rows(study).items()
    }
    rows = {title: bests for title, bests in rows.items() if any(bests)}
    heads = tuple(f"n = {n:,}" for n in study.settings[AT])
    best = figure_picture(directory, "beta_best", best_figure(heads, rows), BEST) if rows else ()
    grid = Grid(("", *heads), tuple((title, *(_said(best) for best in bests)) for title, bests in rows.items()))
    return (
        Section("Area over training points", pictures=drawn, missing="" if drawn else "No finished run has it yet."),
        Section(
            "Which density does best",
            "Each with the difference of its area to that of the uniform density; of β = 0 that of the next best.",
            pictures=best,
            grids=(grid,),
        ),
    )


def best_of(cells: Cells, arms: list[str], n: int, found: list[Comparison]) -> Best | None:
    """Return which of some arms has the largest mean area with ``n`` training points; None where none has any.

    Args:
        cells: Finished runs by arm and seed.
        arms: The arms; the others are compared with the first.
        n: Training points.
        found: What the comparisons of the study came to.
    """
    means = {arm: fmean(known.values()) for arm in arms if (known := areas(cells, arm, n))}
    settings = {arm: setting_of_arm(cells, arm) for arm in means}
    if not means or any(setting is None for setting in settings.values()):
        return None
    arm = max(means, key=means.__getitem__)
    outcomes = {one.row.arm: one.outcome for one in found if one.n == n and one.row.group == arms[0]}
    setting = settings[arm]
    assert setting is not None
    if arm != arms[0]:
        mark = "+" if outcomes.get(arm) == "larger" else ""
        return Best(setting.beta, setting.density, means[arm] - means.get(arms[0], means[arm]), mark)
    others = [mean for other, mean in means.items() if other != arm]
    worse = bool(outcomes) and all(outcome == "smaller" for outcome in outcomes.values())
    return Best(setting.beta, setting.density, max(others) - means[arm] if others else 0.0, "<" if worse else "")


def _said(best: Best | None) -> str:
    return "" if best is None else f"{best.density} ({best.gain:+.4f}){' ' + best.mark if best.mark else ''}"


def _panel(study: Study, cells: Cells, arms: list[str]) -> Panel:
    curves = []
    for place, arm in enumerate(arms):
        setting = setting_of_arm(cells, arm)
        found = {float(n): [*areas(cells, arm, n).values()] for n in study.settings[AT]}
        colour = CLEAN if not place else PALETTE[(place - 1) % len(PALETTE)]
        curves.append(mean_curve(setting.density if setting else arm, colour, found, place > len(PALETTE)))
    return Panel(_title(cells, arms[0]), tuple(curve for curve in curves if curve is not None))


def _title(cells: Cells, arm: str) -> str:
    setting = setting_of_arm(cells, arm)
    return setting.title if setting else arm
