"""What published data sets have in common: a folder of files, fetched where asked, and how they are split."""

from abc import abstractmethod
from typing import Unpack

import torch
from torch import Tensor

from aal.errors import UserError
from aal.samples import Samples
from aal.seeds import generator
from aal.splits import stratified
from datamodules.base import ActiveDataModule, Options

TESTS = ("held_out", "published")


class Published(ActiveDataModule):
    """A data set in files.

    Args:
        root: Folder that holds the data set, in the form in which its publisher gives it.
        download: Whether to fetch what is missing below ``root``.
        test: ``held_out``: the published training part is split 80/10/10 into pool, craft and test, stratified (paper
            *collision*, section IV.A); ``published``: it is split 90/10 into pool and craft, and the test split is the
            published one.
        options: Arguments of :class:`ActiveDataModule`.

    Raises:
        UserError: ``test`` is neither; in ``setup``, files are missing or damaged.
    """

    def __init__(
        self, root: str = "data", download: bool = False, test: str = "held_out", **options: Unpack[Options]
    ) -> None:
        super().__init__(**options)
        if test not in TESTS:
            raise UserError(f"data.init_args.test: must be {' or '.join(TESTS)}, got {test!r}")
        self.root, self.download, self.test = root, download, test

    @abstractmethod
    def fetch(self) -> None:
        """Fetch what is missing below ``root`` and check it.

        Raises:
            UserError: It cannot be reached, or is not what was published.
        """

    @abstractmethod
    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a published part.

        Args:
            part: ``train`` or ``test``.

        Returns:
            Samples and labels ``(N,)``.

        Raises:
            UserError: A file is missing, truncated or altered; the message names it.
        """

    def prepare_data(self) -> None:
        """Fetch what is missing, in one process a machine."""
        if self.download:
            self.fetch()

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        samples, labels = self.read("train")
        if self.test == "held_out":
            return self.divide(samples, labels, {"pool": 0.8, "craft": 0.1, "test": 0.1})
        return self.divide(samples, labels, {"pool": 0.9, "craft": 0.1}) | {"test": self.read("test")}

    def divide(self, samples: Samples, labels: Tensor, shares: dict[str, float]) -> dict[str, tuple[Samples, Tensor]]:
        """Split samples at random, stratified and seeded.

        Args:
            samples: The samples.
            labels: Their labels ``(N,)``.
            shares: Share of each split by name; they sum to 1.

        Raises:
            UserError: A class has fewer samples than there are splits, so that one of them would lack it.
        """
        counts = torch.bincount(labels, minlength=self.num_classes)
        if (counts < len(shares)).any():
            name = int((counts < len(shares)).nonzero()[0])
            called = self.classes[name] if self.classes else name
            raise UserError(
                f"data.init_args.root: {self.root} has {int(counts[name])} samples of class {called}; "
                f"{', '.join(shares)} need at least one each"
            )
        parts = stratified(labels, tuple(shares.values()), generator(self.seed, "split"))
        return {split: (samples.take(part), labels[part]) for split, part in zip(shares, parts, strict=True)}
