"""Samples beside what was made of them, and the difference: bases and poisons (Figure 1), adversarial examples."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from PIL import Image
from torch import Tensor

from aal.report.pairs import Pair
from aal.report.style import DPI, MUTED, POISON, POOL, style
from aal.robustness.evaluation import Examples

WINDOW = 0.016  # seconds that one column of a spectrogram looks at, at least
LONGEST_WINDOW = 4096  # samples that it looks at, at most
COLUMNS = 240  # of a spectrogram, at most
RANGE = 80.0  # decibels from the lowest to the highest colour
COLOURS = colormaps["magma"]
STRIP, SIDE = 4.2, 1.25  # inches: width of three pictures and of the space beside them; longer side of a picture


def amplified(pairs: list[Pair]) -> tuple[list[Tensor], int]:
    """Return each pair's difference on mid-grey, uint8 ``(3, H, W)``, and the factor that all are amplified by."""
    differences = [pair.poison.values.int() - pair.base.values.int() for pair in pairs]
    factor = max(1, 127 // max(1, *(int(difference.abs().max()) for difference in differences)))
    return [(128 + factor * difference).clamp(0, 255).to(torch.uint8) for difference in differences], factor


def png(image: Tensor) -> bytes:
    """Encode an image, uint8 ``(3, H, W)``, as PNG."""
    data = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(data, "PNG")
    return data.getvalue()


def images_figure(pairs: list[Pair]) -> Figure:
    """Draw pairs: base, poison and amplified difference of each, with its class, distortion and distances."""
    differences, factor = amplified(pairs)
    strips = [
        Strip(
            f"{pair.title}\n{pair.change}",
            {
                f"base\n‖f-μ‖ = {pair.figures['norm_initial']:.3g}": pair.base.values,
                f"poison\n‖f-μ‖ = {pair.figures['norm_saved']:.3g}": pair.poison.values,
                f"difference,\n{factor}-fold" if factor > 1 else "difference": difference,
            },
        )
        for pair, difference in zip(pairs, differences, strict=True)
    ]
    return _strips_figure(strips, columns=3)


@dataclass(frozen=True)
class Strip:
    """What is drawn beside each other.

    Attributes:
        title: Lines above it.
        shown: By the lines below each, images, ``(3, H, W)`` from 0 to 1 or uint8, or signals ``(T,)`` from 0 to 1.
    """

    title: str
    shown: Mapping[str, Tensor]


@style()
def _strips_figure(strips: Sequence[Strip], columns: int) -> Figure:
    """Draw strips alike, on the same axes, in inches: axes for each picture would take several times as long."""
    example = next(iter(strips[0].shown.values()))
    sides = example.shape[1:] if example.ndim == 3 else (0.7, 1.0)
    high, wide = (SIDE * side / max(sides) for side in sides)
    above = 0.15 + 0.14 * len(strips[0].title.splitlines())
    height, columns = above + high + 0.38, min(columns, len(strips))
    limits = columns * STRIP, -(-len(strips) // columns) * height
    figure = Figure(figsize=limits, dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, limits[0]), ylim=(0, limits[1]), autoscale_on=False)
    axes.set_axis_off()
    for place, strip in enumerate(strips):
        row, column = divmod(place, columns)
        left, top = STRIP * column + 0.05, limits[1] - height * row
        axes.text(left, top - 0.06, strip.title, va="top", fontsize=8.5, fontweight="bold", parse_math=False)
        bottom = top - above - high
        for beside, (caption, picture) in enumerate(strip.shown.items()):
            middle = left + SIDE / 2 + 1.07 * SIDE * beside
            extent = (middle - wide / 2, middle + wide / 2, bottom, bottom + high)
            (_draw_image if picture.ndim == 3 else _draw_signal)(axes, picture, extent, POISON if beside else POOL)
            axes.text(middle, bottom - 0.05, caption, ha="center", va="top", fontsize=7.5, color=MUTED)
    return figure


@dataclass(frozen=True)
class Spectrogram:
    """How loud a clip is at each time and frequency.

    Attributes:
        levels: ``(F, K)`` in decibels, 0 for a tone of full scale; rows from 0 Hz to half the sample rate.
        hop: Seconds between two columns; the first looks at the clip's first sample.
        seconds: Length of the clip.
        highest: Half the sample rate, in kHz.
    """

    levels: Tensor
    hop: float
    seconds: float
    highest: float


def spectrogram(clip: Tensor, sample_rate: int) -> Spectrogram:
    """Return a clip's spectrogram: magnitudes under a Hann window, centred on each column's time.

    Args:
        clip: Samples ``(T,)`` in 16-bit units.
        sample_rate: Samples a second.
    """
    hop = -(-len(clip) // COLUMNS)
    # A window is no shorter than the hop, so that nothing is skipped, until clips are minutes long.
    window = min(LONGEST_WINDOW, 2 ** max(5, math.ceil(math.log2(max(hop, WINDOW * sample_rate)))))
    hann = torch.hann_window(window)
    waves = torch.stft(clip.float() / 2**15, window, hop, window=hann, pad_mode="constant", return_complex=True)
    levels = 20 * (waves.abs() * 2 / hann.sum()).clamp_min(1e-10).log10()
    return Spectrogram(levels, hop / sample_rate, len(clip) / sample_rate, sample_rate / 2000)


def spectrograms(pairs: list[Pair]) -> tuple[list[tuple[Spectrogram, ...]], Normalize]:
    """Return spectrograms of base, poison and difference of each pair, and the scale that suits all of them."""
    shown = []
    for pair in pairs:
        assert pair.base.sample_rate is not None
        base, poison = pair.base.values.int(), pair.poison.values.int()
        shown.append(tuple(spectrogram(clip, pair.base.sample_rate) for clip in (base, poison, poison - base)))
    highest = max(float(one.levels.max()) for three in shown for one in three)
    return shown, Normalize(highest - RANGE, highest)


@style()
def spectrogram_figure(shown: Spectrogram, scale: Normalize) -> Figure:
    """Draw one spectrogram over time in s and frequency in kHz."""
    figure = Figure(figsize=(3.5, 2.2), dpi=DPI)
    _draw(figure.add_axes((0.11, 0.17, 0.83, 0.79)), shown, scale)
    return figure


@style()
def scale_figure(scale: Normalize) -> Figure:
    """Draw the scale of colours."""
    figure = Figure(figsize=(3.5, 0.55), dpi=DPI)
    _draw_scale(figure, (0.04, 0.74, 0.92, 0.22), scale)
    return figure


@style()
def sounds_figure(pairs: list[Pair]) -> Figure:
    """Draw pairs: spectrograms of base, poison and difference of each, with its class, distortion and distances."""
    shown, scale = spectrograms(pairs)
    height = 1.75 * len(pairs) + 0.9
    figure = Figure(figsize=(10.2, height), dpi=DPI)
    grid = figure.subplots(len(pairs), 3, squeeze=False)
    figure.subplots_adjust(0.05, 0.9 / height, 0.98, 1 - 0.35 / height, wspace=0.1, hspace=0.5)
    for row, pair, three in zip(grid, pairs, shown, strict=True):
        titles = (
            f"{pair.title}: base, ‖f-μ‖ = {pair.figures['norm_initial']:.3g}",
            f"poison, ‖f-μ‖ = {pair.figures['norm_saved']:.3g}",
            pair.change,
        )
        for axes, one, title in zip(row, three, titles, strict=True):
            _draw(axes, one, scale)
            axes.set_title(title, fontsize=7.5, pad=4, parse_math=False)
        for axes in row[1:]:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    _draw_scale(figure, (0.35, 0.42 / height, 0.3, 0.1 / height), scale)
    return figure


def _draw_scale(figure: Figure, place: tuple[float, float, float, float], scale: Normalize) -> None:
    axes = figure.add_axes(place)
    figure.colorbar(
        ScalarMappable(scale, COLOURS), axes, orientation="horizontal", label="level, dB relative to full scale"
    )
    axes.xaxis.label.set_fontsize(8)
    axes.tick_params(labelsize=8)


def _draw(axes: Axes, shown: Spectrogram, scale: Normalize) -> None:
    rows, columns = shown.levels.shape
    half = shown.highest / (rows - 1) / 2  # of a row's height
    axes.imshow(
        shown.levels.numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=COLOURS,
        norm=scale,
        extent=(-shown.hop / 2, (columns - 0.5) * shown.hop, -half, shown.highest + half),
    )
    axes.grid(False)
    axes.set(xlim=(0, shown.seconds), ylim=(0, shown.highest))
    axes.set_xlabel("s", fontsize=8, labelpad=1)
    axes.set_ylabel("kHz", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)


def examples_figure(shown: Examples) -> Figure | None:
    """Draw samples, what an attack made of them and the difference, all differences made larger by the same factor.

    Args:
        shown: Images ``(K, C, H, W)`` with one or three channels C, or signals ``(K, T)`` or ``(K, 1, T)``.

    Returns:
        The figure; ``None`` for samples of another shape.
    """
    image = shown.x.ndim == 4 and shown.x.shape[1] in (1, 3)
    if not image and not (shown.x.ndim == 2 or (shown.x.ndim == 3 and shown.x.shape[1] == 1)):
        return None
    low, high = _range(shown)
    x, adversarial = (
        ((samples.expand(-1, 3, -1, -1) if image else samples.flatten(1)).double() - low) / (high - low)
        for samples in (shown.x, shown.adversarial)
    )
    factor = max(1, math.floor(0.5 / max(float((adversarial - x).abs().max()), 1e-9)))
    amplified = f"difference,\n{factor:,}-fold" if factor > 1 else "difference"
    strips = [
        Strip(
            f"label {label}: predicted {natural} → {after}",
            {"sample": one, "attacked": attacked, amplified: 0.5 + factor * (attacked - one)},
        )
        for one, attacked, label, natural, after in zip(
            x, adversarial, *(classes.tolist() for classes in (shown.label, shown.natural, shown.after)), strict=True
        )
    ]
    return _strips_figure(strips, columns=2)


def _range(shown: Examples) -> tuple[float, float]:
    """Return the range to draw: the data's, or that of what is shown where the data have none."""
    low, high = shown.bounds
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    low, high = map(float, torch.stack([shown.x, shown.adversarial]).aminmax())
    return (low, high) if low < high else (low, low + 1)


def _draw_image(axes: Axes, image: Tensor, extent: tuple[float, float, float, float], colour: str) -> None:
    pixels = image if image.dtype == torch.uint8 else image.clamp(0, 1)
    axes.imshow(pixels.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto", extent=extent)


def _draw_signal(axes: Axes, signal: Tensor, extent: tuple[float, float, float, float], colour: str) -> None:
    left, right, bottom, top = extent
    place = Affine2D().scale((right - left) / len(signal), top - bottom).translate(left, bottom)
    axes.plot(signal.numpy(), color=colour, linewidth=0.5, transform=place + axes.transData)
    axes.plot((left, left, right), (top, bottom, bottom), color=MUTED, linewidth=0.8)
