"""Regression functions eta that are known, on the unit cube: what the beta experiment of paper *shadow* draws from."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from aal.checks import Checked, positive, refuse

NODES = 4096  # of a quadrature along one axis
GRID = 1024  # nodes an axis where a function is integrated on the square
BLOCK = 2**14  # points that a function of many terms is evaluated at at once


class RegressionFunction(ABC):
    """The share eta(x) of class 1 at each point x of the unit cube, which paper *shadow* (section 2.3) takes as given.

    The Bayes classifier says 1 where eta is above 1/2, as Equation 2 does, and 0 elsewhere. A function depends on the
    first elements of a sample alone, however many it has.

    Attributes:
        least: Fewest elements that a sample may have.
        lipschitz: Largest slope of eta on the cube, in L2.
    """

    least: int
    lipschitz: float

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Map points ``(B, d)`` of the cube to eta ``(B,)``, from 0 to 1, in float64."""

    @abstractmethod
    def mean_weight(self, beta: float, floor: float) -> float:
        """Return the mean over the cube of ``max(|eta - 1/2|, floor)**-beta``, the inverse of the paper's C_beta."""

    def bayes(self, x: Tensor) -> Tensor:
        """Return the Bayes classifier's labels ``(B,)`` of points ``(B, d)``."""
        return (self(x) > 0.5).long()


@dataclass(frozen=True, kw_only=True)
class LinearEta(RegressionFunction):
    """``eta = x_1``: the boundary is the plane in the middle of the cube, and eta has the slope 1 everywhere."""

    least = 1
    lipschitz = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the first elements ``(B,)`` of points ``(B, d)``."""
        return x[:, 0].double()

    def mean_weight(self, beta: float, floor: float) -> float:
        """Return the mean in closed form."""
        return float(_swept(torch.tensor([-0.5, 0.5], dtype=torch.float64), beta, floor).diff())


@dataclass(frozen=True, kw_only=True)
class SineEta(Checked, RegressionFunction):
    """``eta = 1/2 + slope (x_2 - 1/2 - amplitude sin(2 pi waves x_1))``: the boundary is a sine.

    The slope is the largest that keeps eta from 0 to 1.

    Args:
        amplitude: Of the boundary, above 0 and below 1/2.
        waves: Its whole waves from one side of the square to the other, at least 1.

    Raises:
        UserError: A number outside its range.
    """

    amplitude: float = 0.25
    waves: int = 1

    least = 2
    ranges = Checked.ranges | {"amplitude": positive, "waves": positive}

    def __post_init__(self) -> None:
        """Refuse a boundary that leaves the square."""
        super().__post_init__()
        refuse(self.amplitude >= 0.5, f"amplitude: must be below 0.5, got {self.amplitude}")

    @property
    def slope(self) -> float:
        """Slope of eta along the second axis."""
        return 1 / (1 + 2 * self.amplitude)

    @property
    def lipschitz(self) -> float:  # type: ignore[override]
        """Largest slope, where the boundary is steepest."""
        return self.slope * math.hypot(1, 2 * math.pi * self.waves * self.amplitude)

    def __call__(self, x: Tensor) -> Tensor:
        """Return eta ``(B,)`` of points ``(B, d)``."""
        return 0.5 + self.slope * (x[:, 1].double() - self._boundary(x[:, 0].double()))

    def mean_weight(self, beta: float, floor: float) -> float:
        """Return the mean, in closed form along the second axis and by the midpoint rule along the first."""
        along = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
        ends = self.slope * (torch.tensor([0.0, 1.0], dtype=torch.float64) - self._boundary(along)[:, None])
        return float(_swept(ends, beta, floor).diff(dim=1).mean()) / self.slope

    def _boundary(self, along: Tensor) -> Tensor:
        return 0.5 + self.amplitude * torch.sin(2 * math.pi * self.waves * along)


@dataclass(frozen=True, kw_only=True)
class MoonsEta(Checked, RegressionFunction):
    """What scikit-learn's half moons with Gaussian noise, equally many of each, make of a label: smooth moons.

    The plane from (-1.5, -1) to (2.5, 1.5), which holds both, is the unit square. Of each moon ``arcs`` points stand
    for all.

    Args:
        noise: Standard deviation of the noise, in the moons' own units, at least 0.05.
        arcs: Points of each moon, at least 2.

    Raises:
        UserError: A number outside its range.
    """

    noise: float = 0.25
    arcs: int = 64

    least = 2
    low = (-1.5, -1.0)
    size = (4.0, 2.5)

    def __post_init__(self) -> None:
        """Refuse noise so small that the moons' densities are 0 in places, and moons of no length."""
        refuse(not 0.05 <= self.noise < math.inf, f"noise: must be at least 0.05, got {self.noise}")
        refuse(self.arcs < 2, f"arcs: must be at least 2, got {self.arcs}")

    @cached_property
    def moons(self) -> Tensor:
        """Points of the two moons ``(2, arcs, 2)``: class 0 is the upper one."""
        turn = math.pi * (torch.arange(self.arcs, dtype=torch.float64) + 0.5) / self.arcs
        upper = torch.stack([turn.cos(), turn.sin()], 1)
        return torch.stack([upper, torch.tensor([1.0, 0.5], dtype=torch.float64) - upper])

    @cached_property
    def lipschitz(self) -> float:  # type: ignore[override]
        """Largest slope between neighbours of a grid of GRID by GRID points: below the true one by some thousandths."""
        eta = self._on_grid
        return float(torch.hypot(eta.diff(dim=0)[:, :-1], eta.diff(dim=1)[:-1]).max()) * GRID

    def __call__(self, x: Tensor) -> Tensor:
        """Return eta ``(B,)`` of points ``(B, d)``."""
        return torch.cat([self._of_block(block) for block in x[:, :2].double().split(BLOCK)])

    def mean_weight(self, beta: float, floor: float) -> float:
        """Return the mean over a grid of GRID by GRID points."""
        return float(weight_of(self._on_grid, beta, floor).mean())

    @cached_property
    def _on_grid(self) -> Tensor:
        """Eta at the centres of the cells of a grid ``(GRID, GRID)``: the densities are products of the axes'."""
        along = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
        first, second = (
            torch.exp(
                -(along[None, :, None] * self.size[axis] + self.low[axis] - self.moons[:, None, :, axis]).square()
                / (2 * self.noise**2)
            )
            for axis in (0, 1)
        )
        densities = first @ second.mT
        return densities[1] / densities.sum(0)

    def _of_block(self, x: Tensor) -> Tensor:
        plane = x * torch.tensor(self.size).double() + torch.tensor(self.low).double()
        moons = self.moons.reshape(-1, 2)
        # of the squared distance that part which all points of the moons share makes no difference
        near = torch.addmm(-moons.square().sum(1) / 2, plane, moons.T) / self.noise**2
        return torch.softmax(torch.logsumexp(near.reshape(len(x), 2, -1), 2), 1)[:, 1]


ETAS = MappingProxyType({"linear": LinearEta(), "sine": SineEta(), "moons": MoonsEta()})
"""The functions of the beta experiment by name."""


def weight_of(eta: Tensor, beta: float, floor: float) -> Tensor:
    """Return ``max(|eta - 1/2|, floor)**-beta``, the paper's density but for its factor C_beta and for the floor."""
    weight: Tensor = (eta - 0.5).abs().clamp_min(floor) ** -beta
    return weight


def _swept(u: Tensor, beta: float, floor: float) -> Tensor:
    """Return the integral of ``max(|v|, floor)**-beta`` from v = 0 to each ``u``."""
    size = u.abs()
    inner = size.clamp_max(floor) * floor**-beta
    beyond = (size.clamp_min(floor) / floor).log()
    outer = beyond if beta == 1 else torch.expm1((1 - beta) * beyond) * floor ** (1 - beta) / (1 - beta)
    swept: Tensor = u.sign() * (inner + outer)
    return swept
