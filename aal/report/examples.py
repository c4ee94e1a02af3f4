"""Samples beside what an attack made of them: images, or waveforms where a sample is one row of numbers."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from aal.report.style import MUTED, POISON, POOL, panels, style
from aal.robustness.evaluation import Examples


@style()
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
    x, adversarial = ((samples.double() - low) / (high - low) for samples in (shown.x, shown.adversarial))
    factor = max(1, math.floor(0.5 / max(float((adversarial - x).abs().max()), 1e-9)))
    difference = 0.5 + factor * (adversarial - x)
    captions = ("sample", "attacked", f"difference,\n{factor:,}-fold" if factor > 1 else "difference")
    figure, grid = panels(len(x), 4.2, 1.9 if image else 1.5)
    for row, axes in enumerate(grid):
        axes.set_axis_off()
        label, natural, after = (int(classes[row]) for classes in (shown.label, shown.natural, shown.after))
        axes.set_title(f"label {label}: predicted {natural} → {after}", fontsize=9)
        for column, (caption, samples) in enumerate(zip(captions, (x, adversarial, difference), strict=True)):
            inset = axes.inset_axes((column / 3, 0.14, 0.31, 0.86))
            (_image if image else _signal)(inset, samples[row], POISON if column else POOL)
            inset.annotate(
                caption, (0.5, -0.04), xycoords="axes fraction", ha="center", va="top", fontsize=7.5, color=MUTED
            )
    return figure


def _range(shown: Examples) -> tuple[float, float]:
    """Return the range to draw: the data's, or that of what is shown where the data have none."""
    low, high = shown.bounds
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    low, high = map(float, torch.stack([shown.x, shown.adversarial]).aminmax())
    return (low, high) if low < high else (low, low + 1)


def _image(axes: Axes, image: Tensor, colour: str) -> None:
    axes.imshow(image.clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3).numpy(), interpolation="nearest")
    axes.set_axis_off()


def _signal(axes: Axes, signal: Tensor, colour: str) -> None:
    axes.plot(signal.flatten().numpy(), color=colour, linewidth=0.5)
    axes.set(ylim=(-0.02, 1.02), xticks=[], yticks=[])
    axes.grid(False)
