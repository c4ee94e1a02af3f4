"""What a run stands on, by digest: a run that goes on finds what it was started with."""

from collections.abc import Mapping
from pathlib import Path

from aal.errors import UserError
from aal.runs.files import digest_of, read_sealed, write_sealed

INPUTS, KIND = "inputs.json", "the inputs of a run"


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
    path, config = folder / INPUTS, folder / "config.yaml"
    if not path.exists():
        started = {"config.yaml": digest_of(config) if config.exists() else "none"}
        write_sealed(path, KIND, {"started": started, "inputs": dict(inputs)})
    for name, digest in read_sealed(path, KIND)["inputs"].items():
        if inputs.get(name) != digest:
            raise UserError(
                f"{name}: the run in {folder} was started with {digest}, now there is {inputs.get(name)}; "
                "put it back as it was, or choose another --out"
            )
    return digest_of(path)
