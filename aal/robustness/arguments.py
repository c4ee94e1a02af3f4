"""What a robust evaluation takes: which samples, and what it refuses."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from aal.attacks import AdversarialPath, Attack
from aal.attacks.feature_collision import FeatureCollision
from aal.checks import at_least
from aal.errors import UserError
from aal.seeds import generator


def next_class(num_classes: int) -> dict[int, int]:
    """Return the map of each class to the next, of the last to the first (paper *noise*, section 4.3.3)."""
    return {label: (label + 1) % num_classes for label in range(num_classes)}


def check(
    attacks: Mapping[str, Attack], curves: Mapping[str, Sequence[float]], targets: Mapping[int, int] | None
) -> None:
    """Refuse attacks, curves and targets that :func:`evaluate` cannot take.

    Raises:
        UserError: Names the argument and what is wrong with it.
    """
    if not attacks:
        raise UserError("attacks: there must be at least one")
    refuse_others(attacks)
    own = ["natural", "samples", *(f"{name}_{kind}" for name in attacks for kind in ("distance", "not_target"))]
    for name in attacks:
        if name in own or not str(name).isidentifier():  # YAML has names that are numbers
            raise UserError(f"attacks: {name!r} cannot name a figure; take letters, then also digits and _")
    for name, radii in curves.items():
        if name not in attacks:
            raise UserError(f"curves: {name!r} is none of the attacks {', '.join(attacks)}")
        if getattr(attacks[name], "radius", None) is None:
            raise UserError(f"curves.{name}: {type(attacks[name]).__name__} has no radius")
        rising = all(first < second for first, second in pairwise([0.0, *radii]))
        if not radii or not rising or not math.isfinite(radii[-1]):
            raise UserError(f"curves.{name}: must be radii above 0, ascending, got {list(radii)}")
    for label, target in (targets or {}).items():
        if label == target or min(label, target) < 0:
            raise UserError(f"targets: must lead from a class to another, got {label} to {target}")


def refuse_others(attacks: Mapping[str, Attack]) -> None:
    """Refuse attacks that do not turn samples of a classifier into samples.

    Raises:
        UserError: Names the argument and what is wrong with it.
    """
    for name, attack in attacks.items():
        if isinstance(attack, FeatureCollision):
            raise UserError(f"attacks.{name}: collisions are made of features, they attack no classifier")
        if isinstance(attack, AdversarialPath) and not attack.clip:
            raise UserError(f"attacks.{name}: the path leaves the data's range, where no sample is; set clip: true")


def refuse_shape(attacks: Mapping[str, Attack], shape: tuple[int, ...], key: str = "attacks") -> None:
    """Refuse attacks that cannot take samples of a shape ``(...)``, without the batch.

    Raises:
        UserError: Names the argument and what the attack needs.
    """
    for name, attack in attacks.items():
        try:
            attack.check_shape(shape)
        except UserError as error:
            raise UserError(f"{key}.{name}: {error}") from None


def chosen(y: Tensor, targets: Mapping[int, int] | None, samples: int | None, seed: int) -> Tensor:
    """Return the indices that are evaluated, ascending: arguments as of :func:`evaluate`.

    Raises:
        UserError: There are none, or fewer than ``samples`` and no targets that leave classes out.
    """
    classes = y.cpu()
    wanted = classes if targets is None else torch.tensor(list(targets), dtype=classes.dtype)
    index = torch.isin(classes, wanted).nonzero().squeeze(1)
    if len(index) == 0:
        raise UserError("targets: there is no sample of these classes" if len(classes) else "y: there is no sample")
    if samples is None:
        return index
    at_least(1, {"samples": samples})
    if samples > len(classes):
        raise UserError(f"samples: {samples}, but there are {len(classes)} to evaluate")
    return index[torch.randperm(len(index), generator=generator(seed, "robust samples"))[:samples].sort().values]
