"""A gallery of training points: a row a class, those closest to the boundary beside those farthest from it."""

from pathlib import Path

from torch import Tensor

from aal.data.samples import Samples
from aal.flips.suspects import Suspects, closest_and_farthest
from aal.flips.view import FlipView
from aal.report.style import INK, MUTED, panels, render, style
from aal.runs.files import write_bytes

GALLERY = "figures/suspects.png"
WIDTH = 2.2  # inches that a title takes
TITLES = ("closest to the boundary", "farthest from it")


@style()
def draw_suspects(folder: Path, suspects: Suspects, view: FlipView, order: Tensor, samples: Samples) -> None:
    """Draw ``figures/suspects.png``: a row a class, the closest to the boundary left, the farthest right.

    Nothing is drawn of samples that are no images of one or three channels.
    """
    rows = {
        label: tuple(samples[view.candidates[places]] for places in pair)
        for label, pair in closest_and_farthest(order, view.labels, suspects.shown).items()
    }
    images = [image for blocks in rows.values() for image in blocks]
    if not images or images[0].ndim != 4 or images[0].shape[1] not in (1, 3):
        return
    (low, high), shown = samples.bounds, max(map(len, images))
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
    write_bytes(folder / GALLERY, render(figure))
