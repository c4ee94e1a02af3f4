"""``aal configs list``, ``show`` and ``copy``: the configurations that ship."""

import re
import textwrap
from itertools import groupby, takewhile
from pathlib import Path

from aal.checks import refuse
from aal.cli.console import tables_console
from aal.cli.exits import OneLineParser
from aal.errors import UserError
from aal.runs.config_names import SHIPPED, config_path, shipped
from aal.runs.files import NO_SPACE, write_text


def configs(argv: list[str]) -> int:
    """Run ``aal configs`` with its arguments.

    Args:
        argv: What follows ``aal configs`` on the command line.

    Returns:
        The exit code, 0.

    Raises:
        UserError: The arguments are wrong, there is no such configuration, or the folder cannot be taken.
    """
    arguments = configs_parser().parse_args(argv)
    match arguments.action:
        case "list":
            _list()
        case "show":
            name = arguments.name.removeprefix(SHIPPED)
            print(config_path(SHIPPED + name).read_text(encoding="utf-8"), end="")
        case "copy":
            _copy(arguments.directory)
    return 0


def configs_parser() -> OneLineParser:
    """Return the parser of ``aal configs``."""
    parser = OneLineParser(prog="aal configs", description="The configurations that ship with aal.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names by folder, each with what it is for")
    actions.add_parser("show", help="print one").add_argument("name", metavar="NAME", help="such as experiment/x")
    copy = actions.add_parser("copy", help="write them all into a new or empty folder, to be changed")
    copy.add_argument("directory", type=Path, metavar="DIR")
    return parser


def _list() -> None:
    width, columns = max(map(len, shipped())), tables_console().width
    for folder, found in groupby(shipped().items(), lambda item: item[0].partition("/")[0]):
        print(folder)
        for name, path in found:
            line = f"  {name:{width}}  {_purpose(path)}".rstrip()
            print(textwrap.fill(line, columns, subsequent_indent=" " * (width + 4), break_on_hyphens=False))


def _purpose(path: Path) -> str:
    """Return the first sentence of the comment that a file begins with."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return re.split(r"(?<=\.)\s", " ".join(line.removeprefix("#").strip() for line in lines))[0]


def _copy(directory: Path) -> None:
    try:
        refuse(
            directory.exists() and (not directory.is_dir() or any(directory.iterdir())),
            f"{directory}: is in use; name a new or empty folder",
        )
        directory.mkdir(parents=True, exist_ok=True)
        for name, path in shipped().items():
            write_text(directory / f"{name}.yaml", path.read_text(encoding="utf-8"))
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        raise UserError(f"{directory}: cannot be written to ({error.strerror})") from None
