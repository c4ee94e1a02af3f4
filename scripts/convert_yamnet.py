"""Convert YAMNet's published Keras weights, yamnet.h5, into the safetensors file that aal.networks.YAMNet loads.

The file is https://storage.googleapis.com/audioset/yamnet.h5, of tensorflow/models/research/audioset/yamnet. Reading it
needs h5py: pip install 'aal[keras]'. Batch norms are folded into the convolutions before them.
"""

import argparse
import hashlib
import io
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from aal.cli.exits import end_with
from aal.errors import UserError
from aal.networks.yamnet import shapes
from aal.runs.files import write_bytes

EPSILON = 1e-4  # of the published batch norms, which have no scale (gamma)

Array = NDArray[np.float64]


def published() -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of ``yamnet.h5`` by its name, without the groups around it."""
    found: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs, *window) in shapes().items():
        if name == "logits":
            found["logits/kernel"], found["logits/bias"] = (inputs, outputs), (outputs,)
            continue
        layer = _keras(name)
        if name.endswith("/depthwise"):
            found[f"{layer}/depthwise_kernel"] = (*window, outputs, 1)
        else:
            found[f"{layer}/kernel"] = (*window, inputs, outputs)
        found |= {f"{layer}/bn/{array}": (outputs,) for array in ("beta", "moving_mean", "moving_variance")}
    return found


def read(data: bytes, path: Path) -> dict[str, Array]:
    """Return the arrays of ``yamnet.h5`` as float64 by the names of :func:`published`.

    Keras writes an array into a group named like its layer, and the array's own name repeats the layer's, as in
    ``layer1/conv/layer1/conv/kernel:0``. How groups nest has changed between its versions; how names end has not.

    Args:
        data: The file's content.
        path: Its name, for what is said of it.

    Raises:
        UserError: The file is damaged or not HDF5, lacks an array or has it twice, has another one, or one of another
            shape or with values that make no sense.
    """
    try:
        import h5py
    except ImportError:
        raise UserError("reading yamnet.h5 needs h5py: pip install 'aal[keras]'") from None
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            found: list[str] = []
            file.visit(found.append)
            datasets = {name: file[name] for name in found if isinstance(file[name], h5py.Dataset)}
            names = _names(list(datasets), path)
            for name, shape in published().items():
                array = datasets[names[name]]
                if array.shape != shape or array.dtype.kind != "f":
                    raise UserError(
                        f"{path}: {name} is {array.dtype} of shape {array.shape}, YAMNet's {shape} of floats"
                    )
            arrays = {name: datasets[full_name][()].astype(np.float64) for name, full_name in names.items()}
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(f"{path}: truncated, or not an HDF5 file ({error})") from None
    for name, values in arrays.items():
        if not np.isfinite(values).all() or (name.endswith("variance") and (values < 0).any()):
            raise UserError(f"{path}: {name} holds values that are not finite, or variances below 0")
    return arrays


def _names(found: list[str], path: Path) -> dict[str, str]:
    """Return the full name in the file of each published array; all must be there once, and no others."""
    wanted = published()
    names, unexpected = dict[str, str](), list[str]()
    for full_name in found:
        parts = full_name.removesuffix(":0").split("/")
        ends = ("/".join(parts[k:]) for k in range(len(parts)))
        name = next((end for end in ends if end in wanted), None)
        if name is None or name in names:
            unexpected.append(full_name)
        else:
            names[name] = full_name
    missing = sorted(wanted.keys() - names.keys())
    if missing or unexpected:
        few = [", ".join(some[:3] + ["..."] * (len(some) > 3)) for some in (missing, unexpected)]
        raise UserError(
            f"{path}: not the weights of YAMNet: missing {len(missing)} ({few[0]}), "
            f"unexpected {len(unexpected)} ({few[1]})"
        )
    return names


def fold(arrays: dict[str, Array]) -> dict[str, torch.Tensor]:
    """Return kernels and biases, float32, as aal.networks.YAMNet names and shapes them; computed in float64."""
    tensors = {}
    for name in shapes():
        if name == "logits":
            kernel, bias = arrays["logits/kernel"].T, arrays["logits/bias"]
        else:
            layer = _keras(name)
            if name.endswith("/depthwise"):
                kernel = arrays[f"{layer}/depthwise_kernel"].transpose(2, 3, 0, 1)
            else:
                kernel = arrays[f"{layer}/kernel"].transpose(3, 2, 0, 1)
            scale = 1 / np.sqrt(arrays[f"{layer}/bn/moving_variance"] + EPSILON)
            kernel = kernel * scale[:, None, None, None]
            bias = arrays[f"{layer}/bn/beta"] - arrays[f"{layer}/bn/moving_mean"] * scale
        tensors[f"{name}/kernel"] = torch.tensor(np.ascontiguousarray(kernel), dtype=torch.float32)
        tensors[f"{name}/bias"] = torch.tensor(bias, dtype=torch.float32)
    return tensors


def main() -> int:
    """Read, fold and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="yamnet.h5")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    if arguments.out.suffix != ".safetensors":
        raise UserError(f"{arguments.out}: must end in .safetensors")
    try:
        data = arguments.source.read_bytes()
    except OSError as error:
        raise UserError(f"{arguments.source}: cannot be read ({error.strerror})") from None
    tensors = fold(read(data, arguments.source))
    metadata = {"activation": "relu", "source": arguments.source.name, "sha256": hashlib.sha256(data).hexdigest()}
    try:
        write_bytes(arguments.out, safetensors.torch.save(tensors, metadata))
    except OSError as error:
        raise UserError(f"{arguments.out}: cannot be written ({error.strerror})") from None
    print(f"{arguments.out}: {sum(tensor.numel() for tensor in tensors.values()):,} numbers in {len(tensors)} tensors")
    return 0


def _keras(name: str) -> str:
    """Return Keras's name of a convolution: ``layer2/depthwise_conv`` for ``layer2/depthwise``."""
    return name if name.endswith("/conv") else f"{name}_conv"


if __name__ == "__main__":
    end_with(main)
