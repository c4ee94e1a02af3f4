"""What a run stands on, by digest: a run that goes on finds what it was started with."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aal.checks import refuse
from aal.errors import UserError
from aal.runs.files import digest_of, read_sealed, sealed, write_sealed

INPUTS, KIND = "inputs.json", "the inputs of a run"
CONFIG = "config.yaml"
WRITTEN = "written"  # digests of all that the run has written to config.yaml; what tells runs apart is the first


def keep_inputs(folder: Path, inputs: Mapping[str, str]) -> str:
    """Write ``inputs.json`` of a run that begins; refuse to go on where something is not what it was started with.

    What this version looks at and an earlier one did not is no difference.

    Args:
        folder: The run's folder; its ``config.yaml`` is there if a configuration made the run.
        inputs: What the run reads besides, by what it is called: digests.

    Returns:
        A digest that tells this run from others: of its configuration and inputs when it was started.

    Raises:
        UserError: An input has changed, or the file was; the line names it.
    """
    path, config = folder / INPUTS, folder / CONFIG
    if not path.exists():
        digest = digest_of(config) if config.exists() else "none"
        begun = {"started": {CONFIG: digest}, "inputs": dict(inputs), WRITTEN: [digest]}
        write_sealed(path, KIND, begun)
    kept: dict[str, Any] = read_sealed(path, KIND)
    for name, digest in kept["inputs"].items():
        if inputs.get(name) != digest:
            raise UserError(
                f"{name}: the run in {folder} was started with {digest}, now there is {inputs.get(name)}; "
                "put it back as it was, or choose another --out"
            )
    kept.pop(WRITTEN, None)
    return hashlib.sha256((json.dumps(sealed(KIND, kept), indent=2) + "\n").encode()).hexdigest()


def check_config(folder: Path, text: str) -> None:
    """Refuse to go on where ``config.yaml`` is not what the run wrote, or is gone, unless it would be the same again.

    A run that has kept no inputs yet has computed nothing either.

    Args:
        folder: The run's folder.
        text: What would be written to ``config.yaml`` now.

    Raises:
        UserError: It was altered or removed.
    """
    path = folder / CONFIG
    kept = _kept(folder)
    if not kept:
        return
    known = kept.get(WRITTEN, [])  # a run of an earlier version has none
    refuse(
        not path.exists() and _digest(text) not in known,
        f"{path}: is gone, and with it what the run was started with; put it back, or choose another --out",
    )
    refuse(
        path.exists() and known and digest_of(path) not in known,
        f"{path}: altered since the run wrote it; put it back as it was, or choose another --out",
    )


def note_config(folder: Path, text: str) -> None:
    """Take note of what is about to be written to ``config.yaml`` of a run that goes on."""
    kept = _kept(folder)
    if kept and _digest(text) not in kept.get(WRITTEN, []):
        write_sealed(folder / INPUTS, KIND, {**kept, WRITTEN: [*kept.get(WRITTEN, []), _digest(text)]})


def _kept(folder: Path) -> dict[str, Any]:
    return read_sealed(folder / INPUTS, KIND) if (folder / INPUTS).exists() else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()  # as it is written
