"""YAML as it is read and written here: numbers as YAML 1.2 has them, no key twice, one line of error."""

import re
from pathlib import Path
from typing import Any

import yaml

from aal.errors import UserError, unquoted


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader reads ``1e-5`` as text, lets the second of two equal keys win, and makes dates of texts."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
        if key.value in seen:
            raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands there twice", problem_mark=key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that :class:`_Loader` would take for numbers."""


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


def to_yaml(value: object) -> str:
    """Write plain data as YAML that reads back the same, keys in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def from_yaml(text: str) -> Any:  # noqa: ANN401
    """Read YAML text.

    Raises:
        yaml.YAMLError: It is none.
    """
    return yaml.load(text, _Loader)


def read_mapping(path: Path, called: str = "") -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        called: What names the file in its user's view, such as ``study.yaml: arms.clean[0]``; an error starts with it.

    Raises:
        UserError: The file is missing, cannot be read, is not YAML, or its top level is no mapping of names to values.
    """
    file = f"{called}: {path}" if called else str(path)
    try:
        value = from_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(f"{file}: no such file") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{file}: not YAML ({line}{error.problem})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not YAML ({' '.join(str(error).split())})") from None
    wanted = f"{file}: must hold keys with values, such as 'name: ...'"
    if not isinstance(value, dict):
        raise UserError(wanted)
    for key in value:
        if not isinstance(key, str):
            raise UserError(f"{wanted}, not the key {key!r}{unquoted(key)}")
    return value
