"""Theorems 3.2 and 3.3 of paper *shadow*: how far kernel and RKHS estimates of eta may be off.

How the paper's formulas are read, and what in them is misprinted: :mod:`aal.theory.correct_sets`.
"""

import math

import torch
from torch import Tensor

from aal.checks import at_least, one_of, positive

READINGS = ("printed", "proof")


def kernel_bound(
    density: Tensor, *, n: int, bandwidth: float, dimensions: int, lipschitz: float, constant: float | None = None
) -> Tensor:
    """Return the bound of Theorem 3.2 ``(B,)``: ``h L + 2 log(n)**2 / (C n h**d mu(x) - log(n)**2)``.

    Args:
        density: mu at the points ``(B,)``.
        n: Training points, at least 1.
        bandwidth: The paper's h, above 0.
        dimensions: The paper's d, at least 1.
        lipschitz: L_eta, above 0.
        constant: The paper's C, above 0; ``None`` for :func:`cone_integral`.

    Returns:
        The bound; infinite where its denominator is not above 0.

    Raises:
        UserError: A number outside its range.
    """
    _check_kernel(n, bandwidth, dimensions, lipschitz)
    t, inside = _deviations(density, n, bandwidth, dimensions, constant)
    return bandwidth * lipschitz + torch.where(inside > 0, 2 * t / inside, math.inf)


def rkhs_bound(
    density: Tensor,
    *,
    n: int,
    bandwidth: float,
    ridge: float,
    dimensions: int,
    lipschitz: float,
    constant: float | None = None,
    norm: float = 1.0,
    reading: str = "printed",
) -> Tensor:
    """Return the bound of Theorem 3.3 ``(B,)``.

    As printed it is ``2 t / (C n h**d mu(x) - t) + L h + norm / (h (C n h**d - t)) sqrt(n / ridge)``. The proof's steps
    give ``2 t / (C n h**d mu(x) - t) + L h sqrt(n / ridge) + ridge norm / (h (C n h**d mu(x) - t)) sqrt(n / ridge)``.

    Args:
        density: mu at the points ``(B,)``.
        n: Training points, at least 1.
        bandwidth: The paper's h, above 0: of the test function ``f_{x,h}``, not of the kernel.
        ridge: The paper's lambda_n, above 0.
        dimensions: The paper's d, at least 1.
        lipschitz: The paper's L, above 0: as printed that of the estimate, in the proof that of a function with norm 1.
        constant: The paper's C of the sum over a ball, above 0; ``None`` for :func:`cone_integral`.
        norm: The paper's C of ``|f_{x,h}| <= C / h``, above 0.
        reading: ``printed`` or ``proof``.

    Returns:
        The bound; infinite where a denominator is not above 0.

    Raises:
        UserError: A number outside its range.
    """
    _check_kernel(n, bandwidth, dimensions, lipschitz)
    positive({"ridge": ridge, "norm": norm})
    one_of(READINGS, {"reading": reading})
    t, inside = _deviations(density, n, bandwidth, dimensions, constant)
    _, uniform = _deviations(torch.ones_like(density), n, bandwidth, dimensions, constant)
    size = math.sqrt(n / ridge)
    printed = reading == "printed"
    below, slope, pull = (uniform, 1.0, norm * size) if printed else (inside, size, ridge * norm * size)
    bound = 2 * t / inside + lipschitz * bandwidth * slope + pull / (bandwidth * below)
    return torch.where((inside > 0) & (below > 0), bound, math.inf)


def cone_integral(dimensions: int) -> float:
    """Return the integral of the kernel ``max(0, 1 - |u|)``: a ``1 / (d + 1)`` of the unit ball's volume.

    It is supported in the unit ball and has the Lipschitz constant 1, as Theorem 3.2 asks.
    """
    ball: float = math.pi ** (dimensions / 2) / math.gamma(dimensions / 2 + 1)
    return ball / (dimensions + 1)


def hoeffding_failure(n: int) -> float:
    """Return ``2 exp(-2 n t**2)`` at the ``t = log(n)**2 / n`` of Theorem 3.2's proof: a chance that is to go to 0.

    It goes to 2: the bound says nothing, and less the more training points there are.

    Raises:
        UserError: ``n`` below 1.
    """
    at_least(1, {"n": n})
    return 2 * math.exp(-2 * math.log(n) ** 4 / n)


def _deviations(
    density: Tensor, n: int, bandwidth: float, dimensions: int, constant: float | None
) -> tuple[float, Tensor]:
    """Return ``log(n)**2``, and ``C n h**d mu(x) - log(n)**2`` at each point ``(B,)``."""
    if constant is not None:
        positive({"constant": constant})
    t = math.log(n) ** 2
    scale = (cone_integral(dimensions) if constant is None else constant) * n * bandwidth**dimensions
    return t, scale * density.double() - t


def _check_kernel(n: int, bandwidth: float, dimensions: int, lipschitz: float) -> None:
    at_least(1, {"n": n, "dimensions": dimensions})
    positive({"bandwidth": bandwidth, "lipschitz": lipschitz})
