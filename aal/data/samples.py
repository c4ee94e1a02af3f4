"""Samples of a split in memory, in the form they have on disk: what a save and a reload leaves of them."""

import io
import os
import wave
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aal.errors import UserError
from aal.runs.files import read_tensors, write_bytes, write_tensors


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
        files = [os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace") for path in below]
        return cls(files, torch.arange(len(files)))

    def take(self, indices: Tensor) -> "Sources":
        """Return the sources of indices ``(B,)``."""
        return Sources(self.files, self.file[indices], None if self.row is None else self.row[indices])

    def name(self, index: int) -> str:
        """Return where a sample comes from, such as ``train/cat/12.png`` or ``train_X.bin#12``."""
        file = self.files[int(self.file[index])]
        return file if self.row is None else f"{file}#{int(self.row[index])}"


class Samples(ABC):
    """Samples by index, decoded to floats when asked for.

    Attributes:
        suffix: Ending of the files that single samples are saved in.
        bounds: Lowest and highest value of a sample.
        sources: Where they come from, without those that were appended; ``None`` where they come from no file.
    """

    suffix: str
    bounds: tuple[float, float]
    sources: Sources | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitem__(self, indices: Tensor) -> Tensor:
        """Return the samples ``(B, ...)`` of indices ``(B,)`` as float32 within ``bounds``."""

    @property
    @abstractmethod
    def stored(self) -> Tensor:
        """The samples as they are kept, ``(N, ...)``."""

    @abstractmethod
    def of(self, stored: Tensor) -> Self:
        """Return other samples of this kind, as they are kept ``(N, ...)``."""

    def take(self, indices: Tensor) -> Self:
        """Return the samples of indices ``(B,)`` as samples of their own."""
        part = self.of(self.stored[indices])
        part.sources = self.sources and self.sources.take(indices)
        return part

    def source(self, index: int) -> str | None:
        """Return where a sample comes from; ``None`` of one that was appended or comes from no file."""
        if self.sources is None or index >= len(self.sources.file):
            return None
        return self.sources.name(index)

    @abstractmethod
    def append(self, x: Tensor) -> None:
        """Add samples ``(B, ...)`` as they were read back from files."""

    @abstractmethod
    def put(self, indices: Tensor, x: Tensor) -> None:
        """Put samples ``(B, ...)``, as they were read back from files, in the place of the indices ``(B,)``."""

    @abstractmethod
    def saved(self, x: Tensor) -> Tensor:
        """Return what saving and loading leave of samples ``(B, ...)``: float32, on the CPU."""

    @abstractmethod
    def write(self, path: Path, x: Tensor) -> None:
        """Save one sample in the form that a learner would be given it in."""

    @abstractmethod
    def read(self, path: Path) -> Tensor:
        """Load one sample that :meth:`write` saved."""


class ImageSamples(Samples):
    """8-bit images; single ones are saved as PNG.

    Args:
        pixels: uint8 ``(N, C, H, W)`` with one or three channels C.
        sources: Where they come from.
    """

    suffix = ".png"
    bounds = (0.0, 1.0)

    def __init__(self, pixels: Tensor, sources: Sources | None = None) -> None:
        self.pixels, self.sources = pixels, sources

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.pixels[indices].float() / 255

    @property
    def stored(self) -> Tensor:
        """The pixels, uint8 ``(N, C, H, W)``."""
        return self.pixels

    def of(self, stored: Tensor) -> Self:
        """Return other images, uint8 ``(N, C, H, W)``."""
        return type(self)(stored)

    def append(self, x: Tensor) -> None:
        """Add images ``(B, C, H, W)`` in [0, 1]."""
        self.pixels = torch.cat([self.pixels, to_8_bit(x)])

    def put(self, indices: Tensor, x: Tensor) -> None:
        """Put images ``(B, C, H, W)`` in [0, 1] in the place of others."""
        self.pixels = self.pixels.index_copy(0, indices, to_8_bit(x))

    def saved(self, x: Tensor) -> Tensor:
        """Round images ``(B, C, H, W)`` in [0, 1] to 8 bits."""
        return to_8_bit(x).float() / 255

    def write(self, path: Path, x: Tensor) -> None:
        """Save one image ``(C, H, W)`` in [0, 1], rounded to 8 bits."""
        pixels = to_8_bit(x).permute(1, 2, 0).squeeze(-1).numpy()  # (H, W) where there is one channel
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        write_bytes(path, buffer.getvalue(), durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one image ``(C, H, W)`` in [0, 1].

        Raises:
            UserError: The file is missing or no PNG.
        """
        try:
            with Image.open(path, formats=["PNG"]) as image:
                pixels = torch.tensor(np.asarray(image))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except OSError as error:
            raise UserError(f"{path}: not a whole PNG ({error})") from None
        return (pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)).float() / 255


class TensorSamples(Samples):
    """Float tensors of any shape; single ones are saved as safetensors, without loss.

    Args:
        values: float32 ``(N, ...)``.
        bounds: Lowest and highest value of a sample.
    """

    suffix = ".safetensors"

    def __init__(self, values: Tensor, bounds: tuple[float, float] = (0.0, 1.0)) -> None:
        self.values = values
        self.bounds = bounds

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.values[indices]

    @property
    def stored(self) -> Tensor:
        """The values, float32 ``(N, ...)``."""
        return self.values

    def of(self, stored: Tensor) -> Self:
        """Return other samples, float32 ``(N, ...)``, within the same bounds."""
        return type(self)(stored, self.bounds)

    def append(self, x: Tensor) -> None:
        """Add samples ``(B, ...)``."""
        self.values = torch.cat([self.values, x.to(self.values)])

    def put(self, indices: Tensor, x: Tensor) -> None:
        """Put samples ``(B, ...)`` in the place of others."""
        self.values = self.values.index_copy(0, indices, x.to(self.values))

    def saved(self, x: Tensor) -> Tensor:
        """Return samples ``(B, ...)`` as they are."""
        return x.float().cpu()

    def write(self, path: Path, x: Tensor) -> None:
        """Save one sample as it is."""
        write_tensors(path, {"sample": x}, durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one sample."""
        return read_tensors(path)["sample"]


class AudioSamples(Samples):
    """16-bit mono audio; single clips are saved as WAV.

    Args:
        pcm: int16 ``(N, T)``.
        sample_rate: Samples a second, in Hz.
        sources: Where they come from.
    """

    suffix = ".wav"
    bounds = (-1.0, 1.0)

    def __init__(self, pcm: Tensor, sample_rate: int, sources: Sources | None = None) -> None:
        self.pcm, self.sample_rate, self.sources = pcm, sample_rate, sources

    def __len__(self) -> int:
        return len(self.pcm)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.pcm[indices].float() / 2**15

    @property
    def stored(self) -> Tensor:
        """The samples of the clips, int16 ``(N, T)``."""
        return self.pcm

    def of(self, stored: Tensor) -> Self:
        """Return other clips, int16 ``(N, T)``, of the same sample rate."""
        return type(self)(stored, self.sample_rate)

    def append(self, x: Tensor) -> None:
        """Add clips ``(B, T)`` in [-1, 1]."""
        self.pcm = torch.cat([self.pcm, to_16_bit(x)])

    def put(self, indices: Tensor, x: Tensor) -> None:
        """Put clips ``(B, T)`` in [-1, 1] in the place of others."""
        self.pcm = self.pcm.index_copy(0, indices, to_16_bit(x))

    def saved(self, x: Tensor) -> Tensor:
        """Round clips ``(B, T)`` in [-1, 1] to 16 bits."""
        return to_16_bit(x).float() / 2**15

    def write(self, path: Path, x: Tensor) -> None:
        """Save one clip ``(T,)`` in [-1, 1], rounded to 16 bits."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(to_16_bit(x).numpy().astype("<i2").tobytes())
        write_bytes(path, buffer.getvalue(), durable=False)

    def read(self, path: Path) -> Tensor:
        """Load one clip ``(T,)`` in [-1, 1].

        Raises:
            UserError: The file is missing, or no 16-bit mono WAV of this sample rate.
        """
        try:
            with wave.open(str(path), "rb") as file:
                form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
                frames = file.readframes(file.getnframes())
                whole = len(frames) == 2 * file.getnframes()
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (wave.Error, EOFError, OSError, RuntimeError) as error:  # the last: a chunk of a false length
            raise UserError(f"{path}: not a whole WAV ({error})") from None
        if form != (1, 2, self.sample_rate) or not whole:
            raise UserError(f"{path}: not a whole 16-bit mono WAV of {self.sample_rate} Hz")
        return torch.tensor(np.frombuffer(frames, dtype="<i2")).float() / 2**15


def to_16_bit(x: Tensor) -> Tensor:
    """Round values in [-1, 1] to int16, on the CPU; 1 itself becomes the highest value below it."""
    return (x * 2**15).round().clamp(-(2**15), 2**15 - 1).to(torch.int16).cpu()


def to_8_bit(x: Tensor) -> Tensor:
    """Round values in [0, 1] to uint8, on the CPU."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
