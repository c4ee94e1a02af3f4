"""``aal study run`` and ``aal study report``."""

import argparse
import os
from pathlib import Path

from rich.console import Console

from aal.checks import refuse
from aal.cli.console import tables_console
from aal.cli.exits import OneLineParser
from aal.errors import UserError
from aal.runs.config_names import config_path
from aal.runs.folder import stopped_by
from aal.studies.execution import run_study
from aal.studies.results import print_table, write_table
from aal.studies.study import load_study, read_study
from aal.studies.tables import TABLES, study_table

REFUSED = 2  # exit code where one of several studies could not be run; the others were
BROKEN = 3  # where cells did not finish


def study(argv: list[str]) -> int:
    """Run ``aal study`` with its arguments.

    Args:
        argv: What follows ``aal study`` on the command line.

    Returns:
        The exit code: 0, 3 where cells did not finish, 2 where one of several studies was refused.

    Raises:
        UserError: The arguments, a study file or the only study's folder are wrong.
        RunStopped: A study's folder is gone, or cannot be written to any more.
    """
    arguments = study_parser().parse_args(argv)
    if arguments.action == "report":
        with stopped_by(arguments.directory):
            _conclude(arguments.directory)
        return 0
    studies = [read_study(config_path(file), TABLES, arguments.seeds) for file in arguments.files]
    folders = [arguments.out] if len(studies) == 1 else [arguments.out / study.name for study in studies]
    for study, folder in zip(studies, folders, strict=True):
        refuse(
            folders.count(folder) > 1,
            f"aal study: two of the studies are called {study.name}, and would share a folder",
        )
    errors = Console(stderr=True, highlight=False)
    code = 0
    for study, folder in zip(studies, folders, strict=True):
        try:
            with stopped_by(folder):
                broken = run_study(study, folder, arguments.jobs or max(1, (os.cpu_count() or 1) // study.threads))
                _conclude(folder)
        except UserError as error:
            if len(studies) == 1:
                raise
            errors.print(f"error: {study.name}: {error}", soft_wrap=True, markup=False)
            code = REFUSED
            continue
        if broken:
            named = (f"{cell.name}: {why}" for cell, why in broken.items())
            lines = (f"{len(broken)} cells did not finish; the same command tries them again:", *named)
            errors.print("\n".join(lines), style="red", soft_wrap=True, markup=False)
            code = code or BROKEN
    return code


def _conclude(directory: Path) -> None:
    """Write and print what the folder's finished cells say."""
    from aal.studies.study_page import write_study_report  # the figures' libraries take seconds to import

    study = load_study(directory, TABLES)
    table, cells = study_table(study, directory)
    write_table(table, directory / "table.csv")
    write_study_report(directory)
    console = tables_console()
    print_table(table, console, study.title, study.note)
    missing = sum(seed not in runs for runs in cells.values() for seed in study.seeds)
    if missing:
        console.print(f"Incomplete: {missing} of {len(study.arms) * len(study.seeds)} cells have not finished.")
    records = directory / "*" / "seed=*" / "wandb" / "offline-run-*"
    if any(directory.glob(str(records.relative_to(directory)))):
        console.print(f"Weights & Biases was offline: `wandb sync {records}` uploads what it took", soft_wrap=True)
    console.print(f"Report: {directory / 'report.html'}", soft_wrap=True, markup=False)


def study_parser() -> OneLineParser:
    """Return the parser of ``aal study``."""
    parser = OneLineParser(prog="aal study", description="Run arms of an experiment over seeds and compare them.")
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="run a study's unfinished cells, then make its table and report")
    run.add_argument("files", nargs="+", metavar="FILE", help="the study's YAML file, or several studies'")
    out = "the study's folder; of several studies, each has one of its name in it"
    run.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
    run.add_argument("--seeds", type=int, metavar="N", help="use the seeds 0..N-1 instead of the file's")
    run.add_argument("--jobs", type=_positive, metavar="J", help="cells at a time (default: CPUs / threads of a cell)")
    report = actions.add_parser("report", help="make table.csv and report.html again from the finished cells")
    report.add_argument("directory", type=Path, metavar="DIR", help="a study's folder")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)
