"""The command line as the parser takes it: names of configurations become the files that they stand for."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from aal.checks import refuse
from aal.cli.class_names import of_aal
from aal.errors import UserError, did_you_mean, unquoted
from aal.runs.config_names import ALIKE, FOLDER, NAMED, config_path, laid_out, named_file
from aal.runs.documents import from_yaml, read_mapping, to_yaml


def with_files(arguments: Sequence[str], keys: Collection[str] = ()) -> list[str]:
    """Put ``--config FILE``, or what it says if it ships, in the place of each name of a configuration, in their order.

    Args:
        arguments: The command line: ``--config aal:experiment/x`` or ``--query margin`` name configurations that ship,
            and so may the files after ``--config``, which is ``-c`` for short.
        keys: The keys that a file may have; none: any.

    Raises:
        UserError: A file after ``--config`` is missing, not YAML, or says something of the wrong kind, which the parser
            would stumble over without naming it; or a name is none.
    """
    given: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word.startswith("-c"):  # -c FILE, -cFILE and -c=FILE
            word = f"--config={word[2:].removeprefix('=')}" if word != "-c" else "--config"
        option, separator, value = word.partition("=")
        if option not in {f"--{key}" for key in ("config", *NAMED, *ALIKE)}:
            given.append(word)
            continue
        if not separator and words:
            value = words.pop(0)
        if option == "--config":
            given += _config_arguments(value, keys)
        else:
            file = named_file(option.removeprefix("--"), value)
            given += [f"{option}={value}"] if file is None else _config_arguments(str(file), keys)
    return given


def configs_in(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Give what each configuration of a command line says, as :func:`with_files` returned it."""
    for before, word in pairwise(["", *words]):
        if before == "--config":
            yield read_mapping(Path(word))
        elif word.startswith("--config="):
            yield from_yaml(word.removeprefix("--config="))


def _config_arguments(name: str, keys: Collection[str]) -> list[str]:
    path = config_path(name)
    config = read_mapping(path)
    refuse({"arms", "rows", "table"} & config.keys(), f"{path}: a study, not a run; use aal study run {name} --out DIR")
    for key in config if keys else ():
        first = key.partition(".")[0]
        if first not in keys and first not in ALIKE:
            raise UserError(f"{path}: no key {key!r}{did_you_mean(first, keys)}")
    for key in ("trainer", "checkpoint"):
        _refuse_other(config.get(key, {}), dict, f"{path}: {key}")
    _refuse_forms(config, f"{path}: ")
    if ships := path.resolve().is_relative_to(FOLDER.resolve()):
        config = of_aal(config)
    parts = laid_out(config)
    if parts == [config] and not ships:
        return ["--config", str(path)]
    given: list[str] = []
    for part in parts:
        given += [f"--config={to_yaml(part)}"] if isinstance(part, dict) else _config_arguments(str(part), keys)
    return given


def _refuse_forms(config: object, place: str) -> None:
    """Refuse what describes no object where it should, at any depth; ``place`` is what the names of keys follow.

    Raises:
        UserError: Names the key.
    """
    if isinstance(config, list):
        for item in config:
            _refuse_forms(item, place)
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        refuse(isinstance(key, bool), f"{place.rstrip('.: ')}: {key!r} is no name of a key{unquoted(key)}")
        if key in ("class_path", "init_args"):
            _refuse_other(value, str if key == "class_path" else dict, f"{place}{key}")
        _refuse_forms(value, f"{place}{key}.")


def _refuse_other(value: object, kind: type, called: str) -> None:
    wanted = "name a class" if kind is str else "hold keys with values"
    refuse(not isinstance(value, kind), f"{called}: must {wanted}, not {value!r}{unquoted(value)}")
