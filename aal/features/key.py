"""The key of an encoded split: a digest of everything that its features depend on, to the last bit."""

import functools
import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from aal import __version__
from aal.data.samples import Samples

PLAIN = (type(None), bool, int, float, str)


def feature_key(
    samples: Samples, n: int, encoder: nn.Module, device: torch.device, batch_size: int, *others: object
) -> str:
    """Return the SHA-256 of what the features of samples depend on.

    That is: the samples as they are stored and how they are decoded; the encoder's weights and buffers, the attributes
    of it and of all its sub-modules (size, pooling, normalisation ...), whatever their names, and the source files of
    their classes; the batches, the device and the settings of torch that rounding depends on. An encoder that changes
    an attribute of its own while it runs therefore gets another key then.

    Args:
        samples: The samples.
        n: How many of them, from the first on, are encoded.
        encoder: The module that encodes them.
        device: Where it does.
        batch_size: Samples a batch.
        others: What else it depends on: an attack, for samples made by it.
    """
    description = _Description()
    how = {  # files may be called otherwise
        name: value for name, value in vars(samples).items() if name != "sources" and not isinstance(value, Tensor)
    }
    said = [
        [description.of(type(samples)), list(samples.bounds), description.of(how), description.of(samples.stored[:n])],
        description.of(encoder),
        *(description.of(other) for other in others),
        description.sources(),
        batch_size,
        _numerics(device),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _numerics(device: torch.device) -> list[object]:
    """Return what rounding depends on."""
    if device.type == "cuda":
        cudnn = (torch.backends.cudnn.version(), torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
        hardware: list[object] = [torch.cuda.get_device_name(device), torch.version.cuda, *cudnn]
    else:
        hardware = [torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
    hardware += [torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()]
    return [__version__, torch.__version__, device.type, *hardware]


class _Description:
    """Says what objects are in a form that JSON can write, equal for equal objects in any process."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._classes: set[type] = set()

    def of(self, value: Any) -> Any:  # noqa: ANN401 - whatever a module has among its attributes
        """Describe ``value``."""
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, Tensor):
            # as bytes, since numpy has no bfloat16
            content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            return [str(value.dtype), list(value.shape), hashlib.sha256(content.data).hexdigest()]
        if isinstance(value, np.ndarray):
            content = np.ascontiguousarray(value).view(np.uint8)
            return [str(value.dtype), list(value.shape), hashlib.sha256(content.data).hexdigest()]
        if isinstance(value, dict):
            return ["dict", [[self.of(name), self.of(entry)] for name, entry in value.items()]]
        if isinstance(value, list | tuple):
            return [type(value).__name__, [self.of(entry) for entry in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(json.dumps(self.of(entry)) for entry in value)]
        if isinstance(value, type):
            self._classes.add(value)
            return f"{value.__module__}.{value.__qualname__}"
        return self._object(value)

    def sources(self) -> list[list[str]]:
        """Return digests of the files that define the classes met so far; torch's go by its version."""
        files = {}
        for kind in {base for met in self._classes for base in met.__mro__}:
            if kind.__module__.partition(".")[0] in ("torch", "pytorch_lightning", "builtins"):
                continue
            try:
                path = inspect.getsourcefile(kind)
            except (TypeError, OSError):  # of an extension module, or typed in
                continue
            if path is not None and Path(path).is_file():
                files[kind.__module__] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return [list(pair) for pair in sorted(files.items())]

    def _object(self, value: Any) -> Any:  # noqa: ANN401
        """Describe an object by its class and attributes, a module also by its tensors and sub-modules."""
        if id(value) in self._seen:
            return ["seen", self._seen[id(value)]]
        self._seen[id(value)] = len(self._seen)
        name = self.of(type(value))
        if isinstance(value, nn.Module):
            return [name, self.of(_attributes(value))]
        if isinstance(value, functools.partial):
            return [name, self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if inspect.ismethod(value):
            return [name, self.of(value.__func__), self.of(value.__self__)]
        if inspect.isfunction(value):
            closure = [cell.cell_contents for cell in value.__closure__ or ()]
            code = hashlib.sha256(value.__code__.co_code).hexdigest()
            return [f"{value.__module__}.{value.__qualname__}", code, self.of(value.__defaults__), self.of(closure)]
        if hasattr(value, "__dict__"):
            return [name, self.of(vars(value))]
        said = repr(value)
        return [name] if " at 0x" in said else [name, said]  # an address differs in every process


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return all that a module has of its own: attributes, tensors, sub-modules and hooks, but not its mode."""
    bare = vars(pl.LightningModule() if isinstance(module, pl.LightningModule) else nn.Module())
    own = {name: value for name, value in vars(module).items() if name not in bare}
    parts = {name: dict(vars(module)[name]) for name in ("_parameters", "_buffers", "_modules")}
    # the number that a hook is filed under says only how many there were before it
    return own | parts | {name: list(vars(module)[name].values()) for name in ("_forward_pre_hooks", "_forward_hooks")}
