"""Models and attacks whose answers are known."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aal.attacks import PGD, Adversarial, Attack, Task
from aal.attacks.base import WarmStart
from aal.seeds import generator

WIDE = (-10.0, 10.0)


class Affine(nn.Module):
    """Two classes, class 1 where ``2 x0 - x1 + 0.5 > 0``: a sample falls at radius ``margin`` in L-inf, not below."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        f = x @ self.weight + 0.5
        return torch.stack([-f, f], dim=1)

    def margin(self, x: Tensor) -> Tensor:
        return ((x @ self.weight + 0.5).abs() / 3).detach()


class Places(nn.Module):
    """The class is the sample's first number."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.arange(classes, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, :1] - self.centres) ** 2)


def network() -> nn.Module:
    """Return a small network with dropout and batch norm, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))
    return layers.double()


def cloud(n: int, d: int) -> Tensor:
    return torch.rand(n, d, generator=generator(0, "cloud"), dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Recorded(WarmStart):
    """Does what ``move`` says, and lets ``seen`` see each call.

    Args:
        move: Takes samples, labels, target and this attack; returns the attacked samples.
        seen: Takes the samples, and where the attack starts.
        radius: What curves vary.
    """

    move: Callable[[Tensor, Tensor, Tensor | None, "Recorded"], Tensor]
    seen: Callable[[Tensor, Tensor | None], object] = lambda x, start: None
    radius: float = 1.0

    def __post_init__(self) -> None:
        pass  # the radius may be None here

    def __repr__(self) -> str:  # functions have addresses
        return f"Recorded(radius={self.radius})"

    def attack(self, task: Task) -> Adversarial:
        self.seen(task.x.clone(), None if task.start is None else task.start.clone())
        moved = self.move(task.x, task.y, task.target, self)
        distance = (moved - task.x).flatten(1).abs().amax(1)
        return Adversarial(moved, torch.zeros_like(task.y, dtype=torch.bool), distance, torch.ones_like(task.y))


@dataclass(frozen=True, kw_only=True)
class WatchedPGD(PGD):
    """PGD that lets ``watch`` see the samples of each call."""

    watch: Callable[[Tensor], object] = field(repr=False, compare=False)

    def attack(self, task: Task) -> Adversarial:
        self.watch(task.x)
        return super().attack(task)


@dataclass(frozen=True, kw_only=True)
class Cascade(Attack):
    """Attacks, one after another."""

    attacks: tuple[Attack, ...]

    def attack(self, task: Task) -> Adversarial:
        raise NotImplementedError("an evaluation calls them by themselves")
