"""Figures of a run of flipped labels: lengths of paths, suspects, and which class a classifier gives to the plane."""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from aal.attacks.base import frozen
from aal.data.samples import Samples
from aal.flips.flip_view import FlipView
from aal.flips.suspects import Suspects, closest_and_farthest
from aal.models.classifier import Classifier
from aal.pool import Pool
from aal.report.page import Picture, Section, saved_picture
from aal.report.style import CLEAN, INK, MUTED, PALETTE, POISON, POOL, panels, render, style
from aal.runs.files import write_bytes
from aal.runs.reading import Run

BINS = 25  # bars of a distribution, about
ACROSS = 5  # distributions beside each other
GALLERY = "figures/suspects.png"
WIDTH = 2.2  # inches that a title takes
TITLES = ("closest to the boundary", "farthest from it")
REGIONS = "figures/regions_round={}.png"  # where a run keeps those of a round
SHOWN = 12  # of them, in a run's page
RESOLUTION = 200  # points of the grid along each side
MARGIN = 0.1  # of the points' extent, on every side
BATCH = 4096  # points of the grid classified at once
WHITE = 0.65  # how much of it there is in a region's colour
COLOURS = (PALETTE[1], PALETTE[0], *PALETTE[2:])  # blue, red, and green for a third class, as in the paper


@style()
def paths_figure(steps: Tensor, arrived: Tensor, labels: Tensor) -> Figure:
    """Draw the distribution of the number of steps of adversarial paths, a panel a class (Figures 4.6a and 4.7).

    Args:
        steps: Steps of each path, int64 ``(N,)``, at least one path.
        arrived: Whether it arrived, bool ``(N,)``.
        labels: The class that it led from ``(N,)``.
    """
    edges, classes = path_bins(steps), labels.unique().tolist()
    figure, grid = panels(len(classes), 2.2, 1.8, ACROSS)
    for axes, label in zip(grid, classes, strict=True):
        own, there = steps[labels == label].double(), arrived[labels == label]
        counts, reached = (torch.histogram(some, edges).hist.tolist() for some in (own, own[there]))
        axes.stairs(counts, edges, fill=True, color=POISON, baseline=reached)
        axes.stairs(reached, edges, fill=True, color=CLEAN)
        axes.axvline(float(own.quantile(0.5)), color=POOL, linewidth=1.2, linestyle=":")
        axes.set(title=f"class {label}", xlabel="steps")
    for axes in grid[::ACROSS]:
        axes.set(ylabel="training points")
    return figure


def path_bins(steps: Tensor) -> Tensor:
    """Return edges of bars that each hold the same whole numbers of steps, from 0 to the longest path."""
    longest = int(steps.max())
    width = max(1, -(-(longest + 1) // BINS))
    return torch.arange(0, longest + 1 + width, width).double() - 0.5


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


@dataclass(frozen=True)
class Regions:
    """What a classifier says of a grid of points.

    Attributes:
        classes: The class predicted at each, int64 ``(R, R)``: rows from the lowest second element of a sample up,
            columns from the lowest first element up.
        extent: The first and the last point's elements: (left, right, bottom, top).
        num_classes: Number of classes C.
    """

    classes: Tensor
    extent: tuple[float, float, float, float]
    num_classes: int


def draw_regions(folder: Path, round: int, module: Classifier, samples: Samples, pool: Pool, flipped: Tensor) -> None:
    """Draw ``figures/regions_round=<r>.png``: the plane as the round's classifier sees it, and what it was trained on.

    Nothing is drawn of samples that are no points of the plane.

    Args:
        folder: The run's folder.
        round: The round.
        module: Its classifier.
        samples: The samples of the pool.
        pool: Which of them are labelled, and how.
        flipped: The indices ``(b,)`` of those that are mislabelled.
    """
    if samples.stored.shape[1:] != (2,):
        return
    labelled = pool.labelled
    points, wrong = samples[labelled], torch.isin(labelled, flipped)
    regions = regions_of(module, points.to(module.device))
    figure = regions_figure(regions, points, pool.labels[labelled], wrong, f"Round {round}")
    write_bytes(folder / REGIONS.format(round), render(figure), durable=False)


def regions_of(model: nn.Module, around: Tensor, *, resolution: int = RESOLUTION) -> Regions:
    """Classify a square grid that holds some points, with a margin.

    Args:
        model: A module from samples ``(B, 2)`` to logits ``(B, C)``; it is left as it was found.
        around: The points ``(N, 2)`` to hold, at least one, on the model's device.
        resolution: Points of the grid along each side, at least 2.
    """
    low, high = around.amin(0), around.amax(0)
    half = max(float((high - low).max()) / 2, 0.5) * (1 + 2 * MARGIN)
    x, y = ((low + high) / 2).tolist()
    extent = (x - half, x + half, y - half, y + half)
    sides = (torch.linspace(*ends, resolution, device=around.device) for ends in (extent[2:], extent[:2]))
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1).reshape(-1, 2)
    with frozen(model), torch.no_grad():
        logits = torch.cat([model(part) for part in grid.split(BATCH)])
    return Regions(logits.argmax(1).view(resolution, resolution).cpu(), extent, logits.shape[1])


@style()
def regions_figure(regions: Regions, points: Tensor, labels: Tensor, flipped: Tensor, title: str = "") -> Figure:
    """Draw regions, and training points in the colours of their labels.

    Args:
        regions: What a classifier says of the plane.
        points: Training points ``(N, 2)``.
        labels: Their labels ``(N,)``, from 0 to C - 1.
        flipped: Which labels are not true of their points, bool ``(N,)``: these are drawn as crosses.
        title: Headline.
    """
    colours = [COLOURS[label % len(COLOURS)] for label in range(regions.num_classes)]  # again where there are many
    figure, (axes,) = panels(1, 4.6, 3.6)
    left, right, bottom, top = regions.extent
    half = (right - left) / (regions.classes.shape[0] - 1) / 2  # a point of the grid is the middle of its pixel
    axes.imshow(
        regions.classes.numpy(),
        origin="lower",
        extent=(left - half, right + half, bottom - half, top + half),
        cmap=ListedColormap([tuple(WHITE + (1 - WHITE) * part for part in to_rgb(colour)) for colour in colours]),
        vmin=-0.5,
        vmax=regions.num_classes - 0.5,
        interpolation="nearest",
    )
    axes.grid(False)
    axes.set_title(title)
    for chosen, marker, size in ((~flipped, "o", 18), (flipped, "X", 45)):
        shown = [colours[label] for label in labels[chosen].tolist()]
        x, y = points[chosen].numpy().T
        axes.scatter(x, y, c=shown, marker=marker, s=size, edgecolors=INK, linewidths=0.8, zorder=3)
    keys = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=f"label {label}")
        for label, colour in enumerate(colours)
    ]
    wrong = Line2D([], [], marker="X", linestyle="", color="white", markeredgecolor=INK, label="mislabelled")
    axes.legend(handles=[*keys, wrong], loc="upper left", bbox_to_anchor=(1.01, 1.0), handletextpad=0.2)
    return figure


def regions_section(run: Run) -> Section:
    """Show the decision regions of the first rounds, where samples are points of the plane."""
    drawn = [record for record in run.rounds if (run.folder / REGIONS.format(record["round"])).is_file()]
    left = f" The first {SHOWN} of {len(drawn)} rounds; figures/ has the others." if len(drawn) > SHOWN else ""
    shown: list[Picture] = []
    for record in drawn[:SHOWN]:
        where = f" at {record['position']:g}" if "position" in record else ""
        caption = f"round {record['round']}: {record.get('selector', '')}{where}"
        shown += saved_picture(run.folder / REGIONS.format(record["round"]), f"decision regions, {caption}", caption)
    return Section(
        "Decision regions",
        "The plane in the colours of the classes that the classifier of a round gives to its points, and what the "
        f"round was trained on in the colours of its labels.{left}",
        tuple(shown),
    )
