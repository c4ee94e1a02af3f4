"""YAMNet as Keras has it: random arrays under the published names, the file they are in, and what they compute."""

from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Arrays = dict[str, NDArray[np.float32]]
CHANNELS = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
STRIDES = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


def arrays(seed: int = 0) -> Arrays:
    """Return random arrays by their layer and their name, ``layer1/conv/kernel`` to ``logits/bias``."""
    draws = np.random.default_rng(seed)
    found: Arrays = {}

    def add(layer: str, kind: str, kernel: tuple[int, ...], outputs: int) -> None:
        fan = kernel[0] * kernel[1] * (1 if kind == "depthwise_kernel" else kernel[2])
        found[f"{layer}/{kind}"] = draws.normal(0, (2 / fan) ** 0.5, kernel)
        found[f"{layer}/bn/beta"] = draws.normal(0.1, 0.3, outputs)
        found[f"{layer}/bn/moving_mean"] = draws.normal(0, 0.3, outputs)
        found[f"{layer}/bn/moving_variance"] = draws.uniform(0.5, 1.5, outputs)

    add("layer1/conv", "kernel", (3, 3, 1, 32), 32)
    for layer in range(2, 15):
        inputs, outputs = CHANNELS[layer - 2 : layer]
        add(f"layer{layer}/depthwise_conv", "depthwise_kernel", (3, 3, inputs, 1), inputs)
        add(f"layer{layer}/pointwise_conv", "kernel", (1, 1, inputs, outputs), outputs)
    found["logits/kernel"] = draws.normal(0, 1 / 32, (1024, 521))
    found["logits/bias"] = draws.normal(0, 1, 521)
    return {name: array.astype(np.float32) for name, array in found.items()}


def save(found: Arrays, path: Path) -> None:
    """Write ``yamnet.h5`` as Keras 2 does: a group a layer, in it arrays whose names repeat the layer's."""
    with h5py.File(path, "w") as file:
        layers = [name.rpartition("/")[0] for name in found]
        file.attrs["layer_names"] = [layer.encode() for layer in dict.fromkeys(layers)]
        file.attrs["backend"] = b"tensorflow"
        for layer, (name, array) in zip(layers, found.items(), strict=True):
            file.require_group(layer).create_dataset(f"{name}:0", data=array)


def embed(found: Arrays, patches: Tensor, activation: str) -> Tensor:
    """Map log-mel patches ``(N, 96, 64)`` to embeddings ``(N, 1024)``, float64, batch norms in their place."""
    rectify = {"relu": F.relu, "relu6": F.relu6}[activation]
    weights = {name: torch.tensor(array, dtype=torch.float64) for name, array in found.items()}

    def block(x: Tensor, layer: str, kernel: Tensor, stride: int, groups: int) -> Tensor:
        x = F.conv2d(same(x, kernel.shape[-1], stride), kernel, stride=stride, groups=groups)
        mean, variance, beta = (weights[f"{layer}/bn/{name}"] for name in ("moving_mean", "moving_variance", "beta"))
        return rectify(F.batch_norm(x, mean, variance, bias=beta, eps=1e-4))

    x = block(patches[:, None].double(), "layer1/conv", weights["layer1/conv/kernel"].permute(3, 2, 0, 1), 2, 1)
    for layer in range(2, 15):
        name = f"layer{layer}/depthwise_conv"
        x = block(
            x, name, weights[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1), STRIDES[layer - 1], CHANNELS[layer - 2]
        )
        name = f"layer{layer}/pointwise_conv"
        x = block(x, name, weights[f"{name}/kernel"].permute(3, 2, 0, 1), 1, 1)
    return x.mean((2, 3))


def same(x: Tensor, window: int, stride: int) -> Tensor:
    """Pad as TensorFlow's "same": as many outputs as strides begun, the odd zero after."""
    pads: list[int] = []
    for size in reversed(x.shape[2:]):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)
