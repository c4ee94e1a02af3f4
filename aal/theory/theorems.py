"""Theorems 1 and 2 of paper *noise*: with how many samples uniform label noise makes a classifier vulnerable, and how.

Both take a finite cover: balls of radius rho whose points all have one true label, each with a probability mass of at
least ``mass / balls`` (the theorems' c2 / |zeta|), together at least c1. A classifier that fits a training set with
noisy labels then has, with a probability of at least ``1 - failure``, an adversarial risk of at least c1 at
:func:`attack_radius`, if there are :func:`required_samples`.

The theorems say that a label is *right* with probability eta, but their proof, and the number of samples, use eta as
the rate of *wrong* labels. Here ``noise`` is that rate.
"""

import math

import torch
from torch import Tensor

from aal.checks import at_least, positive, probability, refuse
from aal.errors import UserError

DRAWS = 2**22  # held at once by a simulation


def required_samples(balls: int, noise: float, mass: float, failure: float) -> int:
    """Return the least whole ``n >= balls / (noise mass) log(balls / failure)`` (Theorems 1 and 2).

    Args:
        balls: Balls of the cover, |zeta|.
        noise: Share of labels that are wrong, in (0, 1].
        mass: The cover's c2, in (0, 1]: every ball has a mass of at least ``mass / balls``.
        failure: The theorems' delta, in (0, 1).

    Raises:
        UserError: A number outside its range; more samples than a float can hold.
    """
    _check_cover(balls, noise, mass)
    refuse(not 0 < failure < 1, f"failure: must be above 0 and below 1, got {failure}")
    try:
        return math.ceil(balls / (noise * mass) * math.log(balls / failure))
    except (OverflowError, ZeroDivisionError):
        raise UserError(f"noise: {noise} asks for more samples than can be counted") from None


def attack_radius(rho: float, *, margin: float = 0.0, lipschitz: float = math.inf) -> float:
    """Return the radius from which on an attack succeeds anywhere in a ball with a mislabelled training point.

    That is 2 rho in Theorem 1, for any classifier that fits the point, and ``2 rho - margin / lipschitz`` in Theorem 2.
    There, the printed proof uses tau for the distance to the nearest point of another predicted class and for its lower
    bound. The bound holds: as the two largest probabilities become equal their L1 distance from before is at least the
    margin, and a distance d changes them by at most ``lipschitz d``. At exactly that distance the two classes may tie,
    so the attack succeeds at every larger radius. A result of 0 says that the ball is misclassified without an attack.

    Args:
        rho: Radius of the balls, above 0.
        margin: The theorem's chi: least difference of the largest and the second largest probability at training
            points, from 0 to 1.
        lipschitz: The theorem's kappa, above 0: how much the probabilities change in L1 for a unit of distance, at
            most; infinite for any classifier.

    Raises:
        UserError: A number outside its range.
    """
    positive({"rho": rho})
    probability({"margin": margin})
    refuse(not lipschitz > 0, f"lipschitz: must be above 0, got {lipschitz}")
    return max(0.0, 2 * rho - margin / lipschitz)


def chance_bound(n: int, balls: int, noise: float, mass: float) -> float:
    """Return the proof's lower bound of the probability that every ball holds a mislabelled point, at least 0.

    It is ``1 - balls (1 - noise mass / balls)**n`` and at least ``1 - failure`` from :func:`required_samples` on.

    Args:
        n: Training points, 0 or more.
        balls: Balls of the cover.
        noise: Share of labels that are wrong, in (0, 1].
        mass: The cover's c2, in (0, 1].

    Raises:
        UserError: A number outside its range.
    """
    _check_cover(balls, noise, mass)
    at_least(0, {"n": n})
    return max(0.0, 1 - balls * (1 - noise * mass / balls) ** n)


def simulate(masses: Tensor, noise: float, n: int, trials: int, generator: torch.Generator) -> float:
    """Estimate the probability that each of some disjoint balls holds a mislabelled one of ``n`` training points.

    Args:
        masses: Probability mass of each ball ``(Z,)``, above 0, their sum at most 1.
        noise: Share of labels that are wrong, in (0, 1].
        n: Training points, at least 1.
        trials: Training sets to draw, at least 1; memory does not depend on it.
        generator: The only source of randomness.

    Raises:
        UserError: A number outside its range.
    """
    at_least(1, {"n": n, "trials": trials})
    wrong = masses.ndim != 1 or not len(masses) or not (masses > 0).all() or masses.double().sum() > 1 + 1e-9
    refuse(bool(wrong), f"masses: must be above 0 and sum to at most 1, got {masses.tolist()}")
    _check_cover(len(masses), noise, 1.0)
    # a draw below ends[z] is a mislabelled point in ball z, or in one before
    ends = (masses.double() * noise).cumsum(0)
    full = 0
    for first in range(0, trials, block := max(1, DRAWS // n)):
        draws = torch.rand(min(block, trials - first), n, generator=generator, dtype=torch.float64)
        held = torch.zeros(len(draws), len(masses) + 1, dtype=torch.bool)
        held.scatter_(1, torch.searchsorted(ends, draws, right=True), True)  # the last column: none of the balls
        full += int(held[:, :-1].all(1).sum())
    return full / trials


def cube_masses(centres: Tensor, rho: float, means: Tensor, variance: float) -> Tensor:
    """Return the mass of L-inf balls under a mixture of equally likely Gaussians, float64 ``(Z,)``.

    Args:
        centres: Centres of the balls ``(Z, d)``.
        rho: Their radius, above 0.
        means: Means of the Gaussians ``(M, d)``.
        variance: Variance of every element, above 0.

    Raises:
        UserError: A number outside its range.
    """
    positive({"rho": rho, "variance": variance})
    offsets, scale = (centres[:, None] - means[None]).double(), math.sqrt(variance)
    inside = torch.special.ndtr((offsets + rho) / scale) - torch.special.ndtr((offsets - rho) / scale)
    return torch.mean(inside.prod(2), 1)


def _check_cover(balls: int, noise: float, mass: float) -> None:
    at_least(1, {"balls": balls})
    positive({"noise": noise, "mass": mass})
    probability({"noise": noise, "mass": mass})
