"""What a selector of labels to flip may look at: the clean training set and the classifier trained on it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from aal.attacks.adversarial_path import AdversarialPath
from aal.models.classifier import Classifier
from aal.runs.progress import Progress, quiet
from aal.seeds import generator

STEPS, LENGTH, ARRIVED = range(3)  # the columns of what FlipView.paths returns
PATHS_OF = {True: "targeted paths", False: "untargeted paths"}  # what CleanSet.values has them by, then their walk


class CleanSet:
    """The samples whose labels a run may flip, and what was measured of them with the clean classifier.

    Args:
        indices: Their indices in the pool, ascending, int64 ``(M,)``.
        labels: Their clean labels ``(M,)``.
        targets: What each would be labelled ``(M,)``.

    Attributes:
        values: What was measured of every one ``(M, ...)``, on the CPU, by name.
    """

    def __init__(self, indices: Tensor, labels: Tensor, targets: Tensor) -> None:
        self.indices, self.labels, self.targets = indices, labels, targets
        self.values: dict[str, Tensor] = {}

    def places(self, indices: Tensor) -> Tensor:
        """Return where indices ``(B,)`` stand among them."""
        return torch.searchsorted(self.indices, indices)


def no_samples() -> Tensor:
    """Return no indices, or no labels, int64 ``(0,)``."""
    return torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class FlipView:
    """The attacker's view of a training set with clean labels.

    Attributes:
        module: The clean classifier, as trained in round 0.
        clean: All samples whose labels the run may flip.
        places: Which of them are candidates here, ascending ``(U,)``.
        inputs: Gives what the classifier takes for indices ``(B,)``: features under a frozen backbone, else samples.
        images: Gives the samples themselves ``(B, ...)`` for indices ``(B,)``, on the classifier's device.
        map: Applies a function of indices ``(B,)`` to all of ``(N,)``: in eval mode, without gradients, in batches
            and shared out over the ranks; told the number done.
        bounds: The data's range (low, high).
        others: Indices of the samples trained on whose labels the run may not flip ``(F,)``.
        other_labels: Their labels ``(F,)``.
        progress: Where to show how far long work is.
        seed: The run's seed, for the order of what is equal.
    """

    module: Classifier
    clean: CleanSet
    places: Tensor
    inputs: Callable[[Tensor], Tensor]
    images: Callable[[Tensor], Tensor]
    map: Callable[[Callable[[Tensor], Tensor], Tensor, Callable[[int], None]], Tensor]
    bounds: tuple[float, float] = (0.0, 1.0)
    others: Tensor = field(default_factory=no_samples)
    other_labels: Tensor = field(default_factory=no_samples)
    progress: Progress = field(default_factory=quiet)
    seed: int = 0

    @property
    def candidates(self) -> Tensor:
        """Indices that may be flipped, ascending, int64 ``(U,)`` on the CPU."""
        return self.clean.indices[self.places]

    @property
    def labels(self) -> Tensor:
        """Their clean labels ``(U,)``."""
        return self.clean.labels[self.places]

    @property
    def targets(self) -> Tensor:
        """What each would be labelled ``(U,)``."""
        return self.clean.targets[self.places]

    @property
    def shuffled(self) -> Tensor:
        """Where the candidates stand ``(U,)`` in a random order, the same for all trials of a run: it decides ties."""
        return torch.randperm(len(self.clean.indices), generator=generator(self.seed, "ties"))[self.places].argsort()

    def only(self, chosen: Tensor) -> "FlipView":
        """Return a view of some candidates: bool ``(U,)``, or where they stand, ascending ``(K,)``."""
        return replace(self, places=self.places[chosen])

    def measure(self, name: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to every sample that the run may flip, when its name is first asked for; never again.

        Args:
            name: What is measured, with all that it depends on.
            function: Takes indices ``(B,)``, returns a tensor ``(B, ...)``.

        Returns:
            The results for the candidates of this view ``(U, ...)``, on the CPU.
        """
        clean = self.clean
        if name not in clean.values:
            with self.progress.task(f"measuring {name.partition('(')[0]}", len(clean.indices)) as task:
                clean.values[name] = self.map(function, clean.indices, task.advance).cpu()
        return clean.values[name][self.places]

    def paths(self, attack: AdversarialPath, *, targeted: bool) -> Tensor:
        """Measure the adversarial path of every candidate under the clean classifier (paper *noise*, section 4.3.1).

        Args:
            attack: The walk.
            targeted: Whether a path leads to the class that its sample would be labelled; else away from its label. A
                class that the clean classifier has never seen can be a target too, and may not be reached.

        Returns:
            float64 ``(U, 3)``: steps taken, size of the whole path in L2, and 1 where it arrived, else 0.
        """

        def walked(batch: Tensor) -> Tensor:
            places = self.clean.places(batch)
            found = attack(
                self.module,
                self.images(batch),
                self.clean.labels[places],
                target=self.clean.targets[places] if targeted else None,
                bounds=self.bounds,
            )
            columns = (found.info["steps"], found.info["l2"], found.success)
            return torch.stack([column.double() for column in columns], dim=1)

        limits = f"{attack.step_size:g} x {attack.steps}{' clipped' if attack.clip else ''}"
        return self.measure(f"{PATHS_OF[targeted]}({limits})", walked)

    @property
    def features(self) -> Tensor:
        """Inputs of the clean classifier's last layer for the candidates ``(U, D)``, on the CPU."""
        return self.measure("features", lambda batch: self.module.embed(self.inputs(batch)))
