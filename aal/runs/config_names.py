"""The configurations that ship with the package: found by folder and name, or by the name that a key stands beside."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aal
from aal.checks import refuse
from aal.errors import UserError, did_you_mean

SHIPPED = "aal:"  # before folder and name of a configuration that ships: aal:experiment/collision_digits
FOLDER = Path(aal.__file__).parent / "configs"
# Keys of a run beside which the name of a file in the folder of that name may stand, such as ``query: margin``; and
# folders that are no keys of a run.
NAMED = ("data", "model", "query", "poison", "retraining", "secured", "flips", "robust", "shadow")
ALIKE = ("oracle", "logger", "experiment")
NAME = re.compile(r"[a-z0-9_]+")
WORDS = ("null", "true", "false")  # what YAML has them for


def shipped() -> dict[str, Path]:
    """Return the files of all configurations that ship by folder and name: ``experiment/collision_digits``."""
    return {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in sorted(FOLDER.glob("*/*.yaml"))}


def config_path(text: str, folder: Path | None = None) -> Path:
    """Return the file that is meant where a configuration is asked for.

    Args:
        text: A path, or ``aal:FOLDER/NAME``, or ``aal:NAME`` where one folder alone has the name.
        folder: What a path is relative to; None: the working directory.

    Raises:
        UserError: No configuration of the name ships, or several do.
    """
    if not text.startswith(SHIPPED):
        return (folder or Path()) / text
    name, files = text.removeprefix(SHIPPED).removesuffix(".yaml"), shipped()
    found = [known for known in files if known == name or known.partition("/")[2] == name]
    refuse(len(found) > 1, f"{text}: could be {' or '.join(SHIPPED + known for known in found)}")
    if not found:
        raise UserError(f"{text}: no such configuration{did_you_mean(name, files)} (aal configs list has all)")
    return files[found[0]]


def names_beside(key: str) -> list[str]:
    """Return the names of files that may stand beside a key."""
    return sorted(path.stem for path in (FOLDER / key).glob("*.yaml"))


def named_file(key: str, value: object) -> Path | None:
    """Return the file that a name beside a key stands for: ``query: margin`` is ``configs/query/margin.yaml``.

    Args:
        key: A key of the run, or another folder of configurations.
        value: What stands beside it; None is returned where it can be no name of a file.

    Raises:
        UserError: There is no such file, but one of a like name; or the key takes names alone.
    """
    if key not in NAMED + ALIKE or not isinstance(value, str) or value in WORDS or not NAME.fullmatch(value):
        return None
    path = FOLDER / key / f"{value}.yaml"
    if path.is_file():
        return path
    near = did_you_mean(value, names_beside(key))
    refuse(near or key in ALIKE, f"{key}: there is no {path.parent.name}/{path.name}{near}")
    return None


def laid_out(config: Mapping[str, Any]) -> list[Path | dict[str, Any]]:
    """Return a configuration without names: the files that they stand for, and what is laid over these.

    Raises:
        UserError: As :func:`named_file`.
    """
    files = {key: path for key, value in config.items() if (path := named_file(key, value)) is not None}
    rest = {key: value for key, value in config.items() if key not in files}
    return [*files.values(), *([rest] if rest or not files else [])]
