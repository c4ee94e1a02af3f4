"""What a robust evaluation found out about each sample: as JSON, and the figures that follow from it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.attacks import Attack
from aal.checks import refuse
from aal.runs.files import read_sealed, write_sealed

KIND = "a robust evaluation"
COLUMNS = ("after", "distance", "queries", "tried")
ROBUST, UNTARGETED = "robust", "robust/untargeted"  # folders of a run with a file a round


@dataclass
class Outcome:
    """What an attack, or for a curve the same attack with one radius after another, did to each of ``N`` samples.

    Attributes:
        attack: The attack in words.
        radius: The most that the attack may perturb a sample; ``None`` for one that looks for how much it takes.
        radii: The radii of a curve, ascending; empty for an attack as it is.
        after: Class predicted for the attacked sample, int64 ``(N,)``; for one that was not attacked, the natural one.
        distance: Size of the perturbation in the attack's norm, float64 ``(N,)``; 0 for one that was not attacked.
        queries: Forward passes of the model that the attack took, int64 ``(N,)``.
        tried: How many of the attack's stages, or of the curve's radii, the sample went through, int64 ``(N,)``.
    """

    attack: str
    radius: float | None
    radii: list[float]
    after: Tensor
    distance: Tensor
    queries: Tensor
    tried: Tensor

    @classmethod
    def none(cls, attack: Attack, radii: Sequence[float], natural: Tensor) -> "Outcome":
        """Return the outcome before anything was attacked."""
        after, (queries, tried) = natural.clone(), torch.zeros(2, len(natural), dtype=torch.int64)
        return cls(repr(attack), getattr(attack, "radius", None), list(radii), after, queries.double(), queries, tried)

    def put(self, rows: Tensor, found: dict[str, Tensor]) -> None:
        """Take in one more stage of the samples ``rows`` ``(B,)``: tensors ``(B,)`` named by ``COLUMNS``."""
        self.after[rows], self.distance[rows] = found["after"].cpu(), found["distance"].cpu()
        self.queries[rows] += found["queries"].cpu()
        self.tried[rows] += found["tried"].cpu()


@dataclass
class Evaluation:
    """Natural and attacked predictions of ``N`` samples.

    Attributes:
        fingerprint: SHA-256 of all that the predictions depend on.
        index: Which samples, ascending, int64 ``(N,)``.
        label: Their classes ``(N,)``.
        target: The classes ``(N,)`` that the attacks aim at; ``None`` where any but the label will do.
        natural: The classes ``(N,)`` predicted without an attack.
        attacks: What each attack did, by name.
        curves: What each attack did with one radius after another, by name.
        seconds: Time it took, in all processes that worked on it.
    """

    fingerprint: str
    index: Tensor
    label: Tensor
    target: Tensor | None
    natural: Tensor
    attacks: dict[str, Outcome] = field(default_factory=dict)
    curves: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    def reached(self, predicted: Tensor) -> Tensor:
        """Tell which samples, predicted as ``(N,)``, are where an attack wants them: at the target, off the label."""
        return predicted != self.label if self.target is None else predicted == self.target

    def fooled(self, name: str) -> Tensor:
        """Tell which samples ``(N,)`` the attack itself brought where it wants them."""
        return self.reached(self.attacks[name].after) & ~self.reached(self.natural)

    def shares(self, of: Tensor) -> dict[str, float]:
        """Return shares in [0, 1] of the samples where ``of`` ``(N,)``, at least one, by name.

        ``natural`` is the accuracy without an attack, ``<attack>`` the adversarial accuracy: the share of samples that
        are classified as their label both without the attack and with it. With targets, ``<attack>_not_target`` is the
        share not classified as the target.
        """
        right = self.natural == self.label
        figures = {"natural": _share(right, of)}
        for name, outcome in self.attacks.items():
            figures[name] = _share(right & (outcome.after == self.label), of)
            if self.target is not None:
                figures[f"{name}_not_target"] = _share(~self.reached(outcome.after), of)
        return figures

    def figures(self) -> dict[str, float]:
        """Return :meth:`shares` of all samples, and distances.

        ``<attack>_distance``, for attacks without a radius, is the mean size of the perturbation over the samples that
        the attack fooled, in its norm: the mean minimal distance as it found it. There is none where it fooled nobody.
        """
        figures = self.shares(torch.ones_like(self.label, dtype=torch.bool))
        for name, outcome in self.attacks.items():
            if outcome.radius is None and self.fooled(name).any():
                figures[f"{name}_distance"] = float(outcome.distance[self.fooled(name)].mean())
        return figures

    def per_class(self) -> dict[int, dict[str, float]]:
        """Return the number of samples, under ``samples``, and :meth:`shares` of each class that has any."""
        classes = {label: self.label == label for label in self.label.unique().tolist()}
        return {label: {"samples": int(own.sum()), **self.shares(own)} for label, own in classes.items()}

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Return ``(radius, share of samples that the attack has not brought where it wants them)`` from radius 0 on.

        Without targets that is the accuracy. A sample that a radius suffices for counts at all larger ones too.
        """
        outcome = self.curves[name]
        there = self.reached(outcome.after)
        shares = [float((~(there & (outcome.tried <= k))).double().mean()) for k in range(len(outcome.radii) + 1)]
        return list(zip([0.0, *outcome.radii], shares, strict=True))

    def save(self, path: Path, *, complete: bool) -> None:
        """Write everything as JSON; the figures too once the evaluation is complete."""
        value: dict[str, Any] = {"complete": complete, **asdict(self)}
        if complete:
            curves = {name: self.curve(name) for name in self.curves}
            value |= {"figures": self.figures(), "per_class": self.per_class(), "radius_and_share": curves}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, KIND, json.loads(json.dumps(value, default=Tensor.tolist)), indent=None)

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read what :meth:`save` wrote.

        Raises:
            UserError: The file is missing, damaged or something else, or was altered.
        """
        value = read_sealed(path, KIND)
        for name in (*value["attacks"], *value["curves"]):
            refuse(not name.isidentifier(), f"{path}: {name!r} can name no attack")  # it becomes the name of a file
        own = {name: value[name] for name in ("fingerprint", "index", "label", "target", "natural", "seconds")}
        attacks, curves = (
            {name: Outcome(**_read(entry)) for name, entry in value[kind].items()} for kind in ("attacks", "curves")
        )
        return cls(**_read(own), attacks=attacks, curves=curves)


def _share(wanted: Tensor, of: Tensor) -> float:
    return float(wanted[of].double().mean())


_whole = partial(torch.tensor, dtype=torch.int64)
READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("fingerprint", "attack"), str),
    **dict.fromkeys(("seconds", "radius"), float),
    "radii": lambda radii: [float(radius) for radius in radii],
    "distance": partial(torch.tensor, dtype=torch.float64),
}


def _read(entry: dict[str, Any]) -> dict[str, Any]:
    """Read what JSON holds of each attribute: whole numbers, but for those in ``READ``; no target, no radius stay."""
    none = {name for name, value in entry.items() if value is None} & {"target", "radius"}
    return {name: None if name in none else READ.get(name, _whole)(value) for name, value in entry.items()}
