"""Adversarial active learning: attacks, strategies, oracles, networks, records, studies and reports."""

from pathlib import Path

for _name in ("callbacks", "datamodules", "configs"):
    if Path(__file__).with_name(_name).is_file():
        raise ImportError(
            f"aal/{_name} is a text file, not a link to the folder {_name}: this copy of aal was unpacked without "
            "symbolic links; clone it with git, or unpack it by a program that makes them"
        )

__version__ = "0.1.0"
