"""One call of an attack: its arguments, checked, and the model as attacks see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn

from aal.attacks.folding import folded
from aal.checks import refuse
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
        model.requires_grad_(False)
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
        rounding: By how much each sample's margin may differ when it is computed again ``(B,)``, as far as is known.
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
        self.rounding = x.new_zeros(len(x))
        self._finite = x.new_zeros(len(x))  # NaN where an output was not finite
        self._checked = False  # the labels, against the model's classes
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
        part = Task(
            self.model,
            self._sigmoid,
            self.x[rows],
            self.labels[rows],
            None if self.target is None else self.labels[rows],
            (self.low, self.high),
            self.seeds[rows],
        )
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
        outputs: Tensor = self.model(x)
        refuse(not outputs.is_floating_point(), f"model: must return logits, floating point, not {outputs.dtype}")
        outputs = outputs.to(x.dtype)  # autocast gives half precision, too coarse for margins
        if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
            known = self._sigmoid.get("output")
            ends = known is not None and (outputs is known or outputs._base is known)
            if ends:  # which rounds 0.5 + z / 4
                self.rounding.clamp_min_(4 * torch.finfo(x.dtype).eps)
            z = (self._sigmoid["input"] if ends else outputs).reshape(-1, 1)
            outputs = torch.cat([torch.zeros_like(z), z], dim=1)
        refuse(
            outputs.ndim != 2 or len(outputs) != len(x),
            f"model: must map {len(x)} samples to logits ({len(x)}, C), not {tuple(outputs.shape)}",
        )
        # Kept on the device, so that a step need not wait for it, and in few operations, for each costs as much as this
        # whole one. A sum is finite only if all its terms are, and only then 0 times the sum is 0.
        self._finite.index_add_(0, self.rows if rows is None else rows, outputs.detach().sum(1).mul_(0))
        if not self._checked:
            self._check_classes(outputs.shape[1])
        return outputs

    def reached(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Tell whether logits ``(N, C)`` fulfil the goal: the target is predicted, or the label is not; ``(N,)``."""
        predicted = logits.argmax(1)
        return predicted == labels if self.targeted else predicted != labels

    def look(self, x: Tensor, rows: Tensor | None = None, *, slope: bool = True) -> tuple[Tensor, Tensor]:
        """Return points ``(N, ...)``, as leaves of a graph if there is to be a ``slope``, and their :meth:`logits`."""
        leaf = x.detach().requires_grad_(slope)
        with torch.set_grad_enabled(slope):
            return leaf, self.logits(leaf, rows)

    def predict(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the :meth:`logits` of points without gradients."""
        return self.look(x, rows, slope=False)[1]

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
        refuse(
            numbers.shape != (size,) or numbers.is_floating_point(),
            f"{name}: must be {size} whole numbers, not {tuple(numbers.shape)}, {numbers.dtype}",
        )
        return numbers.to(self.x.device, torch.int64)

    def _check_classes(self, classes: int) -> None:
        """Refuse labels that are no class of the model; it waits for the device, but only once."""
        bad = ((self.labels < 0) | (self.labels >= classes)).nonzero()
        if len(bad):
            row, name = int(bad[0]), "target" if self.targeted else "y"
            raise UserError(
                f"{name}: sample {row} has class {int(self.labels[row])}, but the model has {classes}", [row]
            )
        self._checked = True


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


def check_samples(x: Tensor, bounds: tuple[float, float], name: str = "x") -> None:
    """Refuse samples that an attack cannot take.

    Args:
        x: Samples ``(B, ...)``.
        bounds: The data's range (low, high).
        name: What the argument is called.

    Raises:
        UserError: ``bounds`` is empty, ``x`` has no samples or is not floating point, or samples are not
            finite or not within ``bounds``; these are named by their rows.
    """
    low, high = bounds
    refuse(not low < high, f"bounds: must be (low, high) with low < high, not {bounds}")
    refuse(len(x) == 0, f"{name}: the batch is empty")
    refuse(not x.is_floating_point(), f"{name}: must be floating point, not {x.dtype}")
    flat = x.flatten(1)
    finite = flat.isfinite().all(1)
    inside = (flat >= low).all(1) & (flat <= high).all(1)
    for fits, fault in ((finite, "are not finite"), (inside, f"are outside of bounds {bounds}")):
        if not fits.all():
            rows = (~fits).nonzero().squeeze(1).tolist()
            raise UserError(f"{name}: samples {rows} {fault}", rows)
