"""What the checks look at: a model with data, evaluated and attacked in batches, and what a check returns."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from aal.attacks import PGD, Adversarial
from aal.attacks.ascent import climbed
from aal.attacks.base import Task, attacking, check_samples, or_none
from aal.attacks.norms import NORMS, Norm, any_norm
from aal.checks import at_least, positive, refuse
from aal.errors import RunStopped

USUAL_RADIUS = 8 / 255  # of the data's range, for every element of a sample

T = TypeVar("T")
Status = Literal["passed", "warned", "failed"]
Case = tuple[bool, Status, str]


@dataclass(frozen=True)
class Verdict:
    """What one check found.

    Attributes:
        check: The check's name.
        status: ``passed``; ``warned`` where results must be read with care; ``failed`` where they mean nothing.
        meaning: One sentence: what was found, and what it means.
        figures: What it was judged by, by name.
    """

    check: str
    status: Status
    meaning: str
    figures: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Examinee:
    """A model and the samples to attack it on.

    The attacks here try to change the class that the model predicts, whether or not it is the true one.

    Args:
        model: A module from samples ``(B, ...)`` to logits ``(B, C)``, or to one logit ``(B, 1)`` or ``(B,)``.
        x: Natural samples ``(N, ...)``, floating point.
        y: Their labels ``(N,)``.
        bounds: The data's range (low, high) as it is declared; its ends may be infinite.
        norm: The attacks' norm: ``linf``, ``l2`` or ``l1``.
        chosen_radius: The attacks' radius in the units of ``x``; ``None`` for that of the ball around all points of
            which no element is further away than 8/255 of the data's range.
        seeds: int64 ``(N,)``, one a sample.
        batch_size: Samples in a batch.

    Raises:
        UserError: A value outside its range, another norm, samples that are not finite or without a label each.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    bounds: tuple[float, float]
    norm: str
    chosen_radius: float | None
    seeds: Tensor
    batch_size: int

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        any_norm({"norm": self.norm})
        at_least(1, {"batch_size": self.batch_size})
        or_none(positive)({"radius": self.chosen_radius})
        low, high = self.bounds
        refuse(not low < high, f"bounds: must be (low, high) with low < high, not {self.bounds}")
        refuse(
            self.y.is_floating_point() or not self.y.shape == self.seeds.shape == (len(self.x),),
            f"y and seeds: must be whole numbers, one for each of {len(self.x)} samples",
        )
        check_samples(self.x, (-math.inf, math.inf))  # those outside of the bounds are for a check to tell

    @property
    def ball(self) -> Norm:
        """The norm's functions."""
        return NORMS[self.norm]

    @cached_property
    def range(self) -> tuple[float, float]:
        """The declared bounds, widened to hold the data; the data's own where the bounds are infinite."""
        low, high = float(self.x.min()), float(self.x.max())
        declared = torch.tensor(self.bounds).isfinite().tolist()
        return (
            min(low, self.bounds[0]) if declared[0] else low,
            max(high, self.bounds[1]) if declared[1] else high,
        )

    @cached_property
    def whole(self) -> float:
        """The radius of a ball around any sample that holds the whole range."""
        return float(self.ball.size(torch.full_like(self.x[:1], self.range[1] - self.range[0])))

    @cached_property
    def radius(self) -> float:
        """The attacks' radius."""
        return self.whole * USUAL_RADIUS if self.chosen_radius is None else self.chosen_radius

    @cached_property
    def logits(self) -> Tensor:
        """The model's logits ``(N, C)`` of the natural samples."""
        return self.outputs(self.x)

    @cached_property
    def labels(self) -> Tensor:
        """The classes ``(N,)`` that the model predicts."""
        return self.logits.argmax(1)

    @cached_property
    def loss(self) -> Tensor:
        """What attacks climb, at the natural samples ``(N,)``: log-odds of not being what they are predicted as."""
        return climbed(self.logits, self.labels)

    def outputs(self, x: Tensor) -> Tensor:
        """Return the logits ``(M, C)`` of samples ``(M, ...)``, put into the range, in eval mode without gradients."""
        x = x.clamp(*self.range)  # what was computed may have been rounded out of it
        return torch.cat(
            self._map(lambda task: task.predict(task.x), x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        )

    def gradient(self, x: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor | None:
        """Return the gradient of a loss by the samples ``(N, ...)``, one near each of the natural ones.

        Args:
            x: Samples ``(N, ...)``.
            loss: Takes logits ``(B, C)`` and labels ``(B,)``, returns ``(B,)``.

        Returns:
            The gradient ``(N, ...)``, or ``None`` where autograd knows no way from the input to the output.
        """

        def by_input(task: Task) -> Tensor | None:
            leaf = task.x.requires_grad_()
            value = loss(task.logits(leaf), task.labels).sum()
            return torch.autograd.grad(value, leaf, allow_unused=True)[0] if value.requires_grad else None

        parts = [part for part in self._map(by_input, x, self.labels) if part is not None]
        return torch.cat(parts) if parts else None

    def attack(self, attack: PGD, x: Tensor | None = None, labels: Tensor | None = None) -> Adversarial:
        """Attack samples ``(M, ...)`` that the model gives the labels ``(M,)``, by default the natural ones."""
        x = self.x if x is None else x
        labels = self.labels if labels is None else labels
        parts = self._map(attack.attack, x, labels)
        columns = [(part.x, part.success, part.distance, part.queries, part.info["loss"]) for part in parts]
        moved, success, distance, queries, loss = map(torch.cat, zip(*columns, strict=True))
        return Adversarial(moved, success, distance, queries, {"loss": loss})

    def _map(self, function: Callable[[Task], T], x: Tensor, labels: Tensor) -> list[T]:
        results = []
        for rows in torch.arange(len(x), device=x.device).split(self.batch_size):
            call = attacking(self.model, x[rows], labels[rows], target=None, bounds=self.range, seeds=self.seeds[rows])
            with _counted_from(rows), call as task:
                results.append(function(task))
        return results


@contextmanager
def _counted_from(rows: Tensor) -> Iterator[None]:
    """Say where a batch's rows begin when one of them is named."""
    try:
        yield
    except RunStopped as error:
        first = int(rows[0])
        raise RunStopped(f"{error}, counted from sample {first}" if first else str(error)) from error


def share(of: Tensor) -> float:
    """Return the share of ``True`` in a bool tensor, 0 where it is empty."""
    return float(of.double().mean()) if len(of) else 0.0


def first_of(check: str, figures: dict[str, float], *cases: Case, sound: str) -> Verdict:
    """Return the verdict of the first case that holds, ``(whether, status, meaning)``; where none does, ``sound``."""
    _, status, meaning = next((case for case in cases if case[0]), (True, "passed", sound))
    return Verdict(check, status, meaning, figures)


def percent(value: float) -> str:
    """Write a share so that only all is 100 % and only none 0 %."""
    rounded = 100 * value if 0 < value < 0.01 or 0.99 < value < 1 else round(100 * value)
    return f"{rounded:.3g} %"
