"""The arms of a study: configs laid over each other, some of which name the cell of another arm with the same seed."""

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import Any, cast

from aal.checks import argument, refuse
from aal.errors import UserError, did_you_mean, unquoted
from aal.runs.config_names import config_path, laid_out
from aal.runs.documents import read_mapping

Config = str | dict[str, Any]  # the path of a config file, or the config itself written inline

CELL = "cell:"  # before the name of an arm: the folder of that arm's cell
SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")  # file systems take 255 bytes, and files are named after it


@dataclass(frozen=True)
class Arm:
    """One arm: its configs in the order they are laid over each other, and a hash of what they say."""

    configs: tuple[Config, ...]
    fingerprint: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Arms whose cells its own cells read."""
        return named(self.configs)


def named(configs: Collection[Config]) -> tuple[str, ...]:
    """Return the arms that inline configs name by ``cell:ARM``, in order."""
    found: dict[str, Path] = {}
    resolved([config for config in configs if isinstance(config, dict)], lambda arm: found.setdefault(arm, Path()))
    return tuple(found)


def resolved(value: Any, folder: Callable[[str], Path]) -> Any:  # noqa: ANN401 - whatever a config holds
    """Put an arm's ``folder`` in the place of each ``cell:ARM`` in a config."""
    if isinstance(value, dict):
        return {key: resolved(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner, folder) for inner in value]
    if isinstance(value, str) and value.startswith(CELL):
        return str(folder(value.removeprefix(CELL)))
    return value


def read_arms(path: Path, base: object, arms: Any, threads: int, reserved: Collection[str]) -> dict[str, Arm]:  # noqa: ANN401
    """Check the arms of a study file.

    Args:
        path: The study file; config paths in it are relative to its folder.
        base: The configs that all arms share, as the file has them.
        arms: Each arm's own configs by its name, as the file has them.
        threads: CPU threads of a cell.
        reserved: Names that no arm may have.

    Returns:
        Arms by name, in the order of the file.

    Raises:
        UserError: A name cannot be a folder's, a config is missing or broken, or a cell that is read is of no arm, or
            reads in turn, over others or not, the cell that reads it; or a config file names one.
    """
    refuse(
        not isinstance(arms, dict) or not arms, f"{path}: arms must name at least one arm, each with a list of configs"
    )
    shared = _configs(path, base, f"{path}: configs")
    refuse(not shared, f"{path}: configs must name at least one config file")
    for name in arms:
        refuse_no_folder(name, f"{path}: arms", reserved)
    refuse(
        len({name.lower() for name in arms}) < len(arms),
        f"{path}: arms: two names differ only in case, which some file systems cannot tell apart",
    )
    configs = {name: shared + _configs(path, own, f"{path}: arms.{name}") for name, own in arms.items()}
    done: dict[str, Arm] = {}
    files: dict[str, Any] = {}  # most arms share theirs
    for name in _sources_first(path, configs):
        sources, called = [done[source] for source in named(configs[name])], f"{path}: configs of {name}"
        done[name] = Arm(configs[name], fingerprint(configs[name], threads, sources, called, files))
    return {name: done[name] for name in configs}


def refuse_no_folder(name: object, called: str, reserved: Collection[str] = ()) -> None:
    """Refuse what cannot name a folder within a study's, so that nothing is read or written outside it.

    Args:
        name: The name of an arm or of a study.
        called: What an error starts with.
        reserved: Names that something else in the folder has.

    Raises:
        UserError: Names it.
    """
    refuse(
        not isinstance(name, str) or not SAFE.fullmatch(name) or name.lower() in reserved,
        f"{called}: {name!r} cannot name a folder; use letters, digits, '_', '-' and inner '.', 200 at most"
        f"{unquoted(name)}",
    )


def fingerprint(
    configs: tuple[Config, ...], threads: int, sources: Collection[Arm], called: str, files: dict[str, Any]
) -> str:
    """Hash what the configs of an arm say (their content, not their names or comments), its threads and what it reads.

    Args:
        configs: The configs.
        threads: CPU threads of a cell.
        sources: The arms whose cells it reads.
        called: What an error starts with.
        files: What config files say, by their names; those that are not there are read and put there.

    Raises:
        UserError: A config file cannot be read.
    """
    for index, config in enumerate(configs):
        if isinstance(config, str) and config not in files:
            files[config] = read_mapping(Path(config), f"{called}[{index}]")
    content = [config if isinstance(config, dict) else files[config] for config in configs]
    said = [content, threads, *(source.fingerprint for source in sources)]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _configs(path: Path, value: Any, called: str) -> tuple[Config, ...]:  # noqa: ANN401
    refuse(not isinstance(value, list), f"{called} must be a list of config files and inline configs, not {value!r}")
    items = (_laid_out(path, item, f"{called}[{index}]") for index, item in enumerate(value))
    return tuple(chain.from_iterable(items))


def _laid_out(path: Path, item: Any, called: str) -> list[Config]:  # noqa: ANN401
    """Return the files and inline configs that an item of a list of configs stands for."""
    refuse(
        not isinstance(item, str) and not (isinstance(item, dict) and all(isinstance(key, str) for key in item)),
        f"{called} must be the path of a config or a config itself, not {item!r}",
    )
    with argument(called):
        file = config_path(item, path.parent).resolve() if isinstance(item, str) else None
        content = item if isinstance(item, dict) else read_mapping(cast(Path, file))
        parts = laid_out(content)
    if file is not None and (read := named([content])):
        raise UserError(f"{called}: {file}: {CELL}{read[0]} must be in a config written in the study itself")
    if parts == [content]:
        return [content if file is None else str(file)]
    return [
        config
        for part in parts
        for config in ([part] if isinstance(part, dict) else _laid_out(path, str(part), called))
    ]


def _sources_first(path: Path, configs: dict[str, tuple[Config, ...]]) -> list[str]:
    """Order arms so that each comes after those whose cells it reads."""
    reads = {name: named(own) for name, own in configs.items()}
    for name, sources in reads.items():
        for source in sources:
            if source not in configs:
                near = did_you_mean(source, configs)
                raise UserError(
                    f"{path}: arms.{name}: {CELL}{source}: no arm {source!r}{near}; there is {', '.join(configs)}"
                )
    try:
        return [*TopologicalSorter(reads).static_order()]
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))  # it has each arm before one that reads it
        raise UserError(f"{path}: arms: each reads a cell of the next: {circle}") from None
