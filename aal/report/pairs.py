"""Base instances beside the poison made of them, with their norms (Figure 1)."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aal import files
from aal.errors import UserError
from aal.report.style import MUTED, panels, style
from aal.seeds import generator
from aal.studies.runs import number

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2048  # pixels a side that a report shows
NORMS = ("perturbation", "norm_initial", "norm_saved")


@dataclass(frozen=True)
class Pair:
    """A base instance and its poison.

    Attributes:
        index: The poison's index in the pool.
        label: The label of both.
        base: The base instance, uint8 ``(3, H, W)``.
        poison: The poison as the learner sees it, likewise.
        perturbation: L2 norm of the difference, in the range [0, 1] of the data.
        before: ``||f(x) - mu||`` of the base instance.
        after: ``||f(x) - mu||`` of the poison, saved and read back.
    """

    index: int
    label: int
    base: Tensor
    poison: Tensor
    perturbation: float
    before: float
    after: float


def read_pairs(run: Path, count: int) -> list[Pair]:
    """Read ``count`` base/poison pairs of a run, drawn at random but always the same.

    Args:
        run: The run's folder, with ``poisons/manifest.json`` and the images that it names.
        count: How many; fewer where there are fewer.

    Raises:
        UserError: There are none, or the manifest or an image is broken, missing, or outside ``poisons/``.
    """
    folder = run / "poisons"
    path = folder / "manifest.json"
    manifest = files.read_json(path)
    poisons = manifest.get("poisons") if isinstance(manifest, dict) else None
    if not isinstance(poisons, list) or not poisons:
        raise UserError(f"{path}: it lists no poisons")
    chosen = torch.randperm(len(poisons), generator=generator(0, "pairs shown"))[:count].sort().values
    return [_pair(path, index, poisons[index]) for index in chosen.tolist()]


def amplified(pairs: list[Pair]) -> tuple[list[Tensor], int]:
    """Return each pair's difference on mid-grey, uint8 ``(3, H, W)``, and the factor that all are amplified by."""
    differences = [pair.poison.int() - pair.base.int() for pair in pairs]
    largest = max(int(difference.abs().max()) for difference in differences)
    factor = max(1, 127 // max(1, largest))
    return [(128 + factor * difference).clamp(0, 255).to(torch.uint8) for difference in differences], factor


def png(image: Tensor) -> bytes:
    """Encode an image, uint8 ``(3, H, W)``, as PNG."""
    data = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(data, "PNG")
    return data.getvalue()


def pairs_figure(pairs: list[Pair]) -> Figure:
    """Draw pairs: base, poison and amplified difference of each, with its label and norms."""
    differences, factor = amplified(pairs)
    with style():
        figure, grid = panels(len(pairs), 4.2, 1.9, columns=3)
        for axes, pair, difference in zip(grid, pairs, differences, strict=True):
            axes.set_axis_off()
            axes.set_title(f"label {pair.label}, ‖δ‖ = {pair.perturbation:.3g}", fontsize=9)
            images = (
                (pair.base, f"base\n‖f-μ‖ = {pair.before:.3g}"),
                (pair.poison, f"poison\n‖f-μ‖ = {pair.after:.3g}"),
                (difference, f"difference,\n{factor}-fold" if factor > 1 else "difference"),
            )
            for index, (image, caption) in enumerate(images):
                inset = axes.inset_axes((index / 3, 0.14, 0.31, 0.86))
                inset.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
                inset.set_axis_off()
                inset.annotate(
                    caption, (0.5, -0.04), xycoords="axes fraction", ha="center", va="top", fontsize=7.5, color=MUTED
                )
    return figure


def _pair(path: Path, position: int, entry: Any) -> Pair:  # noqa: ANN401 - whatever the file holds
    called = f"{path}: poisons[{position}]"
    if not isinstance(entry, dict):
        raise UserError(f"{called} is not an entry of a poison")
    for key in (*NORMS, "index", "label"):
        if number(entry, key) is None:
            raise UserError(f"{called}: {key} must be a number, not {entry.get(key)!r}")
    base, poison = (_image(path.parent, entry.get(key), f"{called}: {key}") for key in ("base_file", "poison_file"))
    if base.shape != poison.shape:
        raise UserError(f"{called}: base and poison differ in size")
    perturbation, before, after = (float(entry[key]) for key in NORMS)
    return Pair(int(entry["index"]), int(entry["label"]), base, poison, perturbation, before, after)


def _image(folder: Path, name: object, called: str) -> Tensor:
    """Read an 8-bit PNG of ``folder`` as RGB, uint8 ``(3, H, W)``; nothing outside the folder is opened."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise UserError(f"{called} must name a file beside the manifest, not {name!r}")
    path = (folder / name).resolve()
    if path.parent != folder.resolve() or not path.is_file():
        raise UserError(f"{called}: no such file beside the manifest: {name!r}")
    data = path.read_bytes()
    if data[:8] != SIGNATURE or len(data) < 24:
        raise UserError(f"{called}: {name} is not a PNG image")
    width, height = struct.unpack(">II", data[16:24])
    if max(width, height) > LARGEST:
        raise UserError(f"{called}: {name} has {width} x {height} pixels; a report shows {LARGEST} a side at most")
    try:
        pixels = bytearray(Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB").tobytes())
    except (OSError, SyntaxError, ValueError):
        raise UserError(f"{called}: {name} is broken") from None
    return torch.frombuffer(pixels, dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)
