"""What data sets in files have in common: which samples of which classes are used, how they are split, and fetching."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from filelock import FileLock
from torch import Tensor

from aal.checks import at_least
from aal.data.samples import Samples
from aal.data.splits import of_each_class, stratified
from aal.datamodules.base import ActiveDataModule
from aal.datamodules.downloads import missing, require
from aal.errors import RunStopped, UserError
from aal.runs.files import NO_SPACE
from aal.seeds import generator

SPLITS = {
    "held_out": {"pool": 0.8, "craft": 0.1, "test": 0.1},
    "published": {"pool": 0.9, "craft": 0.1},
}
LOCK = ".aal.lock"

Class = TypeVar("Class", str, int)


class Stored(ActiveDataModule):
    """A data set in files: a training part, and a test part where it has one.

    Args:
        root: Folder that holds the data set.
        test: ``held_out``: the training part is split 80/10/10 into pool, craft and test, stratified (paper
            *collision*, section IV.A); ``published``: it is split 90/10 into pool and craft, and the test split is the
            test part.
        limit: Most samples of a class to use of each part, drawn at random; ``null`` for all.
        options: Arguments of :class:`ActiveDataModule`.

    Attributes:
        divisions: What ``test`` may be, each with the shares of the splits that the training part is split into.

    Raises:
        UserError: ``test`` is none of these; ``limit`` is below the number of splits that need one; in ``setup``, files
            are missing or damaged.
    """

    divisions: ClassVar[dict[str, dict[str, float]]] = SPLITS

    def __init__(self, root: str = "data", test: str = "held_out", limit: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if test not in self.divisions:
            raise UserError(f"test: must be {' or '.join(self.divisions)}, got {test!r}")
        if limit is not None:
            at_least(len(self.divisions[test]), {"limit": limit})
        self.root, self.test, self.limit = root, test, limit
        self.parts = ("train", "test") if test == "published" else ("train",)

    @abstractmethod
    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read those samples of a part that :meth:`drawn` chooses.

        Args:
            part: ``train`` or ``test``.

        Returns:
            Samples and labels ``(N,)``.

        Raises:
            UserError: A file is truncated or altered; the message names it.
        """

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits."""
        splits = self.divide(*self.read("train"), self.divisions[self.test])
        return splits if "test" in splits else splits | {"test": self.read("test")}

    def drawn(self, labels: Tensor, part: str) -> Tensor:
        """Return which samples of a part are used: all, or ``limit`` of each class at random.

        Args:
            labels: The labels ``(N,)`` of the part.
            part: ``train`` or ``test``.

        Returns:
            Indices ``(M,)``, ascending.
        """
        if self.limit is None:
            return torch.arange(len(labels))
        order = torch.randperm(len(labels), generator=generator(self.seed, "limit", part))
        chosen = [order[own[: self.limit]] for own in of_each_class(labels[order])]
        return torch.cat(chosen).sort().values

    def divide(self, samples: Samples, labels: Tensor, shares: dict[str, float]) -> dict[str, tuple[Samples, Tensor]]:
        """Split samples at random, stratified and seeded.

        Args:
            samples: The samples.
            labels: Their labels ``(N,)``.
            shares: Share of each split by name; they sum to 1.

        Raises:
            UserError: A class has so few samples that a split would lack it.
        """
        parts = stratified(labels, tuple(shares.values()), generator(self.seed, "split"))
        for split, part in zip(shares, parts, strict=True):
            absent = torch.bincount(labels[part], minlength=self.num_classes) == 0
            if absent.any():
                label = int(absent.nonzero()[0])
                called = self.classes[label] if self.classes else label
                limit = "" if self.limit is None else f" with limit {self.limit}"
                raise UserError(
                    f"root: {self.root} has {int((labels == label).sum())} samples of class {called}"
                    f"{limit}, and {split} got none: {', '.join(shares)} need at least one each"
                )
        return {split: (samples.take(part), labels[part]) for split, part in zip(shares, parts, strict=True)}


class Published(Stored):
    """A data set that its publisher gives to download.

    Args:
        download: Whether to fetch what is missing below ``root``, where everything lies as its publisher gives it.
        options: Arguments of :class:`Stored`.

    Attributes:
        source: Where the publisher gives it.

    Raises:
        UserError: As of :class:`Stored`; what is missing cannot be fetched or written.
        RunStopped: There is no space left for it.
    """

    source: str

    def __init__(self, download: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.download = download
        self._not_fetched: UserError | RunStopped | None = None

    @abstractmethod
    def files(self, part: str) -> Sequence[str]:
        """Return the files or folders below ``root`` that a part, ``train`` or ``test``, is read from."""

    @abstractmethod
    def fetch(self) -> None:
        """Fetch what is missing below ``root`` and check it.

        Raises:
            UserError: It cannot be reached, or is not what was published.
        """

    def prepare_data(self) -> None:
        """Fetch what is missing, in one process a machine; what goes wrong is told by ``load``, on every rank.

        Where nothing is missing nothing is written, so that ``root`` may be read-only.
        """
        try:
            if self.download and missing(self.root, self._needed):
                self._fetch_alone()
        except (UserError, RunStopped) as error:  # raised here it would leave the other ranks waiting
            self._not_fetched = error
        except OSError as error:
            self._not_fetched = self._unwritten(error)

    def _fetch_alone(self) -> None:
        """Fetch what is missing; a second run that wants the same waits for it."""
        Path(self.root).mkdir(parents=True, exist_ok=True)
        with FileLock(Path(self.root) / LOCK):
            self.fetch()

    def _unwritten(self, error: OSError) -> UserError | RunStopped:
        if error.errno in NO_SPACE:
            return RunStopped(f"no space left to fetch to {self.root}; what was fetched before is whole")
        return UserError(f"root: {self.root} cannot be written to ({error.strerror})")

    @property
    def _needed(self) -> list[str]:
        files = [file for part in self.parts for file in self.files(part)]
        return list(dict.fromkeys(files))

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits, if all files are there."""
        if self._not_fetched is not None:
            raise self._not_fetched
        try:
            require(self.root, self._needed, self.source)
        except OSError as error:
            raise UserError(f"root: {self.root} cannot be read ({error.strerror})") from None
        return super().load()


def choose(asked: Sequence[Class] | None, known: Sequence[Class], key: str) -> tuple[Class, ...]:
    """Return the classes that a user asked for, in that order; all where none are named.

    Args:
        asked: The user's choice.
        known: What there is.
        key: The argument's name.

    Raises:
        UserError: An unknown class, one named twice, or fewer than two.
    """
    if asked is None:
        return tuple(known)
    for name in asked:
        if name not in known:
            raise UserError(f"{key}: there is no {name}, only {', '.join(map(str, known))}")
    distinct(asked, key)
    return tuple(asked)


def distinct(names: Sequence[Class], key: str) -> None:
    """Refuse a choice of classes that names one twice, or fewer than two.

    Args:
        names: The classes.
        key: The argument's name.

    Raises:
        UserError: Says which.
    """
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{key}: names {name} twice")
    if len(names) < 2:
        raise UserError(f"{key}: a classifier needs at least 2 classes, got {len(names)}")


def members(labels: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Keep the samples of some classes.

    Args:
        labels: Class of each sample ``(N,)``, as published.
        classes: The classes to keep, as published.

    Returns:
        The samples' indices ``(M,)``, ascending, and their labels ``(M,)``: positions in ``classes``.
    """
    wanted = torch.tensor(classes)
    kept = torch.isin(labels, wanted).nonzero()[:, 0]
    return kept, (labels[kept, None] == wanted).int().argmax(1)
