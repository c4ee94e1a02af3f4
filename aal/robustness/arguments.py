"""What a robust evaluation takes: which samples, and what it refuses."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from aal.attacks import AdversarialPath, Attack
from aal.attacks.feature_collision import FeatureCollision
from aal.checks import argument, at_least, refuse
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
    refuse(not attacks, "attacks: there must be at least one")
    refuse_others(attacks)
    own = ["natural", "samples", *(f"{name}_{kind}" for name in attacks for kind in ("distance", "not_target"))]
    for name in attacks:
        wrong = name in own or not str(name).isidentifier()  # YAML has names that are numbers
        refuse(wrong, f"attacks: {name!r} cannot name a figure; take letters, then also digits and _")
    for name, radii in curves.items():
        refuse(name not in attacks, f"curves: {name!r} is none of the attacks {', '.join(attacks)}")
        kind = type(attacks[name]).__name__
        refuse(getattr(attacks[name], "radius", None) is None, f"curves.{name}: {kind} has no radius")
        rising = all(first < second for first, second in pairwise([0.0, *radii, math.inf]))
        refuse(not radii or not rising, f"curves.{name}: must be radii above 0, ascending, got {list(radii)}")
    for label, target in (targets or {}).items():
        refuse(
            label == target or min(label, target) < 0,
            f"targets: must lead from a class to another, got {label} to {target}",
        )


def refuse_others(attacks: Mapping[str, Attack]) -> None:
    """Refuse attacks that do not turn samples of a classifier into samples.

    Raises:
        UserError: Names the argument and what is wrong with it.
    """
    for name, attack in attacks.items():
        refuse(
            isinstance(attack, FeatureCollision),
            f"attacks.{name}: collisions are made of features, they attack no classifier",
        )
        refuse(
            isinstance(attack, AdversarialPath) and not attack.clip,
            f"attacks.{name}: the path leaves the data's range, where no sample is; set clip: true",
        )


def refuse_shape(attacks: Mapping[str, Attack], shape: tuple[int, ...], key: str = "attacks") -> None:
    """Refuse attacks that cannot take samples of a shape ``(...)``, without the batch.

    Raises:
        UserError: Names the argument and what the attack needs.
    """
    for name, attack in attacks.items():
        with argument(f"{key}.{name}"):
            attack.check_shape(shape)


def chosen(y: Tensor, targets: Mapping[int, int] | None, samples: int | None, seed: int) -> Tensor:
    """Return the indices that are evaluated, ascending: arguments as of :func:`evaluate`.

    Raises:
        UserError: There are none, or fewer than ``samples`` and no targets that leave classes out.
    """
    classes = y.cpu()
    wanted = classes if targets is None else torch.tensor(list(targets), dtype=classes.dtype)
    index = torch.isin(classes, wanted).nonzero().squeeze(1)
    refuse(not len(index), "targets: there is no sample of these classes" if len(classes) else "y: there is no sample")
    if samples is None:
        return index
    at_least(1, {"samples": samples})
    refuse(samples > len(classes), f"samples: {samples}, but there are {len(classes)} to evaluate")
    return index[torch.randperm(len(index), generator=generator(seed, "robust samples"))[:samples].sort().values]
