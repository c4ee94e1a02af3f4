"""One call of an attack: its arguments, checked, and the model as attacks see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn

from aal.attacks.folding import folded
from aal.errors import RunStopped, UserError


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
    """One call of an attack: its arguments, checked, and the model.

    Attributes:
        model: The model, in eval mode, without gradients to its parameters.
        x: The samples ``(B, ...)`` as they were given, in no autograd graph.
        y: The labels ``(B,)`` as they were given.
        target: What to aim at, as it was given.
        start: Where to begin ``(B, ...)``, for attacks that can be told to.
        low: The lower end of the bounds.
        high: The upper end of the bounds.
        seeds: int64 ``(B,)``; where none were given, each sample's row.
        rows: The row of every sample ``(B,)``, 0 to B - 1.
        named: What the rows are called in messages ``(B,)``: they themselves, but in a part of another task.
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
        self.model, self.y, self.target, self._sigmoid = model, y, target, sigmoid
        self.x = x.detach().clone()
        self.start: Tensor | None = None
        self.low, self.high = bounds
        self.rows = self.named = torch.arange(len(x), device=x.device)
        self.seeds = self.rows if seeds is None else self._whole("seeds", seeds)
        self._finite = x.new_zeros(len(x))  # NaN where an output was not finite
        self._classes: int | None = None
        check_samples(self.x, bounds)

    @property
    def targeted(self) -> bool:
        """Whether there are targets."""
        return self.target is not None

    @cached_property
    def labels(self) -> Tensor:
        """The classes ``(B,)`` to reach where ``targeted``, else to leave; a feature collision does not ask."""
        y = self._whole("y", self.y)
        return y if self.target is None else self._whole("target", self.target)

    def part(self, rows: Tensor) -> "Task":
        """Return a task of the samples ``rows`` ``(N,)`` alone, whose rows are 0 to N - 1."""
        target = None if self.target is None else self.labels[rows]
        bounds = self.low, self.high
        part = Task(self.model, self._sigmoid, self.x[rows], self.labels[rows], target, bounds, self.seeds[rows])
        part.named = self.named[rows]
        return part

    def logits(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Map samples to logits ``(N, C)`` with at least two classes C.

        Args:
            x: Samples ``(N, ...)``.
            rows: The row ``(N,)`` of the call's batch that each comes from; ``None`` for all rows in order.

        Returns:
            The model's logits. Those of a model with a single output z, the logit of class 1, are ``(0, z)``; where the
            model ends in an ``nn.Sigmoid``, z is what goes into it, so that nothing saturates.
        """
        outputs: Tensor = self.model(x).to(x.dtype)  # autocast gives half precision, too coarse for margins
        if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
            z = self._before_sigmoid(outputs).reshape(-1, 1)
            outputs = torch.cat([torch.zeros_like(z), z], dim=1)
        if outputs.ndim != 2 or len(outputs) != len(x):
            raise UserError(f"model: must map {len(x)} samples to logits ({len(x)}, C), not {tuple(outputs.shape)}")
        self._note_nan(outputs.detach(), rows)
        if self._classes is None:
            self._check_classes(outputs.shape[1])
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
            rows = self.named[wrong].tolist()
            raise RunStopped(f"the model's output is not finite for samples {rows}", rows)

    def _whole(self, name: str, numbers: Tensor) -> Tensor:
        size = len(self.x)
        if numbers.shape != (size,) or numbers.is_floating_point():
            raise UserError(f"{name}: must be {size} whole numbers, not {tuple(numbers.shape)}, {numbers.dtype}")
        return numbers.to(self.x.device, torch.int64)

    def _check_classes(self, classes: int) -> None:
        """Refuse labels that are no class of the model; it waits for the device, but only once."""
        bad = (self.labels < 0) | (self.labels >= classes)
        if bad.any():
            row = int(bad.nonzero()[0])
            name = "target" if self.targeted else "y"
            raise UserError(
                f"{name}: sample {row} has class {int(self.labels[row])}, but the model has {classes}", [row]
            )
        self._classes = classes

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
    """Check the arguments of an attack and freeze the model while it is attacked; they are those of an attack's call.

    Gradients are enabled inside, whatever the caller's mode.

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
