"""scikit-learn's bundled handwritten digits: 1,797 real 8x8 images, no download."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from aal.data.samples import ImageSamples, Samples, Sources
from aal.data.splits import stratified
from aal.datamodules.base import ActiveDataModule
from aal.seeds import generator


class Digits(ActiveDataModule):
    """Ten digits, ``(1, 8, 8)`` in [0, 1], split 80/10/10 into pool, craft and test (paper *collision*, section IV.A).

    The published values 0 to 16 are scaled to 8 bits, 0 to 255, before anything else sees them. Arguments as in
    :class:`ActiveDataModule`.
    """

    num_classes = 10
    sample_shape = (1, 8, 8)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the three splits, stratified and seeded."""
        images, digits = load_digits(return_X_y=True)
        pixels = (torch.tensor(images).reshape(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
        labels, source = torch.tensor(digits), "sklearn.datasets.load_digits"
        parts = stratified(labels, (0.8, 0.1, 0.1), generator(self.seed, "split"))
        return {
            split: (ImageSamples(pixels[part], Sources.rows([source], [len(labels)], part)), labels[part])
            for split, part in zip(("pool", "craft", "test"), parts, strict=True)
        }
