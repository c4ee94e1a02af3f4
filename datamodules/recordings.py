"""What data sets of sound have in common: clips of one length from files, and what becomes of files that are none."""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aal.checks import at_least, positive, refuse
from aal.data.audio import read_clip
from aal.data.samples import AudioSamples, Samples, Sources
from aal.datamodules.published import Published


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

    def __init__(self, seconds: float, sample_rate: int = 16_000, strict: bool = False, **options: Any) -> None:
        super().__init__(**options)
        at_least(1, {"sample_rate": sample_rate})
        positive({"seconds": seconds})
        length = round(seconds * sample_rate)
        refuse(not length, f"seconds: {seconds} is less than one sample at {sample_rate} Hz")
        self.seconds, self.sample_rate, self.strict = seconds, sample_rate, strict
        self.sample_shape = (length,)

    def setup(self, stage: str) -> None:
        """Make the splits; a network that hears another sample rate is refused first."""
        modules = self.trainer.lightning_module.modules() if self.trainer is not None else ()
        for module in modules:
            rate = getattr(module, "sample_rate", self.sample_rate)
            refuse(
                rate != self.sample_rate,
                f"sample_rate: {type(module).__name__} takes {rate} Hz, got {self.sample_rate}",
            )
        super().setup(stage)

    def clips(self, files: Sequence[tuple[Path, int]], part: str) -> tuple[AudioSamples, Tensor, list[Path]]:
        """Return clips, labels and files of a part; arguments and refusals are those of :meth:`read_each`."""
        decode = partial(read_clip, sample_rate=self.sample_rate, length=self.sample_shape[0])
        pcm, paths, labels = self.read_each(files, part, decode, np.int16, self.strict)
        return AudioSamples(pcm, self.sample_rate, Sources.whole(paths, self.root)), labels, paths

    def divide(
        self, samples: Samples, labels: Tensor, shares: dict[str, float], groups: Tensor | None = None
    ) -> dict[str, tuple[Samples, Tensor]]:
        """Split samples at random; without ``groups`` clips that are the same sound are kept in one split."""
        if groups is None:
            groups = first_of_each(hashlib.blake2b(x.numpy().data).digest() for x in samples.stored)
        return super().divide(samples, labels, shares, groups)


def first_of_each(keys: Iterable[Hashable]) -> Tensor:
    """Return for each key the place of the first that equals it ``(N,)``."""
    first: dict[Hashable, int] = {}
    return torch.tensor([first.setdefault(key, place) for place, key in enumerate(keys)])
