"""What data sets in files have in common: which samples of which classes are used, how they are split, and fetching."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from aal.checks import at_least_or_none, refuse
from aal.data.decoding import printable, read_each
from aal.data.downloads import fetch, unpack
from aal.data.samples import Samples
from aal.data.splits import grouped, of_each_class, stratified
from aal.datamodules.base import ActiveDataModule
from aal.datamodules.hold_out import fewer
from aal.errors import RunStopped, UserError
from aal.runs.files import NO_SPACE, refuse_irregular
from aal.runs.progress import Progress
from aal.seeds import generator

SPLITS = {
    "held_out": {"pool": 0.8, "craft": 0.1, "test": 0.1},
    "published": {"pool": 0.9, "craft": 0.1},
}
LOCK = ".aal.lock"


class Stored(ActiveDataModule):
    """A data set in files: a training part, and a test part where it has one.

    Args:
        root: Folder that holds the data set.
        test: ``held_out``: the training part is split 80/10/10 into pool, craft and test, stratified (paper
            *collision*, section IV.A); ``published``: it is split 90/10 into pool and craft, and the test split is the
            test part.
        limit: Most samples of a class to use of each part, drawn at random; ``null`` for all.
        test_size: Samples to keep of the split ``test``, drawn at random, stratified; ``null`` for all.
        options: Arguments of :class:`ActiveDataModule`.

    Attributes:
        divisions: What ``test`` may be, each with the shares of the splits that the training part is split into.

    Raises:
        UserError: ``test`` is none of these; ``limit`` is below the number of splits that need one; in ``setup``, files
            are missing or damaged, or ``test_size`` is more than there are, or leaves a class out.
    """

    classes: tuple[str, ...]
    divisions: ClassVar[dict[str, dict[str, float]]] = SPLITS

    def __init__(
        self,
        root: str = "data",
        test: str = "held_out",
        limit: int | None = None,
        test_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        refuse(test not in self.divisions, f"test: must be {' or '.join(self.divisions)}, got {test!r}")
        at_least_or_none(len(self.divisions[test]), {"limit": limit})
        at_least_or_none(1, {"test_size": test_size})
        self.root, self.test, self.limit, self.test_size = root, test, limit, test_size
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
        splits = splits if "test" in splits else splits | {"test": self.read("test")}
        return (
            splits
            if self.test_size is None
            else splits | {"test": fewer("test", *splits["test"], self.test_size, generator(self.seed, "test_size"))}
        )

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
        return torch.cat([order[own[: self.limit]] for own in of_each_class(labels[order])]).sort().values

    def read_each(
        self,
        files: Sequence[tuple[Path, int]],
        part: str,
        decode: Callable[[Path], np.typing.NDArray[Any]],
        dtype: np.typing.DTypeLike,
        strict: bool,
    ) -> tuple[Tensor, list[Path], Tensor]:
        """Read those files of a part, a sample each, that :meth:`drawn` chooses; bad ones are named in ``skipped``.

        Args:
            files: All files of the part, each with its class.
            part: ``train`` or ``test``.
            decode: Returns a file's sample, or raises :class:`aal.data.decoding.Unreadable`.
            dtype: What samples are kept as.
            strict: Whether a bad file is an error.

        Returns:
            The samples that could be read ``(N, *sample_shape)``, their files and their labels ``(N,)``.

        Raises:
            UserError: A file could not be read, and ``strict`` is set; or there is no sample of a class.
        """
        self._refuse_absent(files, part)
        drawn = self.drawn(torch.tensor([label for _, label in files]), part)
        used = [files[index] for index in drawn.tolist()]
        with Progress().task(f"reading {self.name}", len(used)) as task:
            paths = [path for path, _ in used]
            stored, reasons = read_each(paths, decode, self.sample_shape, dtype, task.advance)
        left_out = {printable(paths[place]): reason for place, reason in reasons.items()}
        first = next((f"{path}: {reason}" for path, reason in left_out.items()), None)
        refuse(first and strict, f"{first}; mend or remove it, or set strict: false")
        self.skipped |= left_out
        kept = [file for place, file in enumerate(used) if place not in reasons]
        self._refuse_absent(kept, part, f" that can be read, the first that cannot is {first}")
        return stored, [path for path, _ in kept], torch.tensor([label for _, label in kept])

    def where(self, part: str, name: str) -> str:
        """Return what a message calls the place of a class's files, after "has no sample of cat"."""
        return f"in its {part} part"

    def _refuse_absent(self, files: Sequence[tuple[Path, int]], part: str, which: str = "") -> None:
        present = {label for _, label in files}
        for label, name in enumerate(self.classes):
            refuse(label not in present, f"root: {self.root} has no sample of {name} {self.where(part, name)}{which}")

    def divide(
        self, samples: Samples, labels: Tensor, shares: dict[str, float], groups: Tensor | None = None
    ) -> dict[str, tuple[Samples, Tensor]]:
        """Split samples at random, stratified and seeded.

        Args:
            samples: The samples.
            labels: Their labels ``(N,)``.
            shares: Share of each split by name; they sum to 1.
            groups: Group of each sample ``(N,)``, to keep in one split; ``None`` where each stands alone.

        Raises:
            UserError: A class has so few samples or groups that a split would lack it.
        """
        draw, sizes = generator(self.seed, "split"), tuple(shares.values())
        found = stratified(labels, sizes, draw) if groups is None else grouped(labels, groups, sizes, draw)
        parts = dict(zip(shares, found, strict=True))
        for split, part in parts.items():
            absent = torch.bincount(labels[part], minlength=self.num_classes) == 0
            if absent.any():
                label = int(absent.nonzero()[0])
                own = labels == label
                limit = "" if self.limit is None else f" with limit {self.limit}"
                by = f", by {len(groups[own].unique())} speakers or of as many recordings" if groups is not None else ""
                raise UserError(
                    f"root: {self.root} has {int(own.sum())} samples of class {self.classes[label]}{limit}{by}, "
                    f"and {split} got none: {', '.join(shares)} need at least one each"
                )
        self.groups = None if groups is None else groups[parts["pool"]]
        return {split: (samples.take(part), labels[part]) for split, part in parts.items()}


class Published(Stored):
    """A data set that its publisher gives to download.

    Args:
        download: Whether to fetch what is missing below ``root``, where everything lies as its publisher gives it.
        options: Arguments of :class:`Stored`.

    Attributes:
        source: Where the publisher gives it: the archive's address, or what a file's name is appended to.
        archive: Name and checksum of the archive, where it comes in one.

    Raises:
        UserError: As of :class:`Stored`; what is missing cannot be fetched or written.
        RunStopped: There is no space left for it.
    """

    source: str
    archive: ClassVar[tuple[str, str] | None] = None

    def __init__(self, download: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.download = download
        self._not_fetched: UserError | RunStopped | None = None

    @abstractmethod
    def files(self, part: str) -> Sequence[str]:
        """Return the files or folders below ``root`` that a part, ``train`` or ``test``, is read from."""

    def address(self, name: str) -> tuple[str, str | None]:
        """Return where a file of that name is given, and its checksum, where one was published."""
        return self.source + quote(name), None

    def fetch(self, absent: Sequence[str]) -> None:
        """Fetch and check the files or folders below ``root`` that are missing.

        Raises:
            UserError: They cannot be reached, or are not what was published.
        """
        root = Path(self.root)
        if self.archive is not None:
            name, checksum = self.archive
            fetch(self.source, root / name, checksum)
            unpack(root / name, root, only=absent)
            return
        for file in absent:
            url, published = self.address(Path(file).name)
            fetch(url, root / file, published)

    def prepare_data(self) -> None:
        """Fetch what is missing, in one process a machine; what goes wrong is told by ``load``, on every rank.

        Where nothing is missing nothing is written, so that ``root`` may be read-only. A second run that wants the same
        waits for the first.
        """
        try:
            if self.download and self._absent():
                Path(self.root).mkdir(parents=True, exist_ok=True)
                with FileLock(Path(self.root) / LOCK):
                    if absent := self._absent():
                        self.fetch(absent)
        except (UserError, RunStopped) as error:  # raised here it would leave the other ranks waiting
            self._not_fetched = error
        except OSError as error:
            self._not_fetched = (
                RunStopped(f"no space left to fetch to {self.root}; what was fetched before is whole")
                if error.errno in NO_SPACE
                else UserError(f"root: {self.root} cannot be written to ({error.strerror})")
            )

    def _needed(self) -> list[str]:
        """Return the files or folders that are needed."""
        return [*dict.fromkeys(file for part in self.parts for file in self.files(part))]

    def _absent(self) -> list[str]:
        """Return which of them are not there."""
        return [file for file in self._needed() if not (Path(self.root) / file).exists()]

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits, if all files are there."""
        if self._not_fetched is not None:
            raise self._not_fetched
        try:
            absent = self._absent()
        except OSError as error:
            raise UserError(f"root: {self.root} cannot be read ({error.strerror})") from None
        refuse(
            absent,
            f"root: {self.root} has no {', '.join(absent)}; put them there ({self.source}), or set download: true",
        )
        for file in self._needed():
            refuse_irregular(Path(self.root) / file)
        return super().load()
