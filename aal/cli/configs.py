"""``aal configs list``, ``show`` and ``copy``: the configurations that ship."""

import sys
from itertools import groupby
from pathlib import Path

from aal.checks import refuse
from aal.cli.exits import OneLineParser
from aal.runs.config_names import SHIPPED, config_path, shipped
from aal.runs.files import write_text


def configs(argv: list[str]) -> int:
    """Run ``aal configs`` with its arguments.

    Args:
        argv: What follows ``aal configs`` on the command line.

    Returns:
        The exit code, 0.

    Raises:
        UserError: The arguments are wrong, there is no such configuration, or the folder is in use.
    """
    arguments = configs_parser().parse_args(argv)
    match arguments.action:
        case "list":
            _list()
        case "show":
            name = arguments.name.removeprefix(SHIPPED)
            sys.stdout.write(config_path(SHIPPED + name).read_text(encoding="utf-8"))
        case "copy":
            _copy(arguments.directory)
    return 0


def configs_parser() -> OneLineParser:
    """Return the parser of ``aal configs``."""
    parser = OneLineParser(prog="aal configs", description="The configurations that ship with aal.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names by folder, each with the first line of its comment")
    actions.add_parser("show", help="print one").add_argument("name", metavar="NAME", help="such as experiment/x")
    copy = actions.add_parser("copy", help="write them all into a new or empty folder, to be changed")
    copy.add_argument("directory", type=Path, metavar="DIR")
    return parser


def _list() -> None:
    width = max(map(len, shipped()))
    for folder, found in groupby(shipped().items(), lambda item: item[0].partition("/")[0]):
        print(folder)
        for name, path in found:
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            said = first.removeprefix("# ") if first.startswith("# ") else ""
            print(f"  {name:{width}}  {said}".rstrip())


def _copy(directory: Path) -> None:
    refuse(
        directory.exists() and (not directory.is_dir() or any(directory.iterdir())),
        f"{directory}: is in use; name a new or empty folder",
    )
    for name, path in shipped().items():
        write_text(directory / f"{name}.yaml", path.read_text(encoding="utf-8"))
