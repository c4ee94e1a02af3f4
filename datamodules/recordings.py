"""What data sets of sound have in common: clips of one length from files, and what becomes of files that are none."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aal.checks import at_least, positive
from aal.data.audio import read_clips
from aal.data.samples import AudioSamples, Samples, Sources
from aal.data.splits import grouped
from aal.datamodules.published import Published
from aal.errors import UserError
from aal.runs.progress import Progress
from aal.seeds import generator


class Recordings(Published):
    """Sound files, each decoded to a 16-bit mono clip ``(T,)``: longer files are cut, shorter ones end in zeros.

    Clips that are the same sound under several names are kept in one split, ``val`` and ``secured`` among them.

    Args:
        seconds: Length of a clip.
        sample_rate: Samples a second that every file is resampled to, in Hz.
        strict: Whether a file that is empty, truncated, damaged or of more than two channels is an error; else it is
            left out and named in ``skipped``.
        options: Arguments of :class:`Published`.

    Raises:
        UserError: ``seconds`` or ``sample_rate`` make no clip; else as of :class:`Published`.
    """

    classes: tuple[str, ...]

    def __init__(self, seconds: float, sample_rate: int = 16_000, strict: bool = False, **options: Any) -> None:
        super().__init__(**options)
        at_least(1, {"sample_rate": sample_rate})
        positive({"seconds": seconds})
        length = round(seconds * sample_rate)
        if not length:
            raise UserError(f"seconds: {seconds} is less than one sample at {sample_rate} Hz")
        self.seconds, self.sample_rate, self.strict = seconds, sample_rate, strict
        self.sample_shape = (length,)

    def setup(self, stage: str) -> None:
        """Make the splits; a network that hears another sample rate is refused first."""
        modules = self.trainer.lightning_module.modules() if self.trainer is not None else ()
        for module in modules:
            rate = getattr(module, "sample_rate", self.sample_rate)
            if rate != self.sample_rate:
                name = type(module).__name__
                raise UserError(f"sample_rate: {name} takes {rate} Hz, got {self.sample_rate}")
        super().setup(stage)

    def clips(
        self, files: Sequence[tuple[Path, int]], part: str, where: str
    ) -> tuple[AudioSamples, Tensor, list[Path]]:
        """Read those files of a part that :meth:`drawn` chooses.

        Args:
            files: All files of the part, each with its class.
            part: The part's name.
            where: What a message calls the part.

        Returns:
            The clips that could be read, their labels ``(N,)`` and their files.

        Raises:
            UserError: A file could not be read, and ``strict`` is set; or there is no clip of a class.
        """
        self._refuse_absent([label for _, label in files], where)
        drawn = self.drawn(torch.tensor([label for _, label in files]), part)
        used = [files[index] for index in drawn.tolist()]
        paths = [path for path, _ in used]
        with Progress().task("reading clips", len(used)) as task:
            pcm, reasons = read_clips(paths, self.sample_rate, self.sample_shape[0], task.advance)
        left_out = {str(paths[place]): reason for place, reason in reasons.items()}
        first = next((f"{path}: {reason}" for path, reason in left_out.items()), None)
        if first and self.strict:
            raise UserError(f"{first}; mend or remove it, or set strict: false")
        self.skipped |= left_out
        kept = [file for place, file in enumerate(used) if place not in reasons]
        labels = [label for _, label in kept]
        self._refuse_absent(labels, f"{where} that can be read, the first that cannot is {first}")
        whole = [path for path, _ in kept]
        return AudioSamples(pcm, self.sample_rate, Sources.whole(whole, self.root)), torch.tensor(labels), whole

    def _refuse_absent(self, labels: Sequence[int], where: str) -> None:
        present = set(labels)
        for label, name in enumerate(self.classes):
            if label not in present:
                raise UserError(f"root: {self.root} has no clip of {name} {where}")

    def divide(
        self, samples: Samples, labels: Tensor, shares: dict[str, float], groups: Tensor | None = None
    ) -> dict[str, tuple[Samples, Tensor]]:
        """Split samples at random, stratified and seeded.

        Args:
            samples: The samples.
            labels: Their labels ``(N,)``.
            shares: Share of each split by name; they sum to 1.
            groups: Group of each sample ``(N,)``, to keep in one split; ``None`` groups clips that are the same sound.

        Raises:
            UserError: A class has so few clips or groups that a split would lack it.
        """
        alike = copies(samples) if groups is None else groups
        parts = grouped(labels, alike, tuple(shares.values()), generator(self.seed, "split"))
        for split, part in zip(shares, parts, strict=True):
            absent = torch.bincount(labels[part], minlength=self.num_classes) == 0
            if absent.any():
                label = int(absent.nonzero()[0])
                own = alike[labels == label]
                raise UserError(
                    f"root: {self.root} has {len(own)} clips of {self.classes[label]}, by "
                    f"{len(own.unique())} speakers or of as many recordings, and {split} got none: "
                    f"{', '.join(shares)} need at least one each"
                )
        divided = dict(zip(shares, parts, strict=True))
        self.groups = alike[divided["pool"]]
        return {split: (samples.take(part), labels[part]) for split, part in divided.items()}


def copies(samples: Samples) -> Tensor:
    """Return for each sample the index of the first that equals it ``(N,)``."""
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(x.numpy().data).digest() for x in samples.stored)
    return torch.tensor([first.setdefault(digest, index) for index, digest in enumerate(digests)])
