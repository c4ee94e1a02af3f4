"""Adversarial active learning: attacks, strategies, oracles, networks, records, studies and reports."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

for _name in ("callbacks", "datamodules", "configs"):
    if Path(__file__).with_name(_name).is_file():
        raise ImportError(
            f"aal/{_name} is a text file, not a link to the folder {_name}: this copy of aal was unpacked without "
            "symbolic links; clone it with git, or unpack it by a program that makes them"
        )

__version__ = "0.1.0"


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
    if spec is None:
        raise ImportError(f"import aal.{name}: under another name there would be two of each class")
    sys.modules[name] = module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
