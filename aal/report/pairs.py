"""Base instances beside the poison made of them, read back from a run's folder with what is known of them."""

import hashlib
import io
import textwrap
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from aal.checks import refuse
from aal.errors import UserError
from aal.runs import files
from aal.runs.reading import number
from aal.seeds import generator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2048  # pixels a side that a report shows
LARGEST_FILE = 2**26  # bytes of a file that a report opens
LONGEST_NAME = 40  # characters of a class's name that a report shows
FIGURES = ("index", "label", "perturbation_l2", "perturbation_linf", "norm_initial", "norm_crafted", "norm_saved")


@dataclass(frozen=True)
class Saved:
    """A sample as it was saved.

    Attributes:
        name: Name of its file in ``poisons/``.
        data: The file's content.
        values: An image, uint8 ``(3, H, W)``, or a clip, int16 ``(T,)``.
        sample_rate: Of a clip, in Hz; none for an image.
    """

    name: str
    data: bytes
    values: Tensor
    sample_rate: int | None = None


@dataclass(frozen=True)
class Pair:
    """A base instance and its poison.

    Attributes:
        title: Name of their class, or their label where it has none.
        base: The base instance.
        poison: The poison, as the learner sees it.
        figures: What the manifest says of the poison by its name there, all of :data:`FIGURES`: norms of the difference
            in the data's units, ``||f(x) - mu||`` of the base instance, and of the poison before and after saving.
        ratio: PSNR of an image, SNR of a clip, in decibels; none where nothing was changed or the base is silent.
    """

    title: str
    base: Saved
    poison: Saved
    figures: Mapping[str, float]
    ratio: float | None

    @property
    def is_sound(self) -> bool:
        """Whether it is two clips, not two images."""
        return self.base.sample_rate is not None

    @property
    def change(self) -> str:
        """How far the poison is from its base, in words."""
        kind = "SNR" if self.is_sound else "PSNR"
        l2, linf = self.figures["perturbation_l2"], self.figures["perturbation_linf"]
        steps = f"{linf * 2**15:,.0f}/32,768" if self.is_sound else f"{linf * 255:.0f}/255"
        ratio = f"{kind}: unchanged" if l2 == 0 else f"no {kind}: the base is silent"
        if self.ratio is not None:
            ratio = f"{kind} {self.ratio:.1f} dB"
        return f"{ratio}, ‖δ‖∞ = {steps}, ‖δ‖₂ = {l2:.3g}"

    @property
    def distances(self) -> str:
        """How near the collision is, in words."""
        before, crafted, after = (self.figures[f"norm_{when}"] for when in ("initial", "crafted", "saved"))
        return f"‖f-μ‖ {before:.3g} → {after:.3g} ({crafted:.3g} before saving)"


def read_pairs(run: Path, count: int) -> list[Pair]:
    """Read ``count`` base/poison pairs of a run, drawn at random but always the same.

    Args:
        run: The run's folder, with ``poisons/manifest.json`` and the images or clips that it names.
        count: How many; fewer where there are fewer.

    Returns:
        Pairs of images, or pairs of clips.

    Raises:
        UserError: There are none, or the manifest or a file is broken, missing, too large, or outside ``poisons/``, or
            neither an image nor a clip.
    """
    path = run / "poisons" / "manifest.json"
    manifest = files.read_json(path)
    poisons: Any = manifest.get("poisons") if isinstance(manifest, dict) else None
    refuse(not isinstance(poisons, list) or not poisons, f"{path}: it lists no poisons")
    chosen = torch.randperm(len(poisons), generator=generator(0, "pairs shown"))[:count].sort().values
    pairs = [_pair(path, index, poisons[index]) for index in chosen.tolist()]
    refuse(len({pair.is_sound for pair in pairs}) > 1, f"{path}: some of the poisons are images and some are sound")
    return pairs


def _pair(path: Path, position: int, entry: Any) -> Pair:  # noqa: ANN401 - whatever the file holds
    called = f"{path}: poisons[{position}]"
    refuse(not isinstance(entry, dict), f"{called} is not an entry of a poison")
    for key in FIGURES:
        refuse(number(entry, key) is None, f"{called}: {key} must be a number, not {entry.get(key)!r}")
    name = entry.get("class", "")
    refuse(not isinstance(name, str), f"{called}: class must be a name, not {name!r}")
    base, poison = (read_saved(path.parent, entry.get(key), f"{called}: {key}") for key in ("base_file", "poison_file"))
    refuse(
        base.values.shape != poison.values.shape or base.sample_rate != poison.sample_rate,
        f"{called}: base and poison differ in size, or in kind",
    )
    for kind, saved in (("base", base), ("poison", poison)):
        digest = hashlib.sha256(saved.data).hexdigest()
        altered = entry.get(f"{kind}_sha256", digest) != digest  # runs of earlier versions have none
        refuse(altered, f"{called}: {saved.name} was altered since it was written")
    key = "psnr" if base.sample_rate is None else "snr"
    ratio = number(entry, key)
    refuse(
        ratio is None and entry.get(key, "") is not None,
        f"{called}: {key} must be a number or null, not {entry.get(key)!r}",
    )
    title = textwrap.shorten(name, LONGEST_NAME, placeholder="…") if name.strip() else f"label {int(entry['label'])}"
    return Pair(title, base, poison, {key: float(entry[key]) for key in FIGURES}, ratio)


def read_saved(folder: Path, name: object, called: str) -> Saved:
    """Read a PNG image or a WAV clip of ``folder``; nothing outside the folder is opened.

    Args:
        folder: The folder.
        name: The file's name, whatever a manifest says.
        called: What names it in an error.

    Raises:
        UserError: It is missing, too large, broken, or something else.
    """
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise UserError(f"{called} must name a file beside the manifest, not {name!r}")
    path = (folder / name).resolve()
    refuse(
        path.parent != folder.resolve() or not path.is_file(),
        f"{called}: no such file beside the manifest: {name!r}",
    )
    refuse(
        path.stat().st_size > LARGEST_FILE,
        f"{called}: {name} is too large; a report opens files of {LARGEST_FILE:,} bytes at most",
    )
    data = path.read_bytes()
    if data[:8] == SIGNATURE and len(data) >= 24:
        return Saved(name, data, _image(data, f"{called}: {name}"))
    if data[:4] == b"RIFF":
        return Saved(name, data, *_clip(data, f"{called}: {name}"))
    raise UserError(f"{called}: {name} is neither a PNG image nor a WAV clip, which are all that a report can show")


def _image(data: bytes, called: str) -> Tensor:
    """Decode a PNG image as 8-bit RGB, uint8 ``(3, H, W)``."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    refuse(
        max(width, height) > LARGEST,
        f"{called} has {width} x {height} pixels; a report shows {LARGEST} a side at most",
    )
    try:
        pixels = bytearray(Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB").tobytes())
    except (OSError, SyntaxError, ValueError):
        raise UserError(f"{called} is broken") from None
    return torch.frombuffer(pixels, dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)


def _clip(data: bytes, called: str) -> tuple[Tensor, int]:
    """Decode a 16-bit mono WAV clip: its samples, int16 ``(T,)``, and how many there are a second."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate, count = file.getparams()[:4]
            frames = bytearray(file.readframes(count))
    except (wave.Error, EOFError, RuntimeError):  # the last where a chunk says that it is longer than the file
        raise UserError(f"{called} is broken") from None
    refuse(
        (channels, width) != (1, 2) or rate < 1 or not count or len(frames) != 2 * count,
        f"{called} is not a whole 16-bit mono clip",
    )
    return torch.frombuffer(frames, dtype=torch.int16), rate
