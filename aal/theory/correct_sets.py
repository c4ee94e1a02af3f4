"""Theorems 3.1 to 3.3 of paper *shadow*: where k-NN, kernel and RKHS classifiers are sure to be the Bayes classifier.

Each theorem bounds how far an estimate of eta may be off at a point x; where ``|eta(x) - 1/2|`` is more, the
classifier is right. Here each function returns that bound ``(B,)`` at some points, or what it is made of;
:func:`correct` compares. A bound of infinity says nothing of its point. In all of them n is the number of training
points, d that of dimensions.

What the paper leaves open or misprints, and how it is read here:

- *C_0* (Theorem 3.1) stands for two things. In the set (3), and where it is defined, it is the deviation of the mean
  of k labels, :func:`deviation`. In ``delta_p`` its source (Chaudhuri and Dasgupta 2014) has a universal constant.
  ``universal`` is that constant; ``None`` takes the paper at its word and puts the deviation there. The
  theorem asks for ``|y| <= M_y`` and then forgets M_y, which is 1 for labels 0 and 1.
- "``|eta - 1/2|**(beta / d)`` is increasing as beta increases" (after Theorem 3.1): it decreases, since ``|eta -
  1/2|`` is below 1. C_beta is left out there: it falls as beta grows, so far from the boundary ``r_p`` grows.
- *L_mu* (Theorem 3.2) is the Lipschitz constant of eta, L_eta. *C* is the integral of the kernel, of which the proof
  says "in the order of"; by default it is that of the cone ``K(u) = max(0, 1 - |u|)``.
- Theorem 3.2 takes ``t = log(n)**2 / n`` where Hoeffding's inequality gives each event a chance of ``1 - 2 exp(-2 n
  t**2)``. As n grows ``n t**2`` goes to 0 and the bound of the failure to 2 (before it is multiplied by the size of
  the net), not to 0: the printed proof does not show "with probability that goes to 1". :func:`hoeffding_failure`
  says what is left of it.
- "``(log(n)**2 / (n h**d))**(1 / (1 + beta))``" (after Theorem 3.2): solving the theorem's own condition for ``|eta -
  1/2|`` gives the exponent ``1 / (1 - beta)``, for beta below 1, and so the rate ``(n / log(n)**2)**(-1 / (d + 1 -
  beta))``, which falls as beta grows. The printed one, with ``d + 1 + beta``, grows, and with it the region where
  nothing is said: as printed the text argues against its claim.
- Theorem 3.3: *t* is not defined; as in Theorem 3.2 it is ``log(n)**2`` here. *C* is both the constant of the
  assumption ``|f_{x,h}| <= C / h`` (``norm`` here) and that of the sum over a ball. The proof bounds ``eta_RKHS``
  between x and x_i by ``L |x - x_i|``, but the assumption gives ``L |eta_RKHS|_H |x - x_i|``, and the norm is only
  known to be at most ``sqrt(n / lambda)``; its first line drops the factor lambda of the inner product; the last term
  lost ``mu(x)``. As printed, a larger lambda is always better, though as it grows the estimate goes to 0.
  ``reading="proof"`` puts the three back. The last two terms are then together at least ``2 sqrt(L norm / (C h**d
  mu(x)))``, whatever n and lambda are: with the densities of the beta experiment and an h up to 1 that is above
  ``|eta - 1/2|`` at every point of the square, and the theorem names none at any n.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from aal.checks import at_least, at_least_or_none, positive, refuse
from aal.theory.mass_radii import Radii


def correct(eta: Tensor, bound: Tensor) -> Tensor:
    """Return whether ``|eta - 1/2|`` ``(B,)`` is more than a theorem's bound of the error there ``(B,)``, bool."""
    return (eta - 0.5).abs() > bound


def deviation(n: int, k: int, dimensions: int, failure: float) -> float:
    """Return the paper's C_0: how far the mean of the k nearest labels may be from its expectation, anywhere.

    It is ``sqrt((2 log 2 + log(n**(d + 1) + 1) - log(failure)) / (2 k))``.

    Args:
        n: Training points, at least 1.
        k: Neighbours, from 1 to n.
        dimensions: The paper's d, at least 1.
        failure: The paper's delta, above 0 and below 1; the theorem fails with a chance of at most twice that.

    Raises:
        UserError: A number outside its range.
    """
    _check_neighbours(n, k, dimensions, failure)
    balls = (dimensions + 1) * math.log(n)
    return math.sqrt((2 * math.log(2) + balls + math.log1p(math.exp(-balls)) - math.log(failure)) / (2 * k))


def mass_of_neighbours(n: int, k: int, dimensions: int, failure: float, universal: float | None = None) -> float:
    """Return ``p = k / n + delta_p``: every ball with so much of mu holds at least k of the n training points.

    ``delta_p = C / n (d log n + log(1 / failure) + sqrt(k (d log n + log(1 / failure))))``.

    Args:
        n: Training points, at least 1.
        k: Neighbours, from 1 to n.
        dimensions: The paper's d, at least 1.
        failure: The paper's delta, above 0 and below 1.
        universal: The constant C, 0 or more; ``None`` for the paper's C_0, :func:`deviation`.

    Raises:
        UserError: A number outside its range.
    """
    at_least_or_none(0, {"universal": universal})
    constant = deviation(n, k, dimensions, failure) if universal is None else universal
    _check_neighbours(n, k, dimensions, failure)
    spread = dimensions * math.log(n) - math.log(failure)
    return k / n + constant / n * (spread + math.sqrt(k * spread))


def knn_bound(
    radii: Radii,
    *,
    n: int,
    k: int,
    dimensions: int,
    lipschitz: float,
    holder: float = 1.0,
    failure: float = 0.05,
    universal: float | None = None,
) -> Tensor:
    """Return the bound of Theorem 3.1 ``(B,)``: ``L r_p(x)**holder + C_0``.

    Args:
        radii: r_p at the points.
        n: Training points.
        k: Neighbours.
        dimensions: The paper's d.
        lipschitz: The paper's L, above 0.
        holder: The paper's alpha, above 0 and at most 1.
        failure: The paper's delta.
        universal: See :func:`mass_of_neighbours`.

    Raises:
        UserError: A number outside its range.
    """
    positive({"lipschitz": lipschitz, "holder": holder})
    refuse(holder > 1, f"holder: must be at most 1, got {holder}")
    mass = mass_of_neighbours(n, k, dimensions, failure, universal)
    return lipschitz * radii.at(mass) ** holder + deviation(n, k, dimensions, failure)


def largest_set(eta: Tensor, bound: Callable[[float], Tensor], choices: Iterable[float]) -> tuple[float | None, Tensor]:
    """Return the choice of k or h with which a theorem is sure of most points, and which they are.

    Args:
        eta: The regression function at some points ``(B,)``.
        bound: The theorem's bound at them ``(B,)``, told k or h.
        choices: What to choose from.

    Returns:
        The first choice with most points, ``None`` where no choice has any; and whether each point is of the set
        ``(B,)``.
    """
    best, points = None, torch.zeros(len(eta), dtype=torch.bool)
    for choice in choices:
        found = correct(eta, bound(choice))
        if found.sum() > points.sum():
            best, points = choice, found
    return best, points


def neighbours_to_try(n: int, count: int = 100) -> list[int]:
    """Return at most ``count`` numbers k from 1 to ``n``, each about the same multiple of the one before."""
    tried = torch.logspace(0, math.log10(n), count, dtype=torch.float64).round().long().clamp(1, n)
    return [*dict.fromkeys(tried.tolist())]


def least_size(says: Callable[[int], bool], first: int = 1, most: int = 10**12) -> int | None:
    """Return the least n from ``first`` to ``most`` at which a theorem says anything; None where there is none.

    Args:
        says: Whether it does at n; if it does, then at every larger n.
        first: Where the search begins. Theorems 3.2 and 3.3 have a ``log(n)**2`` that is 0 at n = 1, and so name points
            at a few n again: ask them from 100 on.
        most: Where it ends.

    Raises:
        UserError: ``first`` below 1, or above ``most``.
    """
    at_least(1, {"first": first})
    at_least(first, {"most": most})
    low, high = first - 1, first
    while not says(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if says(middle) else (middle, high)
    return high


def _check_neighbours(n: int, k: int, dimensions: int, failure: float) -> None:
    at_least(1, {"n": n, "k": k, "dimensions": dimensions})
    refuse(k > n, f"k: must be at most n, {n}, got {k}")
    refuse(not 0 < failure < 1, f"failure: must be above 0 and below 1, got {failure}")
