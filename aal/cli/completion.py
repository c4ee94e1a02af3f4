"""``aal completion bash`` and ``zsh``: a script that completes commands, keys and names of configurations."""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable
from typing import Any

from jsonargparse import capture_parser

from aal import callbacks, datamodules, models
from aal.cli.configs import configs_parser
from aal.cli.exits import OneLineParser
from aal.cli.fit import AALCLI
from aal.cli.keys import CALLBACKS, CLI_ARGUMENTS
from aal.cli.selftest import SelftestCLI
from aal.cli.study import study_parser
from aal.datamodules import ActiveDataModule
from aal.errors import UserError
from aal.models import Classifier
from aal.runs.config_names import ALIKE, NAMED, shipped

# Bash ends words at : and =, shtab at spaces alone. What is found stands in the place of what follows the last of them.
BASH = r"""
_aal() {
  local typed="${COMP_LINE:0:COMP_POINT}" word given words=()
  local value="${typed##*[[:space:]]}"
  read -ra given <<< "${typed%"$value"}"
  for word in "${given[@]}"; do
    [[ $word == --*=* ]] && words+=("${word%%=*}" "${word#*=}") || words+=("$word")
  done
  [[ $value == --*=* ]] && words+=("${value%%=*}") && value="${value#*=}"
  COMP_WORDS=("${words[@]}" "$value") COMP_CWORD=${#words[@]}
  _shtab_aal
  [[ $value == *:* && $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${value%:*}:"}")
  return 0
}
complete -o bashdefault -o default -F _aal aal
"""


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
    own = OneLineParser(prog="aal completion", description="Print a script that completes the commands of aal.")
    own.add_argument("shell", choices=("bash", "zsh"))
    shell = own.parse_args(argv).shell
    try:
        import shtab
    except ImportError:
        raise UserError('aal completion: needs the package shtab; pip install "aal[completion]"') from None
    root = OneLineParser(prog="aal")
    root.add_argument("--version", action="store_true", help="print the version")
    commands = root.add_subparsers()
    fit, study, configs = _parser_of(AALCLI), study_parser(), configs_parser()
    fit.add_argument("--ckpt_path", choices=["last"])
    _action(study, "run", "files").complete = _names(
        "studies", (name for name in shipped() if name.startswith("study/"))
    )
    _action(configs, "show", "name").choices = [*shipped()]
    for action in (
        *(_action(fit, "out"), _action(study, "run", "out")),
        *(_action(study, "report", "directory"), _action(configs, "copy", "directory")),
    ):
        action.complete = shtab.DIRECTORY
    parsers = {"fit": fit, "selftest": _parser_of(SelftestCLI), "study": study, "configs": configs, "completion": own}
    for name, parser in parsers.items():
        commands.add_parser(name, help=parser.description)
        commands.choices[name] = parser  # type: ignore[assignment]
    script = shtab.complete(root, shell)
    if shell == "zsh":  # options may be given more than once, their values after = too
        script = re.sub(r'^  "(--[\w.]+)\[(.*:.*:.*)$', r'  "*\1=[\2', script, flags=re.MULTILINE)
        script = script.replace("  {-c,--config}", '  "*"{-c,--config=}')
    sys.stdout.write(script + "\n" + (BASH if shell == "bash" else ""))
    return 0


def _parser_of(base: type[AALCLI]) -> argparse.ArgumentParser:
    """Return the parser of a command that is made from classes, with the names that stand for files."""
    parser = capture_parser(base, **CLI_ARGUMENTS, run=False, args=[])
    for key in ALIKE:
        parser.add_argument(f"--{key}")
    for key in _keys_of_classes():
        argparse.ArgumentParser.add_argument(parser, f"--{key}", help="an argument of a class")
    for action in parser._actions:
        if action.option_strings and not action.option_strings[0].startswith("-"):  # a link from one key to another
            action.help = argparse.SUPPRESS
        elif action.dest in NAMED + ALIKE:
            action.choices = [name.partition("/")[2] for name in shipped() if name.startswith(f"{action.dest}/")]
        elif action.dest == "config":
            action.complete = _names("configs", shipped())  # type: ignore[attr-defined]
    return parser


def _keys_of_classes() -> list[str]:
    """Return the keys of what aal's own datamodules, models and callbacks are built with."""
    bases = {"data": ActiveDataModule, "model": Classifier, **CALLBACKS}
    classes = [getattr(room, name) for room in (callbacks, datamodules, models) for name in room.__all__]
    return sorted(
        {
            f"{key}.init_args.{name}"
            for key, base in bases.items()
            for own in classes
            if inspect.isclass(own) and issubclass(own, base)
            for parent in own.__mro__
            if parent.__module__.startswith("aal.") and "__init__" in vars(parent)
            for name, parameter in inspect.signature(parent).parameters.items()
            if parameter.kind != inspect.Parameter.VAR_KEYWORD
        }
    )


def _action(parser: argparse.ArgumentParser, *path: str) -> Any:  # noqa: ANN401
    """Return the action of a parser, or of a command of it, that fills a name."""
    for name in path[:-1]:
        parser = next(action.choices[name] for action in parser._actions if isinstance(action.choices, dict))
    return next(action for action in parser._actions if action.dest == path[-1])


def _names(called: str, names: Iterable[str]) -> dict[str, Any]:
    """Return what completes names of configurations that ship, beside files."""
    words = " ".join(f"aal:{name}" for name in names)
    bash = f"_aal_{called}"
    return {
        "bash": bash,
        "zsh": "{ compadd -- " + words.replace(":", r"\:") + "; _files }",
        "preamble": {"bash": f'{bash}() {{ compgen -W "{words}" -- "$1"; }}'},
    }
