"""scikit-learn's half moons: two classes in the plane, drawn anew by every seed."""

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import make_moons

from aal.checks import at_least
from aal.data.rows import Rows
from aal.datamodules.tabular import Tabular
from aal.seeds import key


class HalfMoons(Tabular):
    """Two interleaving half circles ``(2,)`` with Gaussian noise (paper *shadow*, Table 1: 1,800, 1,900, 200).

    All points are one call of scikit-learn's ``make_moons``, split and scaled as in :class:`Tabular`. The paper does
    not state the noise; with 0.25, that of Yang et al. (2020), whose attacks it uses, 1-NN has an accuracy of 91 %
    over seeds, and of 92 % in the paper.

    Args:
        victim: Points of the split ``victim``; 0 for none.
        adversary: Points of the pool.
        test: Points of the split ``test``.
        craft: Points of the split ``craft``.
        noise: Standard deviation of the noise, at least 0, where the circles have a radius of 1.
        box: Lowest and highest value of a scaled point; ``null`` for none.
        options: Arguments of :class:`ActiveDataModule`.

    Raises:
        UserError: As of :class:`Tabular`; a negative noise.
    """

    num_classes = 2
    sample_shape = (2,)

    def __init__(
        self,
        victim: int = 1800,
        adversary: int = 1900,
        test: int = 200,
        craft: int = 20,
        noise: float = 0.25,
        box: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        at_least(1, {"adversary": adversary})
        at_least(0, {"noise": noise})
        super().__init__(victim=victim, adversary=adversary, test=test, craft=craft, box=box, **options)
        self.noise, self.points = noise, victim + adversary + test + craft

    def rows(self) -> Rows:
        """Draw all points."""
        seed = key(self.seed, "moons") % 2**32  # the largest that scikit-learn takes
        points, moons = make_moons(self.points, noise=self.noise, random_state=seed)
        return Rows(torch.from_numpy(points), torch.from_numpy(moons), ("x", "y"))
