"""What collisions aim at and start from: the collision vector, and the choice of base instances."""

from pathlib import Path

import torch
from torch import Tensor

from aal.checks import argument, refuse
from aal.runs.files import read_tensors
from aal.seeds import generator as keyed

COLLISION_VECTORS = ("zero", "one", "mean")


def given_vector(mu: str, feature_size: int) -> Tensor | None:
    """Read the collision vector that a user gave as a file.

    Args:
        mu: One of ``COLLISION_VECTORS``, or a safetensors file that holds a tensor ``mu``.
        feature_size: Length D that the vector must have.

    Returns:
        The vector ``(D,)``, or ``None`` where ``mu`` is a name.

    Raises:
        UserError: ``mu`` is neither, or the file holds no finite vector of that length.
    """
    if mu in COLLISION_VECTORS:
        return None
    refuse(
        not str(mu).endswith(".safetensors"),
        f"mu: must be one of {', '.join(COLLISION_VECTORS)} or a .safetensors file, got {mu!r}",
    )
    with argument("mu"):
        vector = read_tensors(Path(mu)).get("mu", torch.empty(0))
    refuse(
        vector.shape != (feature_size,) or vector.is_complex() or not torch.isfinite(vector).all(),
        f"mu: {mu} must hold a finite, real tensor 'mu' of shape ({feature_size},)",
    )
    return vector


def collision_vector(mu: str, features: Tensor) -> Tensor:
    """Return a named collision vector ``(D,)`` (paper *collision*, section III.B.1).

    Args:
        mu: ``zero``, ``one``, or ``mean`` of the features.
        features: What the attacker's own samples are mapped to ``(N, D)``.
    """
    return features.mean(0) if mu == "mean" else torch.full_like(features[0], 1.0 if mu == "one" else 0.0)


def choose_bases(
    distances: Tensor, labels: Tensor, n: int, *, screen: bool, balance: bool, generator: torch.Generator
) -> Tensor:
    """Choose the base instances of the poisons (paper *collision*, section III.B.2).

    Args:
        distances: Distance of each candidate's features to the collision vector ``(N,)`` (Equation 3).
        labels: Its class ``(N,)``.
        n: How many to choose, at most N.
        screen: Whether the nearest are preferred; else, and among equally near ones, chance decides.
        balance: Whether every class gives equally many; what a class lacks the others make up for.
        generator: The only source of randomness.

    Returns:
        Distinct indices ``(n,)``.
    """
    order = torch.randperm(len(distances), generator=generator)
    if screen:
        order = order[distances[order].argsort(stable=True)]
    if balance:
        turn = torch.empty_like(order)  # a candidate's place within its class
        for label in labels.unique():
            members = order[labels[order] == label]
            turn[members] = torch.arange(len(members))
        order = order[torch.argsort(turn[order], stable=True)]
    return order[:n]


def draw_base_class(labels: Tensor, true_class: int, seed: int, target: int) -> int:
    """Draw the class of the bases for a target: with two classes it is the other.

    Args:
        labels: Classes of the samples that may be bases ``(N,)``, -1 for those that may not.
        true_class: The target's own class.
        seed: The run's seed.
        target: The target's index.

    Raises:
        UserError: There are samples of no other class.
    """
    classes = labels[(labels >= 0) & (labels != true_class)].unique()
    refuse(not len(classes), f"there are base instances of no class but the target's, {true_class}")
    return int(classes[torch.randint(len(classes), (), generator=keyed(seed, "base class", target))])
