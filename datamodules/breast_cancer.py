"""scikit-learn's bundled breast cancer data: 569 real samples of 30 features, no download."""

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer

from aal.data.rows import Rows
from aal.data.samples import Sources
from aal.datamodules.tabular import Tabular


class BreastCancer(Tabular):
    """The Wisconsin diagnostic data ``(30,)``: 212 malignant and 357 benign tumors.

    Args:
        victim: Rows of the split ``victim``; 0 for none.
        adversary: Rows of the pool; ``null`` for all that are left.
        test: Rows of the split ``test``.
        craft: Rows of the split ``craft``.
        box: Lowest and highest value of a scaled feature; ``null`` for none.
        options: Arguments of :class:`ActiveDataModule`.

    Raises:
        UserError: As of :class:`Tabular`.
    """

    num_classes = 2
    sample_shape = (30,)
    classes = ("malignant", "benign")

    def __init__(
        self,
        victim: int = 200,
        adversary: int | None = None,
        test: int = 100,
        craft: int = 20,
        box: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(victim=victim, adversary=adversary, test=test, craft=craft, box=box, **options)

    def rows(self) -> Rows:
        """Return scikit-learn's rows."""
        data = load_breast_cancer()
        labels = torch.from_numpy(data.target)
        sources = Sources.rows(["sklearn.datasets.load_breast_cancer"], [len(labels)], torch.arange(len(labels)))
        return Rows(torch.from_numpy(data.data), labels, tuple(map(str, data.feature_names)), sources)
