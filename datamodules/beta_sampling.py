"""Training points drawn from a density that leans to the decision boundary of a known eta: the beta experiment."""

from typing import Any

import torch
from torch import Tensor

from aal.checks import at_least, one_of, refuse
from aal.data.samples import Samples, TensorSamples
from aal.datamodules.base import ActiveDataModule
from aal.seeds import generator
from aal.theory.boundary_density import BoundaryDensity
from aal.theory.regression_functions import ETAS

UNIFORM = ("test", "val")  # splits that do not depend on the density


class BetaSampling(ActiveDataModule):
    """Samples of the unit cube, labelled by a known share eta of class 1, from ``mu ~ 1 / |eta - 1/2|**beta``.

    The pool, from which a learner's training set is drawn at random, and ``craft`` are of mu (with its floor:
    :class:`aal.theory.boundary_density.BoundaryDensity`, which draws exactly). Their labels are drawn from eta, or
    with ``noisy: false`` are those of the Bayes classifier, 1 where eta is above 1/2. What is tested on is uniform on
    the cube whatever mu is, and labelled by the Bayes classifier: the accuracy of a run is the area of the region
    where the classifier is the Bayes classifier, the paper's measure (section 3). The same seed tests on the same
    samples whatever the density.

    Source: paper *shadow*, section 3.

    Args:
        eta: ``linear``, ``sine`` or ``moons``: :mod:`aal.theory.regression_functions`.
        beta: The paper's beta, 0 or more; 0 is uniform.
        floor: Least ``|eta - 1/2|`` that mu counts, above 0.
        noisy: Whether labels of the pool are drawn from eta.
        dimensions: Number d of a sample's elements; eta depends on the first one or two.
        n: Samples of the pool.
        test: Samples of the split ``test``.
        validation: Samples of the split ``val``, uniform and labelled by the Bayes classifier as those of ``test``, so
            that whatever is chosen on them is chosen by an oracle; 0 for no such split.
        craft: Samples of the split ``craft``.
        options: Arguments of :class:`ActiveDataModule`.

    Attributes:
        density: What the pool is drawn from.

    Raises:
        UserError: A number outside its range, an eta that there is not, or a density that takes too long to draw; in
            ``setup``, a split without a sample of some class.
    """

    num_classes = 2

    def __init__(
        self,
        eta: str = "sine",
        beta: float = 0.0,
        floor: float = 0.01,
        noisy: bool = True,
        dimensions: int = 2,
        n: int = 10_000,
        test: int = 10_000,
        validation: int = 0,
        craft: int = 20,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        one_of(tuple(ETAS), {"eta": eta})
        at_least(2, {"n": n, "test": test, "craft": craft})
        at_least(0, {"validation": validation})
        self.density = BoundaryDensity(eta=ETAS[eta], beta=beta, floor=floor, dimensions=dimensions)
        self.noisy = noisy
        self.sizes = {"pool": n, "craft": craft, "test": test} | ({"val": validation} if validation else {})
        self.sample_shape = (dimensions,)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Draw the splits.

        Raises:
            UserError: One has no sample of some class.
        """
        return {split: self._drawn(split, size) for split, size in self.sizes.items()}

    def eta(self, x: Tensor) -> Tensor:
        """Return the share of class 1 ``(B,)`` at samples ``(B, d)``, in float64."""
        return self.density.eta(x)

    def _drawn(self, split: str, size: int) -> tuple[Samples, Tensor]:
        draw = generator(self.seed, "beta sampling", split)
        uniform = split in UNIFORM
        if uniform:
            x = torch.rand(size, *self.sample_shape, generator=draw, dtype=torch.float64)
        else:
            x = self.density.draw(size, draw)
        x = x.float()
        if self.noisy and not uniform:
            chance = torch.rand(size, generator=generator(self.seed, "labels of eta", split), dtype=torch.float64)
            labels = (chance < self.eta(x)).long()
        else:
            labels = self.density.eta.bayes(x)
        key = {"pool": "n", "val": "validation"}.get(split, split)
        refuse(
            len(labels.unique()) < self.num_classes,
            f"{key}: all {size} samples drawn are of one class; take more",
        )
        return TensorSamples(x, (0.0, 1.0)), labels
