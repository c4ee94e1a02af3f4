"""Loading weights safely: safetensors or tensors-only ``torch.load``, checked against the module before use."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from aal.checks import argument, refuse
from aal.runs.files import read_pickled, read_tensors

OLD_NAME = re.compile(r"(?<=\.)(denselayer\d+\.(?:norm|conv))\.([12])\.")  # in the published weights of DenseNets


@argument("weights")
def load_weights(module: nn.Module, path: str | Path, without: Sequence[str] = ()) -> None:
    """Load a weight file into ``module``; nothing is changed unless every tensor fits.

    Args:
        module: The module whose parameters and buffers are set.
        path: A ``.safetensors`` file, or a ``state_dict`` saved by ``torch.save``, alone or as the entry
            ``"state_dict"`` of a checkpoint. Names may all begin with ``module.``, as ``nn.DataParallel`` makes them;
            ``num_batches_tracked`` may be absent, which batch norms had not yet before torch 0.4.1. Half precision
            becomes the module's own.
        without: Parts that ``module`` lacks and the file may hold, by name: a classifier's output layer.

    Raises:
        UserError: The file is missing, truncated, holds more than tensors, has missing or unexpected names, other
            shapes, or values that are not finite. The line names the argument ``weights``, the file and what is wrong.
    """
    path = Path(path)
    tensors = read_tensors(path) if path.suffix == ".safetensors" else _read_state_dict(path)
    wanted = module.state_dict()
    if tensors.keys().isdisjoint(wanted):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    tensors = {OLD_NAME.sub(r"\1\2.", name): tensor for name, tensor in tensors.items()}
    parts = tuple(f"{part}." for part in without)
    counts = {name: count for name, count in wanted.items() if name.endswith("num_batches_tracked")}
    tensors = counts | {name: tensor for name, tensor in tensors.items() if not name.startswith(parts)}
    missing, unexpected = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    refuse(
        missing or unexpected,
        f"{path}: not the weights of {type(module).__name__}: missing {_few(missing)}, unexpected {_few(unexpected)}",
    )
    for name, tensor in tensors.items():
        found, needed = tuple(tensor.shape), tuple(wanted[name].shape)
        refuse(found != needed, f"{path}: {name} has shape {found}, {type(module).__name__} needs {needed}")
        refuse(
            tensor.is_floating_point() != wanted[name].is_floating_point(),
            f"{path}: {name} holds {tensor.dtype}, {type(module).__name__} needs {wanted[name].dtype}",
        )
        refuse(not torch.isfinite(tensor).all(), f"{path}: {name} holds values that are not finite")
    wanted.update(tensors)  # it also says which version of its layers it is of, as some networks ask
    module.load_state_dict(wanted)


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _few(names: list[str]) -> str:
    return f"{names[:4]} and {len(names) - 4} more" if len(names) > 5 else str(names)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    tensors = read_pickled(path, "a weight file")
    if isinstance(tensors, dict) and "state_dict" in tensors:
        tensors = tensors["state_dict"]
    refuse(
        not isinstance(tensors, dict)
        or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()),
        f"{path}: not a state_dict of tensors",
    )
    return dict(tensors)
