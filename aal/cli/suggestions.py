"""What is added to the parser's refusals: the nearest of the names that there are, what YAML makes of some words."""

import inspect
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import Namespace
from jsonargparse._util import import_object

from aal.checks import refuse
from aal.errors import did_you_mean, unquoted
from aal.runs.config_names import NAMED, names_beside

# How the parser says that it does not know a key, below that of the class that it tells of last.
UNKNOWN = re.compile(
    r"Option '(?P<option>[^']+)' is not accepted|"
    r"(?:Subcommand|Group) '(?P<group>[^']+)' does not accept option '(?P<of_group>[^']+)'|"
    r"unrecognized arguments: --(?P<word>[^=\s]+)"
)
NO_CLASS = re.compile(r'"(?P<key>\w+)":\s+Expected a dot import path string: (?P<word>[\w-]+) ')
CLASS = re.compile(r"(?:given class_path |class_path=)'([^']+)'")
OF_A_CLASS = ("class_path", "init_args")
VALUE = re.compile(r"(?:Got|Given) value: (.+?)(?= Given value:|$)")
NUMBER = re.compile(r"(?<![\w'\"])-?\d")
PLAIN = (bool, int, float, str, list, type(None))
TEXT_WANTED = re.compile(r"Expected a (?:<class 'str'>|typing\.Literal)|Not a valid subclass of")


def with_suggestion(line: str, keys: Iterable[str]) -> str:
    """Return a refusal of the parser with what may have been meant.

    Args:
        line: The refusal.
        keys: The keys of a whole configuration, with dots.
    """
    unknown = UNKNOWN.search(line)
    if unknown is not None:
        kinds = CLASS.findall(line)
        known = {key.split(".")[0] for key in keys} | {*keys}
        if kinds:
            parts = _arguments(import_object(kinds[-1]))
            known = {*OF_A_CLASS, *parts}
            for name, hint in parts.items():
                if isinstance(hint, type) and hint.__module__ != "builtins":
                    known |= {f"{name}.{inner}" for inner in _arguments(hint)}
        word = unknown["option"] or unknown["of_group"] or unknown["word"]
        if unknown["group"] and kinds:
            word = f"{unknown['group']}.{word}"
        first = word.split(".")[0]
        return line + did_you_mean(word if first in known else first, known)
    no_class = NO_CLASS.search(line)
    if no_class and no_class["key"] in NAMED:
        return line + did_you_mean(no_class["word"].replace("-", "_"), names_beside(no_class["key"]))
    values, wanted = " ".join(VALUE.findall(line)), TEXT_WANTED.search(line)
    if wanted and re.search(r"\b(True|False)\b", values):
        return line + unquoted(True)
    if "the following arguments are required" in line:
        return f"{line} (null is as if it were left out)"
    return line + ("; a text that looks like a number stands in quotes" if wanted and NUMBER.search(values) else "")


def refuse_no_parts(config: Namespace) -> None:
    """Refuse, in a parsed configuration, a value where the keys of a class that needs no name should be.

    Raises:
        UserError: Names the key.
    """
    for key, value in config.items(branches=True):
        path = config.get(f"{key}.class_path") if isinstance(value, Namespace) else None
        for name, hint in _arguments(import_object(path)).items() if path else ():
            given = value.get(f"init_args.{name}")
            a_class = isinstance(hint, type) and hint.__module__ != "builtins" and not issubclass(hint, Path | Enum)
            refuse(
                a_class and isinstance(given, PLAIN) and f"init_args.{name}" in value,
                f"{key}.init_args.{name}: must hold keys with values, not {given!r}{unquoted(given)}",
            )


def refuse_unknown_empty(given: object, config: object, place: str = "") -> None:
    """Refuse a key that holds nothing, ``{}``, and is none: the parser passes over it.

    Args:
        given: What a file says.
        config: What the parser made of it, and of others.
        place: The key of both, with a dot behind it.

    Raises:
        UserError: Names the key.
    """
    if not isinstance(given, dict) or not isinstance(config, Namespace):
        return
    for key, value in given.items():
        first, _, rest = str(key).partition(".")
        known, value = vars(config), {rest: value} if rest else value
        near = did_you_mean(first, known)
        refuse(value in ({}, {rest: {}}) and first not in known, f"{place}{first}: there is no such key{near}")
        refuse_unknown_empty(value, known.get(first), f"{place}{first}.")


def _arguments(kind: type[Any]) -> Mapping[str, Any]:
    """Return the arguments that a class and those that it is made of take, with their types where these are plain."""
    found: dict[str, Any] = {}
    for base in reversed(inspect.getmro(kind)):
        builds = vars(base).get("__init__")
        if inspect.isfunction(builds):
            hints = get_type_hints(builds)
            found |= {name: hints.get(name) for name in [*inspect.signature(builds).parameters][1:]}
    return found
