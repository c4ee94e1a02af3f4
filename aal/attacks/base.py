"""The contract of every attack: a frozen dataclass of hyper-parameters and one pure call."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aal.attacks.folding import folded
from aal.errors import RunStopped, UserError


class Attack:
    """Marks the attacks. Each is a frozen, keyword-only dataclass with one pure call.

    ``attack(model, x, y, *, target=None, bounds=(0.0, 1.0), seeds=None) -> Adversarial``: ``x`` is ``(B, ...)`` within
    ``bounds``, ``y`` the labels ``(B,)``, ``target`` what the attack aims at, ``seeds`` int64 ``(B,)``, one a sample,
    so that a sample gets the same answer alone as in a batch. The model is left as it was found.

    What ``model`` is depends on the kind of attack: those on classifiers take a module from samples to logits, feature
    collisions one from samples to features. Radii and step sizes are in the units of ``x``.
    """

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape ``(...)``, without the batch, that the attack cannot take; most take any.

        Raises:
            UserError: Says what the attack needs.
        """


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


class Task:
    """One call of an attack on a classifier: its arguments, checked, and the model as a function to logits.

    Attributes:
        x: The samples ``(B, ...)`` as they were given, in no autograd graph.
        labels: The classes ``(B,)`` to reach where ``targeted``, else to leave.
        targeted: Whether there are targets.
        low: The lower end of the bounds.
        high: The upper end of the bounds.
        seeds: int64 ``(B,)``; where none were given, each sample's row.
        rows: The row of every sample ``(B,)``, 0 to B - 1.
    """

    def __init__(
        self,
        model: nn.Module,
        sigmoid: dict[str, Tensor],
        x: Tensor,
        y: Tensor,
        target: Tensor | None,
        bounds: tuple[float, float],
        seeds: Tensor | None,
    ) -> None:
        self._model, self._sigmoid = model, sigmoid
        for name, numbers in (("y", y), ("target", target), ("seeds", seeds)):
            if numbers is not None and (numbers.shape != (len(x),) or numbers.is_floating_point()):
                raise UserError(f"{name}: must be {len(x)} whole numbers, not {tuple(numbers.shape)}, {numbers.dtype}")
        self.x = x.detach().clone()
        self.low, self.high = bounds
        self.targeted = target is not None
        self.rows = torch.arange(len(x), device=x.device)
        self.labels = (y if target is None else target).to(x.device, torch.int64)
        self.seeds = self.rows if seeds is None else seeds.to(x.device, torch.int64)
        self._finite = x.new_zeros(len(x))  # NaN where an output was not finite
        check_samples(self.x, bounds)

    def logits(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Map samples to logits ``(N, C)`` with at least two classes C.

        Args:
            x: Samples ``(N, ...)``.
            rows: The row ``(N,)`` of the call's batch that each comes from; ``None`` for all rows in order.

        Returns:
            The model's logits. Those of a model with a single output z, the logit of class 1, are ``(0, z)``; where the
            model ends in an ``nn.Sigmoid``, z is what goes into it, so that nothing saturates.
        """
        outputs: Tensor = self._model(x).to(x.dtype)  # autocast gives half precision, too coarse for margins
        if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
            z = self._before_sigmoid(outputs).reshape(-1, 1)
            outputs = torch.cat([torch.zeros_like(z), z], dim=1)
        if outputs.ndim != 2 or len(outputs) != len(x):
            raise UserError(f"model: must map {len(x)} samples to logits ({len(x)}, C), not {tuple(outputs.shape)}")
        self._note_nan(outputs.detach(), rows)
        return outputs

    def reached(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Tell whether logits ``(N, C)`` fulfil the goal: the target is predicted, or the label is not; ``(N,)``."""
        predicted = logits.argmax(1)
        return predicted == labels if self.targeted else predicted != labels

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits ``(B, C)`` of samples ``(B, ...)``, all rows in order, without gradients."""
        with torch.no_grad():
            return self.logits(x)

    def refuse_nan(self) -> None:
        """Raise for what was met so far; waits for the device.

        Raises:
            RunStopped: Outputs of the model were not finite; the message names the samples by their row in the batch.
        """
        wrong = self._finite.isnan()
        if wrong.any():
            rows = self.rows[wrong].tolist()
            raise RunStopped(f"the model's output is not finite for samples {rows}", rows)

    def check_classes(self, classes: int) -> None:
        """Refuse labels that are no class of the model.

        Raises:
            UserError: Names the first such sample.
        """
        bad = (self.labels < 0) | (self.labels >= classes)
        if bad.any():
            row = int(bad.nonzero()[0])
            name = "target" if self.targeted else "y"
            raise UserError(
                f"{name}: sample {row} has class {int(self.labels[row])}, but the model has {classes}", [row]
            )

    def _before_sigmoid(self, outputs: Tensor) -> Tensor:
        """Return what went into the sigmoid that ``outputs``, or what they view, came from; else ``outputs``."""
        known = self._sigmoid.get("output")
        ends = known is not None and (outputs is known or outputs._base is known)
        return self._sigmoid["input"] if ends else outputs

    def _note_nan(self, outputs: Tensor, rows: Tensor | None) -> None:
        # Kept on the device, so that a step need not wait for it, and in few operations, for each costs as much as this
        # whole one. A sum is finite only if all its terms are, and only then 0 times the sum is 0.
        zeros = outputs.sum(1).mul_(0)
        if rows is None:
            self._finite += zeros
        else:
            self._finite.index_add_(0, rows, zeros)


@contextmanager
def attacking(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    target: Tensor | None,
    bounds: tuple[float, float],
    seeds: Tensor | None,
) -> Iterator[Task]:
    """Check the arguments of an attack on a classifier and freeze the model while it is attacked.

    Gradients are enabled inside, whatever the caller's mode.

    Args:
        model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to one logit ``(B, 1)`` or ``(B,)``.
        x: Samples ``(B, ...)`` within ``bounds``, floating point.
        y: Labels ``(B,)``, whole numbers.
        target: The classes ``(B,)`` to reach, or ``None``.
        bounds: The data's range (low, high); its ends may be infinite.
        seeds: int64 ``(B,)``, or ``None`` for each sample's row.

    Yields:
        The task.

    Raises:
        UserError: An argument is not of this kind; a sample that is not is named by its row.
        RunStopped: The model's output was not finite; names the samples by their row in the batch.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        frozen(model),
        folded(model),
        _sigmoids(model) as sigmoid,
    ):
        task = Task(model, sigmoid, x, y, target, bounds, seeds)
        yield task
        task.refuse_nan()


@contextmanager
def _sigmoids(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keep the last sigmoid's input and output of each pass of a model."""
    last: dict[str, Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        last.update(input=inputs[0], output=output)

    handles = [part.register_forward_hook(keep) for part in model.modules() if isinstance(part, nn.Sigmoid)]
    try:
        yield last
    finally:
        for handle in handles:
            handle.remove()


def check_samples(x: Tensor, bounds: tuple[float, float]) -> None:
    """Refuse samples that an attack cannot take.

    Args:
        x: Samples ``(B, ...)``.
        bounds: The data's range (low, high).

    Raises:
        UserError: ``bounds`` is empty, ``x`` has no samples or is not floating point, or samples are not
            finite or not within ``bounds``; these are named by their rows.
    """
    low, high = bounds
    if not low < high:
        raise UserError(f"bounds: must be (low, high) with low < high, not {bounds}")
    if len(x) == 0:
        raise UserError("x: the batch is empty")
    if not x.is_floating_point():
        raise UserError(f"x: must be floating point, not {x.dtype}")
    flat = x.flatten(1)
    finite = flat.isfinite().all(1)
    inside = (flat >= low).all(1) & (flat <= high).all(1)
    for fits, fault in ((finite, "are not finite"), (inside, f"are outside of bounds {bounds}")):
        if not fits.all():
            rows = (~fits).nonzero().squeeze(1).tolist()
            raise UserError(f"x: samples {rows} {fault}", rows)


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
