"""Models and attacks whose answers are known."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aal.attacks import PGD, Adversarial, Attack
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
class Recorded(Attack):
    """Does what ``move`` says, and lets ``seen`` see each call.

    Args:
        move: Takes samples, labels, target and this attack; returns the attacked samples.
        seen: Takes the samples, and where the attack starts.
        radius: What curves vary.
    """

    move: Callable[[Tensor, Tensor, Tensor | None, "Recorded"], Tensor]
    seen: Callable[[Tensor, Tensor | None], object] = lambda x, start: None
    radius: float = 1.0

    def __repr__(self) -> str:  # functions have addresses
        return f"Recorded(radius={self.radius})"

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
        self.seen(x.clone(), None if start is None else start.clone())
        moved = self.move(x, y, target, self)
        distance = (moved - x).flatten(1).abs().amax(1)
        return Adversarial(moved, torch.zeros_like(y, dtype=torch.bool), distance, torch.ones_like(y))


@dataclass(frozen=True, kw_only=True)
class WatchedPGD(PGD):
    """PGD that lets ``watch`` see the samples of each call."""

    watch: Callable[[Tensor], object] = field(repr=False, compare=False)

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
        self.watch(x)
        return super().__call__(model, x, y, target=target, bounds=bounds, seeds=seeds, start=start)


@dataclass(frozen=True, kw_only=True)
class Cascade(Attack):
    """Attacks, one after another."""

    attacks: tuple[Attack, ...]
