"""Names of classes in configurations and on the command line: short, whole, or those of before."""

import sys
from functools import cache
from importlib import import_module
from inspect import isclass
from typing import Any, cast

from jsonargparse import _typehints
from jsonargparse._util import import_object

from aal.checks import refuse
from aal.errors import UserError, did_you_mean

MOVED = ("callbacks", "datamodules")  # where aal's own classes once were; a project may have folders of these names
ROOMS = (  # whose classes configurations name
    *("attacks", "callbacks", "datamodules", "flips", "models", "networks", "oracles", "strategies", "synthesis"),
    "tracking",
)
INSTALLED = ("site-packages", "dist-packages")

_by_the_parser = _typehints.resolve_class_path_by_name


def use_class_names() -> None:
    """Have the parser take names of classes as :func:`class_path` does; it has no hook for it."""
    _typehints.resolve_class_path_by_name = cast(Any, class_path)


def class_path(base: Any, name: str) -> str:  # noqa: ANN401 - a class, a tuple of classes or a type hint
    """Return the whole path of the class that a name means where a subclass of ``base`` is asked for.

    A short name is looked for among the classes that have been imported. A class of ``aal``, or of the user's own, goes
    before one of a library; between two of these nothing is chosen.

    Raises:
        UserError: The name fits several classes, or it is one of before; the line has the whole paths.
    """
    if "." in name:
        moved = name.partition(".")[0] in MOVED and not _exists(name) and _exists(f"aal.{name}")
        refuse(moved, f"{name}: is called aal.{name} now; {name.rpartition('.')[2]} for short")
        last = name.rpartition(".")[2]  # the rest is alike in all of them
        near = "" if _imports(name) else did_you_mean(last, (path.rpartition(".")[2] for path in _known(base)))
        refuse(near, f"{name}: no such class{near}")
        return name
    known = _known(base)
    found = sorted(path for path in known if path.rpartition(".")[2] == name)
    nearer = [path for path in found if not _of_a_library(path)] or found
    refuse(len(nearer) > 1, f"{name}: could be {' or '.join(nearer)}; give the whole path")
    near = "" if nearer else did_you_mean(name, (path.rpartition(".")[2] for path in known))
    refuse(near, f"{name}: no such class{near}")
    return nearer[0] if nearer else str(_by_the_parser(base, name))


def of_aal(config: Any) -> Any:  # noqa: ANN401
    """Return a configuration that ships, with the whole paths of aal's classes in the place of their names.

    A project that uses it may have classes of the same names.
    """
    if isinstance(config, dict):
        return {key: of_aal(value) for key, value in config.items()}
    if isinstance(config, list):
        return [of_aal(value) for value in config]
    return _own_classes().get(config, config) if isinstance(config, str) else config


@cache
def _own_classes() -> dict[str, str]:
    """Return the paths of aal's classes by their names."""
    rooms = [import_module(f"aal.{room}") for room in ROOMS]
    return {name: f"{room.__name__}.{name}" for room in rooms for name, value in vars(room).items() if isclass(value)}


def _known(base: Any) -> set[str]:  # noqa: ANN401
    """Return the paths of the classes that have been imported and are subclasses of one or several."""
    bases = base if isinstance(base, tuple) else (base,)
    return {path for one in bases for path in _typehints.get_all_subclass_paths(one)}


def _imports(path: str) -> bool:
    """Whether a path leads to something."""
    try:
        import_object(path)
    except (ImportError, AttributeError):
        return False
    except Exception as error:  # whatever a module of the user's own does
        raise UserError(f"{path}: its module raises {type(error).__name__}: {error}") from error
    return True


def _exists(path: str) -> bool:
    module, _, name = path.rpartition(".")
    try:
        return hasattr(import_module(module), name)
    except ImportError:
        return False


def _of_a_library(path: str) -> bool:
    top = path.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return top != "aal" and any(part in file for part in INSTALLED)
