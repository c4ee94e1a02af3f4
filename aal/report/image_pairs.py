"""Pairs of images: base, poison and their difference made visible (Figure 1)."""

import io

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from aal.report.pairs import Pair
from aal.report.style import MUTED, panels, style


def amplified(pairs: list[Pair]) -> tuple[list[Tensor], int]:
    """Return each pair's difference on mid-grey, uint8 ``(3, H, W)``, and the factor that all are amplified by."""
    differences = [pair.poison.values.int() - pair.base.values.int() for pair in pairs]
    largest = max(int(difference.abs().max()) for difference in differences)
    factor = max(1, 127 // max(1, largest))
    return [(128 + factor * difference).clamp(0, 255).to(torch.uint8) for difference in differences], factor


def png(image: Tensor) -> bytes:
    """Encode an image, uint8 ``(3, H, W)``, as PNG."""
    data = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(data, "PNG")
    return data.getvalue()


@style()
def images_figure(pairs: list[Pair]) -> Figure:
    """Draw pairs: base, poison and amplified difference of each, with its class, distortion and distances."""
    differences, factor = amplified(pairs)
    figure, grid = panels(len(pairs), 4.2, 1.9, columns=3)
    for axes, pair, difference in zip(grid, pairs, differences, strict=True):
        axes.set_axis_off()
        axes.set_title(f"{pair.title}\n{pair.change}", fontsize=8, parse_math=False)
        images = (
            (pair.base.values, f"base\n‖f-μ‖ = {pair.before:.3g}"),
            (pair.poison.values, f"poison\n‖f-μ‖ = {pair.after:.3g}"),
            (difference, f"difference,\n{factor}-fold" if factor > 1 else "difference"),
        )
        _, height, width = difference.shape
        beside = axes.inset_axes((0, 0.2, 1, 0.8))  # axes for each of the images would take three times as long
        beside.set_axis_off()
        for column, (image, caption) in enumerate(images):
            left = 1.08 * width * column
            place = (left, left + width, 0, height)
            beside.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest", extent=place)
            beside.annotate(
                caption,
                (left + width / 2, 0),
                (0, -3),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=7.5,
                color=MUTED,
            )
        beside.set(in_layout=False, anchor="W", xlim=(0, left + width))
    return figure
