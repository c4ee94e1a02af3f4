"""A gallery of training points: a row a class, those closest to the boundary beside those farthest from it."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from aal.data.samples import Samples
from aal.flips.suspects import Suspects, closest_and_farthest
from aal.flips.view import FlipView
from aal.report.style import INK, MUTED, panels, render, style
from aal.runs.files import write_bytes

GALLERY = "figures/suspects.png"
WIDTH = 2.2  # inches that a title takes
TITLES = ("closest to the boundary", "farthest from it")


def draw_suspects(folder: Path, suspects: Suspects, view: FlipView, order: Tensor, samples: Samples) -> None:
    """Draw ``figures/suspects.png``: a row a class, the closest to the boundary left, the farthest right."""
    rows = {
        label: tuple(samples[view.candidates[places]] for places in pair)
        for label, pair in closest_and_farthest(order, view.labels, suspects.shown).items()
    }
    if figure := gallery_figure(rows, samples.bounds):
        write_bytes(folder / GALLERY, render(figure))


def gallery_figure(rows: Mapping[int, tuple[Tensor, ...]], bounds: tuple[float, float]) -> Figure | None:
    """Draw images of each class in two blocks.

    Args:
        rows: By class, the images ``(S, C, H, W)`` with one or three channels C for each of the two blocks.
        bounds: The images' range (low, high).

    Returns:
        The figure; ``None`` for samples that are no images.
    """
    some = next(iter(rows.values()), ())
    if not some or some[0].ndim != 4 or some[0].shape[1] not in (1, 3):
        return None
    low, high = bounds
    shown = max(len(images) for blocks in rows.values() for images in blocks)
    with style():
        figure, grid = panels(2, max(0.45 * shown + 0.3, WIDTH), 0.45 * len(rows) + 0.4)
        for block, (axes, title) in enumerate(zip(grid, TITLES, strict=True)):
            axes.set_title(title)
            axes.set_axis_off()
            cells = axes.inset_axes((0, 0, 1, 1))  # axes for each image would take as long as a small run
            cells.set_axis_off()
            for row, (label, blocks) in enumerate(reversed(list(rows.items()))):
                cells.annotate(str(label), (-0.2, row + 0.5), ha="right", va="center", color=MUTED if block else INK)
                for column, image in enumerate(blocks[block]):
                    pixels = ((image - low) / (high - low)).clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3)
                    high_half, wide_half = (0.46 * side / max(pixels.shape[:2]) for side in pixels.shape[:2])
                    x, y = column + 0.5, row + 0.5
                    place = (x - wide_half, x + wide_half, y - high_half, y + high_half)
                    cells.imshow(pixels.numpy(), interpolation="nearest", extent=place)
            cells.set(in_layout=False, anchor="W", xlim=(-0.9, shown), ylim=(0, len(rows)))
    return figure
