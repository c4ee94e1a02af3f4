"""The toy mixture: two Gaussians, and mislabelled points placed at chosen distances from their means."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aal.checks import at_least, positive, refuse
from aal.data.samples import Samples, TensorSamples
from aal.datamodules.base import ActiveDataModule
from aal.flips.trials import Trial
from aal.seeds import generator


class ToyMixture(ActiveDataModule):
    """Two classes, N(-mu 1, variance I) and N(mu 1, variance I), and points placed to be mislabelled.

    A sample's label is what the ground truth says of it, 1 where its elements sum to 0 or more. Of every split half
    the samples come from each Gaussian. Samples have no bounds, so an attack that needs some (Carlini and Wagner's)
    refuses them.

    The mislabelled points are added to the pool after its ``n - 2 * mislabelled`` natural ones, with the origin
    ``poison``, without a label: :class:`aal.callbacks.LabelFlip` makes a round of each group, named ``placed``.
    They are uniform on the sphere around each mean; one that would land beyond the boundary, where the wrong label
    would be true of it, goes to the opposite side of its mean instead. Points of the same repeat lie in the same
    directions at every distance, so that a sweep changes nothing but the distance.

    Source: paper *noise*, section 4.1; with ``dimensions: 2, mu: 1, variance: 0.4, n: 32, mislabelled: 1,
    distances: [0]`` the set of chapter 3.

    Args:
        dimensions: Number d of a sample's elements.
        mu: Every element of the second mean, above 0; those of the first are -mu.
        variance: Variance of every element, above 0.
        n: Training points of a round with mislabelled ones, these included.
        mislabelled: Points to place around each of the means for a round.
        distances: How far from the means to place them, in L2; each is a group of its own, in every repeat.
        repeats: Draws of points at each distance.
        test: Samples of the split ``test``.
        craft: Samples of the split ``craft``.
        options: Arguments of :class:`ActiveDataModule`.

    Attributes:
        placed: The groups of points to mislabel, after ``setup``.

    Raises:
        UserError: A number outside its range; fewer training points than two besides the mislabelled ones; a distance
            twice.
    """

    num_classes = 2

    def __init__(
        self,
        dimensions: int = 16,
        mu: float = 10.0,
        variance: float = 1.0,
        n: int = 64,
        mislabelled: int = 2,
        distances: Sequence[float] = (),
        repeats: int = 1,
        test: int = 1000,
        craft: int = 20,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at_least(1, {"dimensions": dimensions, "mislabelled": mislabelled, "repeats": repeats})
        positive({"mu": mu, "variance": variance})
        at_least(2, {"test": test, "craft": craft})
        at_least(2 * mislabelled + 2, {"n": n})
        for distance in distances:
            at_least(0, {"distances": distance})
        refuse(len(set(distances)) < len(distances), f"distances: one of {list(distances)} is there twice")
        self.mu, self.variance = mu, variance
        self.mislabelled, self.distances, self.repeats = mislabelled, tuple(distances), repeats
        self.sizes = {"pool": n - 2 * mislabelled, "craft": craft, "test": test}
        self.sample_shape = (dimensions,)
        self.placed: list[Trial] = []

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Draw the three splits."""
        return {split: self._drawn(split, size) for split, size in self.sizes.items()}

    def setup(self, stage: str) -> None:
        """Make the splits and the pool, and place the points to mislabel; a second call changes nothing."""
        if self.samples:
            return
        super().setup(stage)
        self.placed = [self._place(distance, repeat) for repeat in range(self.repeats) for distance in self.distances]

    def _drawn(self, split: str, size: int) -> tuple[Samples, Tensor]:
        noise = torch.randn(size, *self.sample_shape, generator=generator(self.seed, "toy", split), dtype=torch.float64)
        x = (self._means(torch.arange(size) % 2) + noise * math.sqrt(self.variance)).float()
        return TensorSamples(x, (-math.inf, math.inf)), (x.double().sum(1) >= 0).long()

    def _means(self, components: Tensor) -> Tensor:
        """Return the means ``(B, d)`` of Gaussians ``(B,)``, 0 or 1."""
        return (components * 2 - 1)[:, None] * torch.full(self.sample_shape, self.mu, dtype=torch.float64)

    def _place(self, distance: float, repeat: int) -> Trial:
        labels = torch.arange(2).repeat_interleave(self.mislabelled)
        way = torch.randn(
            len(labels), *self.sample_shape, generator=generator(self.seed, "placed", repeat), dtype=torch.float64
        )
        way *= distance / way.norm(dim=1, keepdim=True)
        means = self._means(labels)
        beyond = ((means + way).sum(1) >= 0) != labels.bool()
        way[beyond] *= -1
        indices = self.add_samples((means + way).float(), labels, torch.full_like(labels, -1), "poison")
        return Trial("placed", distance, repeat, placed=indices)
