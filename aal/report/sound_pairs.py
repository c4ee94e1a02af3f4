"""Pairs of clips: spectrograms of base, poison and their difference, all on one scale of colours."""

import math
from dataclasses import dataclass

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from aal.report.pairs import Pair
from aal.report.style import DPI, style

WINDOW = 0.016  # seconds that one column of a spectrogram looks at, at least
LONGEST_WINDOW = 4096  # samples that it looks at, at most
COLUMNS = 240  # of a spectrogram, at most
RANGE = 80.0  # decibels from the lowest to the highest colour
COLOURS = colormaps["magma"]


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
    padded = torch.nn.functional.pad(clip.float() / 2**15, (window // 2, window // 2))
    spectrum = torch.fft.rfft(padded.unfold(0, window, hop) * hann).abs() * 2 / hann.sum()
    levels = 20 * spectrum.clamp_min(1e-10).log10()
    return Spectrogram(levels.T, hop / sample_rate, len(clip) / sample_rate, sample_rate / 2000)


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
            f"{pair.title}: base, ‖f-μ‖ = {pair.before:.3g}",
            f"poison, ‖f-μ‖ = {pair.after:.3g}",
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
    extent = (-shown.hop / 2, (columns - 0.5) * shown.hop, -half, shown.highest + half)
    axes.imshow(
        shown.levels.numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=COLOURS,
        norm=scale,
        extent=extent,
    )
    axes.grid(False)
    axes.set(xlim=(0, shown.seconds), ylim=(0, shown.highest))
    axes.set_xlabel("s", fontsize=8, labelpad=1)
    axes.set_ylabel("kHz", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)
