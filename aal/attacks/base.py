"""The contract of every attack: a frozen dataclass of hyper-parameters, one pure call, and the hook that it calls."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from aal.attacks.norms import NORMS, Norm, but_l1
from aal.attacks.task import Task, attacking, check_samples, frozen
from aal.attacks.tensors import PerSample, column, divisor, gradient_of
from aal.checks import FROM_0, FROM_1, FROM_2, Checked, kind_of, or_none, refuse
from aal.errors import RunStopped

__all__ = [
    "FROM_0",
    "FROM_1",
    "FROM_2",
    "Adversarial",
    "Attack",
    "PerSample",
    "Task",
    "WarmStart",
    "WithinRadius",
    "attacking",
    "check_samples",
    "column",
    "divisor",
    "frozen",
    "gradient_of",
    "or_none",
]


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


class Attack(Checked, ABC):
    """The attacks. Each is a frozen, keyword-only dataclass of hyper-parameters that fills :meth:`attack`.

    Radii and step sizes are in the units of the samples.
    """

    @property
    def bounded(self) -> bool:
        """Whether what it makes stays within the data's range."""
        return True

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
    ) -> Adversarial:
        """Attack samples; the model and the caller's tensors are left as they were.

        Args:
            model: For attacks on classifiers a module from samples ``(B, ...)`` to logits ``(B, C)``, or to the logit
                of class 1 ``(B, 1)`` or ``(B,)``; for feature collisions one from samples to features ``(B, D)``.
            x: Samples ``(B, ...)`` within ``bounds``, floating point.
            y: Labels ``(B,)``; feature collisions do not depend on them.
            target: Classes to reach ``(B,)``; ``None``: any but the label. What feature collisions aim at, each says.
            bounds: The data's range (low, high); its ends may be infinite.
            seeds: int64 ``(B,)``, what each sample's randomness depends on, so that it gets the same answer alone as in
                a batch; ``None`` for its row.

        Returns:
            What the hook returns: see the attack's :meth:`attack`.

        Raises:
            UserError: An argument is not of this kind; a sample that is not is named by its row.
            RunStopped: The model's output is not finite; names the samples by their row.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            found = self.attack(task)
        return self._checked(task, found)

    def _checked(self, task: Task, found: Adversarial) -> Adversarial:
        """Return what the hook found; refuse what is not of the kind that it should be."""
        batch = tuple(task.rows.shape)
        wanted = {
            "x": {kind_of(task.x)},
            "success": {f"torch.bool {batch}"},
            "distance": {f"torch.{dtype} {batch}" for dtype in ("float32", "float64")} | {f"{task.x.dtype} {batch}"},
            "queries": {f"torch.int64 {batch}"},
        }
        own = type(self).__name__
        for name, kinds in wanted.items():
            given = kind_of(getattr(found, name, None))
            refuse(
                given not in kinds,
                f"{own} must return an Adversarial with {name} {min(kinds)}, not {given}",
                RunStopped,
            )
        inside = (found.x >= task.low) & (found.x <= task.high) if self.bounded else found.x == found.x
        bad = (~(inside & found.x.isfinite())).flatten(1).any(1).nonzero()[:, 0].tolist()
        if bad:
            where = f"in [{task.low}, {task.high}]" if self.bounded else "finite"
            raise RunStopped(f"{own} made of sample {bad[0]} one that is not {where}", bad)
        return replace(found, x=found.x.detach())

    @abstractmethod
    def attack(self, task: Task) -> Adversarial:
        """Attack the samples of a task: its arguments are checked, its model is frozen, gradients are enabled."""

    def check_shape(self, shape: tuple[int, ...]) -> None:  # most attacks take any
        """Refuse samples of a shape ``(...)``, without the batch, that the attack cannot take.

        Raises:
            UserError: Says what the attack needs.
        """


@dataclass(frozen=True, kw_only=True)
class WithinRadius(Attack):
    """The attacks that stay within a radius.

    Args:
        radius: Largest perturbation, in the units of the samples, at least 0.
        norm: Its norm: ``linf``, ``l2`` or, where the attack takes it, ``l1``.

    Raises:
        UserError: A negative ``radius``, another ``norm``.
    """

    radius: float = 8 / 255
    norm: str = "linf"
    ranges = Attack.ranges | {"radius": FROM_0, "norm": but_l1}

    @property
    def ball(self) -> Norm:
        """The norm's functions."""
        return NORMS[self.norm]

    def into_ball(self, task: Task, x: Tensor, origin: Tensor) -> Tensor:
        """Project ``x`` onto the ball around ``origin``, then onto the data's range, which moves nothing away from it.

        ``x`` ``(N, ...)`` is overwritten.
        """
        return self.ball.project(x.sub_(origin), self.radius).add_(origin).clamp_(task.low, task.high)


class WarmStart(WithinRadius):
    """The attacks that can be told where to begin."""

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        target: Tensor | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        seeds: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Adversarial:
        """Attack samples: arguments as of every :class:`Attack`, and ``start``.

        Args:
            model: A module from samples to logits.
            x: Samples ``(B, ...)``.
            y: Labels ``(B,)``.
            target: Classes to reach ``(B,)``.
            bounds: The data's range.
            seeds: int64 ``(B,)``.
            start: Points to begin with ``(B, ...)``, such as the result for a smaller radius; ``None``: the attack's
                own choice, which later tries have in any case.

        Returns:
            As of every attack.
        """
        with attacking(model, x, y, target=target, bounds=bounds, seeds=seeds) as task:
            task.start = start
            found = self.attack(task)
        return self._checked(task, found)
