"""Samples of a split in memory, in the form they have on disk: what a save and a reload leaves of them."""

import copy
import hashlib
import io
import wave
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from aal.checks import refuse
from aal.data.decoding import printable
from aal.errors import UserError
from aal.runs.files import read_bytes, read_tensors, write_bytes, write_tensors


@dataclass(frozen=True)
class Sources:
    """Where samples come from: a file each, or a row each of files that hold many.

    Args:
        files: The files, below the data set's folder.
        file: Place of each sample's file in them ``(N,)``.
        row: Each sample's row in its file, from 0 ``(N,)``; ``None`` where a file is one sample.
    """

    files: Sequence[str]
    file: Tensor
    row: Tensor | None = None

    @classmethod
    def rows(cls, files: Sequence[str], counts: Sequence[int], places: Tensor) -> Self:
        """Return the sources of samples ``(N,)`` that are counted through files with ``counts`` samples each."""
        ends = torch.tensor(counts).cumsum(0)
        file = torch.bucketize(places, ends, right=True)
        return cls(files, file, places - (ends - torch.tensor(counts))[file])

    @classmethod
    def whole(cls, paths: Sequence[Path], root: str) -> Self:
        """Return the sources of samples that are a file each, named from ``root`` where they lie below it.

        Bytes of a name that are no UTF-8 are written by their numbers.
        """
        below = [path.relative_to(root) if path.is_relative_to(root) else path for path in paths]
        files = [printable(path.as_posix()) for path in below]
        return cls(files, torch.arange(len(files)))

    def take(self, indices: Tensor) -> "Sources":
        """Return the sources of indices ``(B,)``."""
        return Sources(self.files, self.file[indices], None if self.row is None else self.row[indices])

    def name(self, index: int) -> str:
        """Return where a sample comes from, such as ``train/cat/12.png`` or ``train_X.bin#12``."""
        return self.files[int(self.file[index])] + ("" if self.row is None else f"#{int(self.row[index])}")


class Samples(ABC):
    """Samples by index, decoded to floats when asked for.

    Args:
        stored: The samples as they are kept, ``(N, ...)``.
        sources: Where they come from, without those that are appended; ``None`` where they come from no file.

    Attributes:
        suffix: Ending of the files that single samples are saved in.
        bounds: Lowest and highest value of a sample.
    """

    suffix: str
    bounds: tuple[float, float]

    def __init__(self, stored: Tensor, sources: Sources | None = None) -> None:
        self.stored, self.sources = stored, sources

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return the samples ``(B, ...)`` of indices ``(B,)`` as float32 within ``bounds``."""
        return self.decoded(self.stored[indices])

    def take(self, indices: Tensor) -> Self:
        """Return the samples of indices ``(B,)`` as samples of their own."""
        part = copy.copy(self)
        part.stored, part.sources = self.stored[indices], self.sources and self.sources.take(indices)
        return part

    def source(self, index: int) -> str | None:
        """Return where a sample comes from; ``None`` of one that was appended or comes from no file."""
        return None if self.sources is None or index >= len(self.sources.file) else self.sources.name(index)

    def append(self, x: Tensor) -> None:
        """Add samples ``(B, ...)`` as they were read back from files."""
        self.stored = torch.cat([self.stored, self.encoded(x)])

    def put(self, indices: Tensor, x: Tensor) -> None:
        """Put samples ``(B, ...)``, as they were read back from files, in the place of the indices ``(B,)``."""
        self.stored = self.stored.index_copy(0, indices, self.encoded(x))

    def saved(self, x: Tensor) -> Tensor:
        """Return what saving and loading leave of samples ``(B, ...)``: float32, on the CPU."""
        return self.decoded(self.encoded(x))

    @abstractmethod
    def encoded(self, x: Tensor) -> Tensor:
        """Return samples ``(B, ...)`` within ``bounds`` as they are kept, on the CPU."""

    @abstractmethod
    def decoded(self, stored: Tensor) -> Tensor:
        """Return samples as they are kept ``(B, ...)`` as float32 within ``bounds``."""

    @abstractmethod
    def write(self, path: Path, x: Tensor) -> None:
        """Save one sample in the form that a learner would be given it in."""

    @abstractmethod
    def read(self, path: Path) -> Tensor:
        """Load one sample that :meth:`write` saved."""


class ImageSamples(Samples):
    """8-bit images, uint8 ``(N, C, H, W)`` with one or three channels C, in [0, 1]; single ones are saved as PNG."""

    suffix = ".png"
    bounds = (0.0, 1.0)

    def encoded(self, x: Tensor) -> Tensor:
        """Round images ``(B, C, H, W)`` in [0, 1] to 8 bits."""
        return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()

    def decoded(self, stored: Tensor) -> Tensor:
        """Return 8-bit images ``(B, C, H, W)`` in [0, 1]."""
        return stored.float() / 255

    def write(self, path: Path, x: Tensor) -> None:
        """Save one image ``(C, H, W)`` in [0, 1], rounded to 8 bits."""
        pixels = self.encoded(x).permute(1, 2, 0).squeeze(-1).numpy()  # (H, W) where there is one channel
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        write_bytes(path, buffer.getvalue(), durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one image ``(C, H, W)`` in [0, 1].

        Raises:
            UserError: The file is missing, or no 8-bit PNG of one or three channels.
        """
        content = read_bytes(path)
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                refuse(image.mode not in ("L", "RGB"), f"{path}: not an 8-bit image of gray or of red, green and blue")
                pixels = torch.tensor(np.asarray(image))
        except OSError as error:
            raise UserError(f"{path}: not a whole PNG ({error})") from None
        return self.decoded(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1))


class TensorSamples(Samples):
    """Float tensors of any shape; single ones are saved as safetensors, without loss.

    Args:
        stored: float32 ``(N, ...)``.
        bounds: Lowest and highest value of a sample.
        sources: Where they come from.
    """

    suffix = ".safetensors"

    def __init__(
        self, stored: Tensor, bounds: tuple[float, float] = (0.0, 1.0), sources: Sources | None = None
    ) -> None:
        super().__init__(stored, sources)
        self.bounds = bounds

    def encoded(self, x: Tensor) -> Tensor:
        """Return samples ``(B, ...)`` as they are."""
        return x.float().cpu()

    def decoded(self, stored: Tensor) -> Tensor:
        """Return samples ``(B, ...)`` as they are."""
        return stored

    def write(self, path: Path, x: Tensor) -> None:
        """Save one sample as it is."""
        write_tensors(path, {"sample": x}, durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one sample."""
        sample = read_tensors(path).get("sample")
        refuse(sample is None or not sample.is_floating_point(), f"{path}: holds no tensor 'sample' of real numbers")
        assert sample is not None
        return sample


class AudioSamples(Samples):
    """16-bit mono audio in [-1, 1]; single clips are saved as WAV.

    Args:
        stored: int16 ``(N, T)``.
        sample_rate: Samples a second, in Hz.
        sources: Where they come from.
    """

    suffix = ".wav"
    bounds = (-1.0, 1.0)

    def __init__(self, stored: Tensor, sample_rate: int, sources: Sources | None = None) -> None:
        super().__init__(stored, sources)
        self.sample_rate = sample_rate

    def encoded(self, x: Tensor) -> Tensor:
        """Round clips ``(B, T)`` in [-1, 1] to 16 bits; 1 itself becomes the highest value below it."""
        return (x * 2**15).round().clamp(-(2**15), 2**15 - 1).to(torch.int16).cpu()

    def decoded(self, stored: Tensor) -> Tensor:
        """Return 16-bit clips ``(B, T)`` in [-1, 1]."""
        return stored.float() / 2**15

    def write(self, path: Path, x: Tensor) -> None:
        """Save one clip ``(T,)`` in [-1, 1], rounded to 16 bits."""
        buffer = io.BytesIO()
        soundfile.write(buffer, self.encoded(x).numpy(), self.sample_rate, "PCM_16", format="WAV")
        write_bytes(path, buffer.getvalue(), durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one clip ``(T,)`` in [-1, 1].

        Raises:
            UserError: The file is missing, or no 16-bit mono WAV of this sample rate.
        """
        content = read_bytes(path)
        try:
            with wave.open(io.BytesIO(content), "rb") as file:
                form = (file.getnchannels(), file.getsampwidth(), file.getframerate(), 2 * file.getnframes())
                frames = file.readframes(file.getnframes())
        except (wave.Error, EOFError, RuntimeError) as error:  # the last: a chunk of a false length
            raise UserError(f"{path}: not a whole WAV ({error})") from None
        refuse(
            form != (1, 2, self.sample_rate, len(frames)),
            f"{path}: not a whole 16-bit mono WAV of {self.sample_rate} Hz",
        )
        return self.decoded(torch.tensor(np.frombuffer(frames, dtype="<i2")))


def fingerprint_of(samples: Samples, labels: Tensor) -> str:
    """Return the SHA-256 of a split: its samples as they are kept, and their labels ``(N,)``."""
    digest = hashlib.sha256(f"{samples.bounds} {tuple(samples.stored.shape)}".encode())
    digest.update(labels.contiguous().numpy().data)
    digest.update(samples.stored.contiguous().numpy().data)
    return digest.hexdigest()
