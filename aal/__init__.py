"""Adversarial active learning: attacks, strategies, oracles, networks, records, studies and reports."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

__version__ = "0.1.0"

INCOMPLETE = next(
    (
        f"aal/{path.name} is {'a text file, not' if path.is_file() else 'missing:'} a link to the folder {path.name}; "
        "this copy of aal was unpacked without symbolic links: clone it with git, or unpack it where they can be made"
        for path in map(Path(__file__).with_name, ("callbacks", "datamodules", "configs"))
        if not path.is_dir()
    ),
    "",
)
"""What is wrong with this copy of the package; empty where nothing is."""


class _Missing:
    """Is asked first, since an editable install's finder would take the folders of another copy."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name in ("aal.callbacks", "aal.datamodules"):
            raise ImportError(INCOMPLETE)


if INCOMPLETE:
    sys.meta_path.insert(0, _Missing)


def give_way(name: str) -> None:
    """Put a project's own package where aal's was imported by the name that it has beside ``aal`` in a clone.

    A clone on the path would else go before a project's folder that has no ``__init__.py``, wherever that stands.

    Args:
        name: ``callbacks`` or ``datamodules``.

    Raises:
        ImportError: No other package on the path has the name.
    """
    others = [entry for entry in sys.path if Path(entry, name).resolve() != Path(entry, "aal", name).resolve()]
    spec = PathFinder.find_spec(name, others)
    if spec is None or INCOMPLETE:
        raise ImportError(INCOMPLETE or f"import aal.{name}: under another name there would be two of each class")
    sys.modules[name] = module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
