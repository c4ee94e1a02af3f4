"""Radii of balls that hold a given mass of a distribution: the r_p of paper *shadow*, Theorem 3.1."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aal.checks import at_least, refuse

BLOCK = 2**22  # distances that are sorted at once


@dataclass(frozen=True)
class Radii:
    """The paper's r_p at some points: the least radius of a ball around each that holds a mass p of mu.

    Of a mu that is given by weighted points, such as the cells of a grid: :func:`radii_of`.

    Attributes:
        distances: From each centre to the points, ascending, ``(B, N)``.
        masses: What the points up to there weigh together ``(B, N)``.
    """

    distances: Tensor
    masses: Tensor

    def at(self, p: float) -> Tensor:
        """Return r_p ``(B,)`` in L2; infinite where all of mu is less than p."""
        # rounding of a sum may leave all of mu a little below 1
        wanted = torch.full((len(self.masses), 1), p * (1 - 1e-9), dtype=self.masses.dtype)
        places = torch.searchsorted(self.masses, wanted)
        last = self.masses.shape[1] - 1
        found = self.distances.gather(1, places.clamp_max(last))
        return torch.where(places > last, math.inf, found).squeeze(1)


def radii_of(centres: Tensor, points: Tensor, weights: Tensor) -> Radii:
    """Prepare r_p around centres ``(B, d)`` for a mu of points ``(N, d)`` with weights ``(N,)`` that sum to 1.

    A mu with a density on the cube is given by the centres of a grid's cells (:func:`grid`), each with the density's
    share; r_p is then known to the width of a cell. Memory grows with B N.

    Raises:
        UserError: Weights that are negative or do not sum to 1.
    """
    total = float(weights.sum())
    refuse(
        not bool((weights >= 0).all()) or abs(total - 1) > 1e-6, f"weights: must be at least 0 and sum to 1: {total}"
    )
    distances, masses = [], []
    for part in centres.double().split(max(1, BLOCK // len(points))):
        found, order = torch.cdist(part, points.double()).sort(dim=1)
        distances.append(found)
        masses.append(weights.double()[order].cumsum(1))
    return Radii(torch.cat(distances), torch.cat(masses))


def grid(cells: int, dimensions: int) -> Tensor:
    """Return the centres ``(cells**dimensions, dimensions)`` of the cells of a grid on the unit cube.

    Raises:
        UserError: No cell or no dimension.
    """
    at_least(1, {"cells": cells, "dimensions": dimensions})
    along = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    return torch.cartesian_prod(*[along] * dimensions).reshape(-1, dimensions)
