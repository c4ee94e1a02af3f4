"""The densities of paper *shadow*, section 3, that lean to the decision boundary, and draws of them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from aal.checks import FROM_0, FROM_1, Checked, at_least, positive, refuse
from aal.theory.regression_functions import RegressionFunction, weight_of

PROPOSALS = 2**16  # drawn at once
RAREST = 1e-4  # least share of proposals that may be accepted


@dataclass(frozen=True, kw_only=True)
class BoundaryDensity(Checked):
    """``mu(x) = C_beta / max(|eta(x) - 1/2|, floor)**beta`` on the unit cube, zero elsewhere.

    The paper's density has no floor. It then is a density only for beta below 1 (its own remark says so of a plane):
    from 1 on the integral of ``1 / u**beta`` down to 0 is infinite. With a floor there is one for every beta, and
    from 1 on most of its mass lies where the floor says.

    Args:
        eta: The regression function.
        beta: The paper's beta, 0 or more; 0 is the uniform density.
        floor: Least ``|eta - 1/2|`` that counts, above 0.
        dimensions: Number d of a point's elements.

    Raises:
        UserError: A number outside its range; fewer dimensions than ``eta`` needs; a density so steep that fewer than
            one in ten thousand points would be accepted.
    """

    eta: RegressionFunction
    beta: float = 0.0
    floor: float = 0.01
    dimensions: int = 2

    ranges = Checked.ranges | {"beta": FROM_0, "floor": positive, "dimensions": FROM_1}

    def __post_init__(self) -> None:
        """Refuse values outside their range, and what could not be drawn in reasonable time."""
        super().__post_init__()
        name = type(self.eta).__name__
        refuse(
            self.dimensions < self.eta.least,
            f"dimensions: {name} needs at least {self.eta.least}, got {self.dimensions}",
        )
        refuse(self.floor > 0.5, f"floor: must be at most 0.5, the most that eta is from 1/2, got {self.floor}")
        refuse(
            self.beta and self.acceptance < RAREST,
            f"floor: with beta {self.beta:g} a floor of {self.floor:g} accepts fewer than one point in "
            f"{1 / RAREST:,.0f}; take a larger floor",
        )

    @cached_property
    def constant(self) -> float:
        """The paper's C_beta, which makes the density integrate to 1."""
        return 1 / self.eta.mean_weight(self.beta, self.floor) if self.beta else 1.0

    @property
    def acceptance(self) -> float:
        """Share of uniform points that rejection accepts: the mean of the density over its largest value."""
        return float(self.floor**self.beta) / self.constant

    def __call__(self, x: Tensor) -> Tensor:
        """Return the density ``(B,)`` at points of the cube ``(B, d)``, in float64."""
        return self.constant * weight_of(self.eta(x), self.beta, self.floor)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` independent points ``(n, d)``, exactly: uniform ones by rejection.

        A uniform point stays with a chance of its density over the largest one, ``(floor / max(|eta - 1/2|,
        floor))**beta``. The first points of a larger draw are those of a smaller one with the same generator.

        Raises:
            UserError: ``n`` below 1.
        """
        at_least(1, {"n": n})
        kept: list[Tensor] = []
        while (missing := n - sum(map(len, kept))) > 0:
            x = torch.rand(PROPOSALS, self.dimensions, generator=generator, dtype=torch.float64)
            if self.beta:
                chance = self.floor**self.beta * weight_of(self.eta(x), self.beta, self.floor)
                x = x[torch.rand(PROPOSALS, generator=generator, dtype=torch.float64) < chance]
            kept.append(x[:missing])
        return torch.cat(kept)
