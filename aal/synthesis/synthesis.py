"""Strategies that make a shadow's training set of samples and of adversarial examples near the victim's boundary."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, Attack
from aal.attacks.base import column, divisor
from aal.attacks.draws import normal
from aal.attacks.hard_label import HardLabel
from aal.attacks.training_set import NonParametric
from aal.checks import FROM_0, FROM_1, Checked, one_of, or_none, positive, rate, refuse
from aal.models.fitting import predict
from aal.models.instance_classifier import InstanceClassifier
from aal.oracles.victim import ATTACK, LABELS
from aal.seeds import sample_seeds
from aal.synthesis.adversary import Adversary
from aal.synthesis.near_side import nearest_side

WORDS = {
    "of": ("pool", "victim", "test"),
    "keep": ("nothing", "sources", "victim"),
    "labels": ("victim", "source"),
    "direction": ("found", "random"),
    "order": ("random", "least_confident"),
}


@dataclass(frozen=True)
class Made:
    """What was made of some sources, on the CPU; every tensor has one entry a source.

    Attributes:
        x: The points ``(N, ...)``.
        success: Whether there is a point ``(N,)``: the attack, and the scaling, may have failed.
        distance: How far it is from its source in L2 ``(N,)``.
        farthest: And in L-inf ``(N,)``.
        probabilities: The victim's ``(N, C)``; ``(N, 0)`` where it was not asked for its confidence.
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    farthest: Tensor
    probabilities: Tensor

    def at(self, places: Tensor) -> "Made":
        """Return those at places ``(K,)``."""
        return Made(**{name: value[places] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Synthesis(Checked):
    """What a shadow is trained on (paper *shadow*, sections 4 and 5.2).

    The paper's text can be read in three ways; each is a choice of these arguments, and has a file in
    ``configs/shadow/``:

    - **A** (``near_side``): the training set, and its adversarial examples moved back to the near side of the
      boundary, with the labels of their sources: ``of: victim, keep: victim, labels: source, near_side: true``.
    - **B** (``replace``): adversarial examples of the adversary's pool in the place of its samples, on the near side,
      labelled by the victim: ``of: pool, labels: victim, near_side: true``.
    - **C** (``leak``): adversarial examples of the test samples that the victim gets right, on the near side, with
      their labels: ``of: test, labels: source, near_side: true``. It is a leak of the test set, for diagnosis only.

    Without an attack the sources themselves are what is trained on.

    Args:
        of: Where sources are from: ``pool``, the adversary's own samples; ``victim``, the victim's training set;
            ``test``, test samples that the victim gets right.
        keep: What else is trained on: ``nothing``; ``sources``, each source beside its adversarial example; ``victim``,
            the victim's training set, which is of no budget.
        labels: Whose labels: ``victim``, which are asked for and counted; ``source``, the true label of the source.
        attack: What makes adversarial examples; ``null``: none. A non-parametric attack is fitted to the victim's
            training set, a hard-label attack asks the victim, any other follows the gradients of the ``substitute``,
            or without one those of the victim.
        unsuccessful: Whether points that an attack within a radius moved without reaching its goal are used, too, and
            do not count as failed: FGSM has one of every sample.
        near_side: Whether a perturbation is scaled down, by a factor from 0 to 1 that is found by bisection, until the
            victim gives the point its source's label. Each look is a query. A source to which the victim itself gives
            another label fails.
        direction: ``found`` by the attack, or as a control ``random``, of equal size in L2.
        order: Which sources come first: ``random``, or ``least_confident``: those whose points, adversarial where there
            is an attack, the victim is least sure of. All of them are crafted, and their confidence is asked for and
            counted, before the first is used.
        right: Whether only sources are used that the victim gets right, as a control; who knows that knows the truth.
        magnitude: Size of perturbations in L2; ``null`` for the attack's own.
        beyond: Whether ``magnitude`` is added to the attack's perturbation, in its direction, instead of replacing it.
        substitute: Builds the network whose gradients are followed, from a sample's shape and the number of classes.
        substitute_rate: Adam's step size for it.
        substitute_epochs: Most epochs for it.
        substitute_labels: Samples of the pool that it is trained on with the victim's labels, which count as queries of
            the attack; 0: it is trained on the victim's training set.

    Raises:
        UserError: A value outside its range; arguments that contradict each other.
    """

    of: Literal["pool", "victim", "test"] = "pool"
    keep: Literal["nothing", "sources", "victim"] = "nothing"
    labels: Literal["victim", "source"] = "victim"
    attack: Attack | None = None
    unsuccessful: bool = False
    near_side: bool = False
    direction: Literal["found", "random"] = "found"
    order: Literal["random", "least_confident"] = "random"
    right: bool = False
    magnitude: float | None = None
    beyond: bool = False
    substitute: Callable[[tuple[int, ...], int], nn.Module] | None = None
    substitute_rate: float = 3e-2
    substitute_epochs: int = 300
    substitute_labels: int = 0
    ranges = Checked.ranges | {
        **{name: partial(one_of, words) for name, words in WORDS.items()},
        "magnitude": or_none(positive),
        "substitute_rate": rate,
        "substitute_epochs": FROM_1,
        "substitute_labels": FROM_0,
    }

    def __post_init__(self) -> None:
        """Refuse values outside their range, and what contradicts each other."""
        super().__post_init__()
        for name in ("unsuccessful", "near_side", "magnitude", "substitute"):
            refuse(self.attack is None and getattr(self, name), f"{name}: without an attack nothing is perturbed")
        refuse(self.attack is None and self.direction == "random", "direction: without an attack nothing is perturbed")
        refuse(self.near_side and self.magnitude is not None, "near_side: scales perturbations, and so does magnitude")
        refuse(
            self.substitute is None and self.substitute_labels,
            "substitute_labels: there is no substitute to train; set one, or leave it out",
        )
        refuse(
            self.substitute is not None and isinstance(self.attack, NonParametric | HardLabel),
            f"substitute: {type(self.attack).__name__} follows no gradients; set it to null",
        )
        refuse(self.beyond and self.magnitude is None, "beyond: says what magnitude means; give one")
        refuse(self.of == "pool" and self.labels == "source", "labels: the adversary does not know those of its pool")
        twice = self.keep == "sources" or (self.keep == self.of == "victim")
        refuse(self.attack is None and twice, "keep: without an attack the sources themselves are trained on already")
        refuse(
            self.order == "least_confident" and self.keep == "sources",
            "order: by confidence of the adversarial examples, and so their sources cannot be kept",
        )
        refuse(
            self.of != "pool" and self.keep == "sources",
            "keep: sources can be kept of the pool alone; of the victim's training set keep: victim has them all",
        )

    @property
    def each(self) -> int:
        """How many samples a source makes."""
        return 2 if self.keep == "sources" else 1

    @property
    def called(self) -> str:
        """What tables call it."""
        return "legitimate" if self.attack is None else type(self.attack).__name__

    @property
    def knows(self) -> list[str]:
        """What the adversary has to know besides its own samples and the victim's labels of them, in words."""
        attack = self.attack
        known = {
            "the victim's training set": self.of == "victim"
            or self.keep == "victim"
            or isinstance(attack, NonParametric)
            or (self.substitute is not None and not self.substitute_labels),
            "the victim's network and weights": attack is not None
            and self.substitute is None
            and not isinstance(attack, NonParametric | HardLabel),
            "the victim's confidence": self.order == "least_confident",
            "test samples and their labels": self.of == "test",
            "the true labels of its own samples": self.right and self.of == "pool",
        }
        return [name for name, needed in known.items() if needed]

    def sources(self, adversary: Adversary) -> Tensor:
        """Return which samples may be perturbed, in a random order: positions ``(K,)`` in where sources are from."""
        labels = self._labels(adversary)
        order = torch.randperm(len(labels), generator=adversary.generator("sources"))
        if not self.right and self.of != "test":
            return order
        # a look that no adversary has, and so no query
        found = predict(adversary.victim.model, self._samples(adversary, order), adversary.batch_size).argmax(1).cpu()
        return order[found == labels[order]]

    def fitted(self, adversary: Adversary) -> "Synthesis":
        """Return the same with its attack, where it is non-parametric, fitted to the victim's training set once."""
        if not isinstance(self.attack, NonParametric):
            return self
        return replace(self, attack=self.attack.fit(*adversary.victim_set))

    def attacked(self, adversary: Adversary) -> nn.Module:
        """Return the network whose gradients, if any, the attack follows: a new substitute, or the victim itself."""
        if self.substitute is None:
            return adversary.victim.model
        return adversary.substitute(
            self.substitute, self.substitute_rate, self.substitute_epochs, self.substitute_labels
        )

    def by_confidence(self, adversary: Adversary, model: nn.Module) -> tuple[Tensor, Made]:
        """Return the sources ``(K,)`` and what was made of them, those that the victim is least sure of first.

        What could not be made comes last. The victim's answers hold its labels, too.
        """
        places = self.sources(adversary)
        made = self.make(adversary, model, places)
        answers = [adversary.victim.logits(x.to(adversary.device), LABELS) for x in made.x.split(adversary.batch_size)]
        probabilities = torch.cat(answers).double().softmax(1).cpu()
        made = replace(made, probabilities=probabilities)
        # sources are in a random order, and so are those of equal confidence
        order = torch.where(made.success, probabilities.amax(1), torch.inf).argsort(stable=True)
        return places[order], made.at(order)

    def make(self, adversary: Adversary, model: nn.Module, places: Tensor, labels: Tensor | None = None) -> Made:
        """Make the points of some sources; without an attack they are the sources.

        Args:
            adversary: Who makes them.
            model: As :meth:`attacked` returned it.
            places: The sources ``(N,)``.
            labels: The labels ``(N,)`` to leave; ``None`` for true ones, and those of the pool the victim is asked for.
        """
        parts, done = [], 0
        for part in places.split(adversary.batch_size):
            known = None if labels is None else labels[done : done + len(part)]
            parts.append(self._made(adversary, model, part, known))
            done += len(part)
            adversary.advance(len(part))
        return Made(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    def true_labels(self, adversary: Adversary, places: Tensor) -> Tensor:
        """Return the true labels of sources ``(N,)``, on the CPU."""
        return self._labels(adversary)[places]

    def _made(self, adversary: Adversary, model: nn.Module, places: Tensor, labels: Tensor | None) -> Made:
        x, victim = self._samples(adversary, places), adversary.victim
        success, way = torch.ones(len(x), dtype=torch.bool, device=x.device), torch.zeros_like(x)
        if self.attack is not None:
            known = self._labels(adversary)[places] if self.of != "pool" else labels
            y = victim.predict(x) if known is None else known.to(x.device)
            found = self._attack(adversary, model, places)(
                x=x, y=y, bounds=adversary.bounds, seeds=sample_seeds(adversary.seed, "synthesis", places).to(x.device)
            )
            if isinstance(self.attack, NonParametric) and not isinstance(victim.model, InstanceClassifier):
                victim.queries[ATTACK] += int(found.queries.sum())  # there is more to it than its training set
            success, way = found.success, self._resized(found.x - x, adversary, places)
            if self.unsuccessful:
                success = success | (found.x != x).flatten(1).any(1)
            if self.near_side:
                if self.direction == "random":  # which may leave the bounds, unlike what an attack finds
                    way = (x + way).clamp(*adversary.bounds) - x
                scale = nearest_side(victim, x, way, y)
                success, way = success & (scale > 0), way * column(scale, way)
        points = (x + way).clamp(*adversary.bounds)
        moved = (points - x).flatten(1)
        return Made(
            x=points.cpu(),
            success=success.cpu(),
            distance=moved.norm(dim=1).cpu(),
            farthest=moved.abs().amax(1).cpu(),
            probabilities=torch.empty(len(places), 0),
        )

    def _attack(self, adversary: Adversary, model: nn.Module, places: Tensor) -> Callable[..., Adversarial]:
        """Return the attack of sources ``(N,)``, told what it attacks."""
        if isinstance(self.attack, NonParametric):
            return partial(self.attack, adversary.victim.model)
        if isinstance(self.attack, HardLabel):
            return partial(self.attack, adversary.victim.predict, start=adversary.starts(places))
        assert self.attack is not None
        return partial(self.attack, model)

    def _resized(self, way: Tensor, adversary: Adversary, places: Tensor) -> Tensor:
        """Return perturbations ``(N, ...)`` of the size and direction asked for."""
        size = way.flatten(1).norm(dim=1)
        if self.direction == "random":
            seeds = sample_seeds(adversary.seed, "directions", places).to(way.device)
            drawn = normal(seeds, 0, tuple(way.shape[1:]), torch.float64).to(way.dtype)
            way = drawn * column(size / divisor(drawn.flatten(1).norm(dim=1)), way)
        if self.magnitude is None:
            return way
        wanted = size + self.magnitude if self.beyond else torch.full_like(size, self.magnitude)
        return way * column(wanted / divisor(size), way)

    def _samples(self, adversary: Adversary, places: Tensor) -> Tensor:
        """Return sources ``(N,)`` as samples ``(N, ...)``."""
        whole = {"victim": adversary.victim_set, "test": adversary.test_set}
        return adversary.own(places) if self.of == "pool" else whole[self.of][0][places]

    def _labels(self, adversary: Adversary) -> Tensor:
        """Return the true labels ``(K,)`` of all that sources are from."""
        whole = {"victim": adversary.victim_set[1], "test": adversary.test_set[1], "pool": adversary.own_labels}
        return whole[self.of].cpu()
