"""The report of a study: its table and tests, curves of every arm, what the attack did, and how it was run."""

from pathlib import Path

from matplotlib.figure import Figure

from aal import files
from aal.documents import to_yaml
from aal.report.curves import Curve, Panel, accuracy_curve, accuracy_figure, expected_share, poison_curve, poison_figure
from aal.report.page import Listing, Page, Section, Tile, picture, render_page
from aal.report.run import ACCURACY, SHARE, config_listing, environment_listing, features_section, pairs_section
from aal.report.style import CLEAN, PALETTE, render
from aal.studies.paired import PairedTest
from aal.studies.runs import Run, number
from aal.studies.study import Study, load_study
from aal.studies.table import estimate, show
from aal.studies.tables import study_table

Cells = dict[str, dict[int, Run]]
PAIRS = 6  # base/poison pairs that a study's report shows
BAND = " Line: mean over seeds; band: ± one sample standard deviation."


def write_study_report(directory: Path) -> None:
    """Write ``report.html`` of a study, and its figures to ``figures/``, from the cells that have finished.

    Args:
        directory: The study's folder.

    Raises:
        UserError: It is no study's folder, or a file in it is broken.
        OSError: A file could not be written.
    """
    study = load_study(directory)
    table, cells = study_table(study, directory)
    finished = [run for runs in cells.values() for run in runs.values()]
    poisoned = {arm: run for arm, run in _first(study, cells).items() if number(run.summary, "poisons") is not None}
    pairs: tuple[Section, ...] = ()
    if poisoned:
        arm, run = next(iter(poisoned.items()))
        pairs = (pairs_section(run.folder, PAIRS, f"Base instances and poison: {arm}"),)
    page = Page(
        title=study.title,
        subtitle=_subtitle(study, cells),
        note=study.note,
        tiles=_tiles(study, cells, table.tests),
        table=table,
        sections=(*_curves(directory, study, cells), features_section(poisoned), *pairs),
        listings=(*_cell_listing(study, cells), *_config_listings(study, cells), *environment_listing(finished)),
    )
    files.write_text(directory / "report.html", render_page(page))


def colours(study: Study) -> dict[str, tuple[str, bool]]:
    """Give every arm its colour, and whether its lines are dashed; clean arms are grey.

    Arms take the palette's colours in the order of the rows, anew for each clean arm, so that the same attack on
    another head, listed in the same order, has the same colour.
    """
    given = {row.clean: (CLEAN, False) for row in study.rows}
    for clean in list(given):
        compared = [row.arm for row in study.rows if row.clean == clean and row.arm not in given]
        for index, arm in enumerate(compared):
            given[arm] = (PALETTE[index % len(PALETTE)], index >= len(PALETTE))
    return given


def _first(study: Study, cells: Cells) -> dict[str, Run]:
    """Return the run of the lowest finished seed of every arm in the table."""
    arms = dict.fromkeys(row.arm for row in study.rows)
    return {arm: next(iter(cells[arm].values())) for arm in arms if cells[arm]}


def _subtitle(study: Study, cells: Cells) -> str:
    finished = sum(seed in runs for runs in cells.values() for seed in study.seeds)
    total = len(study.arms) * len(study.seeds)
    state = f"{finished} runs" if finished == total else f"incomplete: {finished} of {total} runs have finished"
    return f"Study {study.name}: {len(study.arms)} arms, {len(study.seeds)} seeds, {state}"


def _tiles(study: Study, cells: Cells, tests: tuple[PairedTest, ...]) -> tuple[Tile, ...]:
    """Show the first row's key numbers."""
    row, test = study.rows[0], tests[0]
    arm, clean = list(cells[row.arm].values()), list(cells[row.clean].values())
    if not arm or not clean:
        return ()
    ours, theirs = (show(estimate(number(run.summary, "accuracy") for run in runs).mean, 3) for runs in (arm, clean))
    success, random = (
        show(estimate(number(run.summary, key) for run in arm).mean, 3)
        for key in ("poison_success", "random_success_expected")
    )
    seeds = f"{test.n} seed{'s' if test.n != 1 else ''}"
    p = f"p = {test.p:.2g}" if test.p is not None else test.remark.split(":")[0]
    difference = "—" if test.mean is None else f"{test.mean:+.3f}"
    return (
        Tile("accuracy, clean → poisoned", f"{theirs} → {ours}", row.arm),
        Tile("share of poisons queried", success, f"random queries: {random}"),
        Tile("difference in accuracy", difference, f"{seeds}, {p}"),
    )


def _curves(directory: Path, study: Study, cells: Cells) -> tuple[Section, Section]:
    given = colours(study)
    accuracy: list[Panel] = []
    shares: list[Panel] = []
    for clean in dict.fromkeys(row.clean for row in study.rows):
        arms = [row.arm for row in study.rows if row.clean == clean]
        made = {arm: _arm_curves(arm, given, cells) for arm in (clean, *arms)}
        title = f"against {clean}"
        if curves := tuple(curve for curve, _ in made.values() if curve is not None):
            accuracy.append(Panel(title, curves))
        if curves := tuple(curve for _, curve in made.values() if curve is not None):
            first = next(run for arm in (*arms, clean) for run in cells[arm].values())
            shares.append(Panel(title, curves, expected_share(first)))
    return (
        _section(directory, "Accuracy", "accuracy", ACCURACY, accuracy_figure(accuracy) if accuracy else None),
        _section(
            directory, "Poison among the queries", "poison_share", SHARE, poison_figure(shares) if shares else None
        ),
    )


def _arm_curves(arm: str, given: dict[str, tuple[str, bool]], cells: Cells) -> tuple[Curve | None, Curve | None]:
    colour, dashed = given[arm]
    runs = list(cells[arm].values())
    return accuracy_curve(arm, colour, runs, dashed=dashed), poison_curve(arm, colour, runs, dashed=dashed)


def _section(directory: Path, title: str, name: str, text: str, figure: Figure | None) -> Section:
    if figure is None:
        return Section(title, missing="No finished run has it yet.")
    data = render(figure)
    files.write_bytes(directory / "figures" / f"{name}.png", data)
    return Section(title, text + BAND, (picture(data, text),))


def _cell_listing(study: Study, cells: Cells) -> tuple[Listing, ...]:
    header = ("arm", "seed", "labels", "accuracy", "poisons queried", "seconds")
    rows = []
    for arm, runs in cells.items():
        for seed in sorted({*study.seeds, *runs}):
            summary = runs[seed].summary if seed in runs else {}
            state = [
                show(number(summary, key), digits)
                for key, digits in (("labels", 0), ("accuracy", 4), ("poison_success", 3), ("seconds", 1))
            ]
            rows.append((arm, str(seed), *(state if summary else ("not finished", "", "", ""))))
    return (Listing("Every run", header=header, rows=tuple(rows)),)


def _config_listings(study: Study, cells: Cells) -> list[Listing]:
    listings: list[Listing] = []
    for arm, runs in cells.items():
        layers = study.arms[arm].configs
        names = ", ".join(Path(layer).name if isinstance(layer, str) else to_yaml(layer).strip() for layer in layers)
        run = next(iter(runs.values()), None)
        listings += config_listing(f"Configuration of {arm} ({names})", run) if run else []
    return listings
