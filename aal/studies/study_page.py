"""The report of a study: its table and tests, curves of every arm, what the attack did, and how it was run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from aal.report.curves import (
    Curve,
    Panel,
    accuracy_figure,
    expected_share,
    poison_curve,
    poison_figure,
    record_curve,
)
from aal.report.numbers import NONE, show
from aal.report.page import Grid, Results, Section, Tile, figure_picture, render_page
from aal.report.run_page import ACCURACY, SHARE, environment_listing, features_section, pairs_section, queries_tile
from aal.report.style import CLEAN, PALETTE
from aal.runs import files
from aal.runs.documents import to_yaml
from aal.runs.reading import Run, number
from aal.studies.paired import PairedTest
from aal.studies.results import Table, lines, mean_sd
from aal.studies.study import Cells, Study, load_study
from aal.studies.tables import TABLES, study_table

PAIRS = 6  # base/poison pairs that a study's report shows
TILES = 4  # paired tests that stand at its top
BAND = (
    " Line: mean over seeds; band: ± one sample standard deviation. Where runs end at different numbers of labels the "
    "mean goes as far as all of them do, and each run is a thin line."
)


def write_study_report(directory: Path) -> None:
    """Write ``report.html`` of a study, and its figures to ``figures/``, from the cells that have finished.

    Args:
        directory: The study's folder.

    Raises:
        UserError: It is no study's folder, or a file in it is broken.
        OSError: A file could not be written.
    """
    study = load_study(directory, TABLES)
    table, cells = study_table(study, directory)
    finished = [run for runs in cells.values() for run in runs.values()]
    firsts = {row.arm: next(iter(cells[row.arm].values())) for row in study.rows if cells[row.arm]}
    poisoned = {arm: run for arm, run in firsts.items() if number(run.summary, "poisons") is not None}
    sections = TABLES[study.table].sections
    page = render_page(
        title=study.title,
        subtitle=_subtitle(study, cells),
        note=study.note,
        tiles=_poison_tiles(study, cells, table.tests) if poisoned and table.tests else _tiles(table),
        results=_results(table),
        sections=sections(study, cells, directory) if sections else _sections(directory, study, cells, poisoned),
        listings=(_cell_listing(study, cells), *_config_listings(study, cells), environment_listing(finished)),
    )
    files.write_text(directory / "report.html", page)


def _results(table: Table) -> Results:
    """Return a table as the page's texts."""
    return Results(
        header=tuple((column.title, column.right) for column in table.printed),
        rows=tuple(tuple(lines(row[column.key], column.digits) for column in table.printed) for row in table.rows),
        notes=table.notes,
        tested=table.tested,
        tests=tuple(
            (test.arm, test.against, str(test.n), test.difference or NONE, test.outcome) for test in table.tests
        ),
    )


def groups(study: Study) -> dict[str, list[str]]:
    """Return which arms are drawn together: those compared with one arm after that one, by its name.

    An arm that is compared with none, and none with it, is left out where there are others: it may be of another scale,
    such as one trained on everything. Under an empty name come the arms that those drawn read, if they are in no row.
    """
    found: dict[str, list[str]] = {}
    for row in study.rows:
        arms = found.setdefault(row.group, [row.group])
        arms += [row.arm] if row.arm not in arms else []
    found = {group: arms for group, arms in found.items() if len(arms) > 1} or found
    drawn = dict.fromkeys(arm for arms in found.values() for arm in arms)
    read = dict.fromkeys(source for arm in drawn if arm in study.arms for source in study.arms[arm].reads)
    sources = [arm for arm in read if arm not in drawn]
    return found | ({"": sources} if sources else {})


def arm_colours(study: Study) -> dict[str, tuple[str, bool]]:
    """Give every arm that is drawn its colour, and whether its lines are dashed; what is compared with is grey.

    Arms take the palette's colours in the order of the rows, anew for each arm that they are compared with, so that the
    same attack on another head, listed in the same order, has the same colour.
    """
    drawn = groups(study)
    given = {group: (CLEAN, False) for group in drawn if group}
    for arms in drawn.values():
        compared = [arm for arm in arms if arm not in given]
        for index, arm in enumerate(compared):
            given[arm] = (PALETTE[index % len(PALETTE)], index >= len(PALETTE))
    return given


def _subtitle(study: Study, cells: Cells) -> str:
    finished = sum(seed in runs for runs in cells.values() for seed in study.seeds)
    total = len(study.arms) * len(study.seeds)
    state = f"{finished} runs" if finished == total else f"incomplete: {finished} of {total} runs have finished"
    return f"Study {study.name}: {len(study.arms)} arms, {len(study.seeds)} seeds, {state}"


def _tiles(table: Table) -> tuple[Tile, ...]:
    """Show what the first paired tests say."""
    return tuple(
        Tile(
            f"{test.arm} minus {test.against}",
            NONE if test.mean is None else f"{test.mean:+,.{test.digits}f}",
            f"{table.tested}: {_seeds_and_p(test)}",
        )
        for test in table.tests[:TILES]
    )


def _poison_tiles(study: Study, cells: Cells, tests: tuple[PairedTest, ...]) -> tuple[Tile, ...]:
    """Show the key numbers of the first row that is compared with another arm, whose test is the first."""
    row, test = next(row for row in study.rows if row.against), tests[0]
    arm, other = list(cells[row.arm].values()), list(cells[row.group].values())
    if not arm or not other:
        return ()
    ours, theirs = (show(mean_sd(number(run.summary, "accuracy") for run in runs).mean, 3) for runs in (arm, other))
    queries = [queries_tile(arm)] if "poisons" in arm[0].summary else []
    change = NONE if test.mean is None else f"{test.mean:+.3f}"
    return (
        Tile("accuracy", f"{theirs} → {ours}", f"{row.against} → {row.arm}"),
        *(replace(tile, title=f"{tile.title}, {row.arm}") for tile in queries),
        Tile("difference in accuracy", change, f"{row.arm} minus {row.against}: {_seeds_and_p(test)}"),
    )


def _seeds_and_p(test: PairedTest) -> str:
    p = f"p = {test.p:.2g}" if test.p is not None else test.remark.split(":")[0]
    return f"{test.n} seed{'s' if test.n != 1 else ''}, {p}"


def _sections(directory: Path, study: Study, cells: Cells, poisoned: dict[str, Run]) -> tuple[Section, ...]:
    """Show accuracy, and what poison did where there was any: its share of the queries, features and pairs."""
    accuracy = _curves(directory, study, cells, ("Accuracy", "accuracy", ACCURACY), record_curve, accuracy_figure)
    if not poisoned:
        return (accuracy,)
    arm, run = next(iter(poisoned.items()))
    share = ("Poison among the queries", "poison_share", SHARE)
    return (
        accuracy,
        _curves(directory, study, cells, share, poison_curve, poison_figure, expected_share),
        features_section(poisoned),
        pairs_section(run.folder, PAIRS, f"Base instances and poison: {arm}"),
    )


def _curves(
    directory: Path,
    study: Study,
    cells: Cells,
    head: tuple[str, str, str],
    curve: Callable[..., Curve | None],
    figure: Callable[[Sequence[Panel]], Figure | None],
    level: Callable[[Run], dict[str, float]] = lambda run: {},
) -> Section:
    """Draw a curve of each arm, a panel for each arm that others are compared with.

    Args:
        directory: The study's folder.
        study: The study.
        cells: Finished runs by arm and seed.
        head: The section's title, the figure's name and what it shows.
        curve: Makes an arm's curve of its name, color and runs.
        figure: Draws panels.
        level: A level to compare with, told a run; where those of a panel's arms differ, each has its arm's name.
    """
    title, name, text = head
    given, drawn = arm_colours(study), []
    for group, arms in groups(study).items():
        runs = {arm: list(cells[arm].values()) for arm in (*arms[1:], arms[0])}
        curves = (curve(arm, given[arm][0], runs[arm], dashed=given[arm][1]) for arm in arms)
        if shown := tuple(filter(None, curves)):
            against = f"against {group}" if len(arms) > 1 else group
            drawn.append(Panel(against if group else "read by these", shown, levels_of(runs, level)))
    left = [arm for arm in study.arms if arm not in given]
    text += BAND + (f" Not drawn: {', '.join(left)}." if left else "")
    pictures = figure_picture(directory, name, figure(drawn), text, captioned=False)
    return Section(title, text, pictures, missing="" if pictures else "No finished run has it yet.")


def levels_of(runs: Mapping[str, list[Run]], level: Callable[[Run], dict[str, float]]) -> dict[str, float]:
    """Return the levels of the arms of a panel: once where all are alike, else by arm."""
    found = {arm: levels for arm, own in runs.items() if own and (levels := level(own[0]))}
    if len({tuple(levels.items()) for levels in found.values()}) < 2:
        return next(iter(found.values()), {})
    return {f"{kind}, {arm}": height for arm, levels in found.items() for kind, height in levels.items()}


def _cell_listing(study: Study, cells: Cells) -> Section:
    """List every cell with its end."""
    poisoned = any("poisons" in run.summary for runs in cells.values() for run in runs.values())
    queried = {"poisons queried": ("poisons_queried", 0), "of poisons": ("poisons", 0)} if poisoned else {}
    shown = {"labels": ("labels", 0), "accuracy": ("accuracy", 4), **queried, "seconds": ("seconds", 1)}
    rows = []
    for arm, runs in cells.items():
        for seed in sorted({*study.seeds, *runs}):
            summary = runs[seed].summary if seed in runs else {"ended_by": "not finished"}
            numbers = (show(number(summary, key), digits) if seed in runs else "" for key, digits in shown.values())
            rows.append((arm, str(seed), *numbers, str(summary.get("ended_by", ""))))
    return Section("Every run", grids=(Grid(("arm", "seed", *shown, "ended by"), tuple(rows)),))


def _config_listings(study: Study, cells: Cells) -> Iterator[Section]:
    for arm, runs in cells.items():
        layers = study.arms[arm].configs
        names = ", ".join(Path(layer).name if isinstance(layer, str) else to_yaml(layer).strip() for layer in layers)
        for run in list(runs.values())[:1]:
            yield Section(f"Configuration of {arm} ({names})", run.config)
