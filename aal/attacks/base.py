"""What attacks return, and what all of them ask of models and tensors."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Adversarial:
    """What an attack returns; every tensor has the batch ``B`` as its first dimension.

    Attributes:
        x: The attacked samples ``(B, ...)``, on the device and of the dtype of the input.
        success: Whether the attack's goal was reached, bool ``(B,)``: for a classifier, that the class predicted for
            ``x`` is the target, or without one is not the label.
        distance: Size of the perturbation in the attack's norm, in the units of ``x``, ``(B,)``.
        queries: Forward passes of the model that each sample took, int64 ``(B,)``.
        info: Further tensors ``(B, ...)`` by name.
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    queries: Tensor
    info: dict[str, Tensor] = field(default_factory=dict)


class PerSample:
    """A dataclass of tensors, each with one entry a sample: those of some samples are taken out and put back."""

    def take(self, rows: Tensor) -> Self:
        """Return the entries at ``rows`` ``(N,)``, or those that a mask marks."""
        return type(self)(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})  # type: ignore[arg-type]

    def put(self, rows: Tensor, entries: Self) -> None:
        """Set the entries at ``rows`` ``(N,)``."""
        for entry in fields(self):  # type: ignore[arg-type]  # the subclasses are dataclasses
            getattr(self, entry.name)[rows] = getattr(entries, entry.name)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode with no gradients to its parameters; afterwards everything is as before.

    A sub-module's own mode is restored, not the root's, and so is each parameter's ``requires_grad``.
    """
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.eval()
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, requires_grad in wanted.items():
            parameter.requires_grad_(requires_grad)


def gradient_of(outputs: Tensor, x: Tensor, weights: Tensor, *, again: bool = False) -> Tensor:
    """Return the gradient by ``x`` ``(N, ...)`` of the weighted sum of a model's outputs; it may be an expanded view.

    It is 0 where the model shows none because it does not compute by differentiable steps: attacks that take no
    gradient may still break it.

    Args:
        outputs: What the model made of ``x``, ``(N, ...)``.
        x: Points that require a gradient.
        weights: The weights, shaped like ``outputs``.
        again: Whether another gradient of the same outputs will be asked for.
    """
    if not outputs.requires_grad:
        return torch.zeros_like(x)
    gradient = torch.autograd.grad(outputs, x, weights, retain_graph=again, allow_unused=True)[0]
    return torch.zeros_like(x) if gradient is None else gradient


def column(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value a sample ``(B,)`` so that it multiplies ``x`` ``(B, ...)``."""
    return values.view(-1, *[1] * (x.ndim - 1))


def divisor(norms: Tensor) -> Tensor:
    """Keep norms ``(B,)`` of 0 from dividing: what they divide is 0 too, and stays 0."""
    return norms.clamp_min(torch.finfo(norms.dtype).tiny ** 0.5)


def dimensions(x: Tensor) -> int:
    """Return the number of elements of one sample of ``x`` ``(B, ...)``."""
    return math.prod(x.shape[1:])
