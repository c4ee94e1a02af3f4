"""``aal completion bash`` and ``zsh``: a script that completes commands, keys and names of configurations."""

import sys
from argparse import ArgumentParser

from jsonargparse import capture_parser

from aal.cli.configs import configs_parser
from aal.cli.exits import OneLineParser
from aal.cli.fit import AALCLI
from aal.cli.keys import CLI_ARGUMENTS
from aal.cli.selftest import SelftestCLI
from aal.cli.study import study_parser
from aal.errors import UserError
from aal.runs.config_names import ALIKE, NAMED, shipped


def completion(argv: list[str]) -> int:
    """Run ``aal completion`` with its arguments.

    The parser's own ``--print_completion`` is not used: it lists every class of torch, which takes minutes.

    Args:
        argv: What follows ``aal completion`` on the command line.

    Returns:
        The exit code, 0.

    Raises:
        UserError: The arguments are wrong, or the package ``shtab`` is not installed.
    """
    parser = OneLineParser(prog="aal completion", description="Print a script that completes the commands of aal.")
    parser.add_argument("shell", choices=("bash", "zsh"))
    shell = parser.parse_args(argv).shell
    try:
        import shtab
    except ImportError:
        raise UserError('aal completion: needs the package shtab; pip install "aal[completion]"') from None
    root = OneLineParser(prog="aal")
    commands = root.add_subparsers()
    fit = _parser_of(AALCLI)
    fit.add_argument("--ckpt_path", choices=["last"])
    parsers = {"fit": fit, "selftest": _parser_of(SelftestCLI), "study": study_parser(), "configs": configs_parser()}
    for name, own in parsers.items():
        commands.add_parser(name, help=own.description)
        commands.choices[name] = own  # type: ignore[assignment]
    sys.stdout.write(shtab.complete(root, shell) + "\n")
    return 0


def _parser_of(base: type[AALCLI]) -> ArgumentParser:
    """Return the parser of a command that is made from classes, with the names that stand for files."""
    parser = capture_parser(base, **CLI_ARGUMENTS, run=False, args=[])
    for key in ALIKE:
        parser.add_argument(f"--{key}")
    for action in parser._actions:
        if action.dest in NAMED + ALIKE:
            action.choices = [name.partition("/")[2] for name in shipped() if name.startswith(f"{action.dest}/")]
        elif action.dest == "config":
            action.choices = [f"aal:{name}" for name in shipped()]
    return parser
