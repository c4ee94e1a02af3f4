"""The contract of every attack: a frozen dataclass of hyper-parameters and one pure call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn


class Attack:
    """Marks the attacks. Each is a frozen, keyword-only dataclass with one pure call.

    ``attack(model, x, y, *, target=None, bounds=(0.0, 1.0), seeds=None) -> Adversarial``: ``x`` is ``(B, ...)`` within
    ``bounds``, ``y`` the labels ``(B,)``, ``target`` what the attack aims at, ``seeds`` int64 ``(B,)``, one a sample,
    so that a sample gets the same answer alone as in a batch. The model is left as it was found.
    """


@dataclass(frozen=True)
class Adversarial:
    """What an attack returns; every tensor has the batch ``B`` as its first dimension.

    Attributes:
        x: The attacked samples ``(B, ...)``, on the device and of the dtype of the input.
        success: Whether the attack's goal was reached, bool ``(B,)``.
        distance: Size of the perturbation in the attack's norm, in the units of ``x``, ``(B,)``.
        queries: Forward passes of the model that each sample took, int64 ``(B,)``.
        info: Further tensors ``(B, ...)`` by name.
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    queries: Tensor
    info: dict[str, Tensor] = field(default_factory=dict)


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
