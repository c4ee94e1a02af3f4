"""The plane as a victim and its shadow see it: their boundaries, what the shadow was trained on, the victim's cells."""

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.spatial import QhullError, Voronoi
from torch import Tensor, nn

from aal.report.flip_figures import COLOURS, Regions, regions_of
from aal.report.style import INK, MUTED, PALETTE, panels, style

FIGURE = "figures/shadow_round={}.png"  # where a run keeps that of a round
SHADOW = PALETTE[3]  # of its boundary: no label of the first three has it
MOST_CELLS = 3000  # of a victim; more are too small to be seen


@style()
def shadow_figure(
    victim: nn.Module, shadow: nn.Module, natural: Tensor, synthetic: Tensor, labels: Tensor, title: str
) -> Figure:
    """Draw both boundaries, the points that the shadow was trained on, and the cells of the victim's training points.

    Args:
        victim: The victim, from points ``(B, 2)`` to logits.
        shadow: The shadow.
        natural: The victim's training points ``(V, 2)``.
        synthetic: What the shadow was trained on ``(S, 2)``.
        labels: Its labels ``(S,)``.
        title: Headline.
    """
    around = torch.cat([natural, synthetic])
    seen: list[Regions] = [regions_of(model, around) for model in (victim, shadow)]
    figure, (axes,) = panels(1, 6.4, 5.2)
    left, right, bottom, top = seen[0].extent
    places = (
        torch.linspace(left, right, seen[0].classes.shape[1]),
        torch.linspace(bottom, top, seen[0].classes.shape[0]),
    )
    axes.add_collection(LineCollection(cell_edges(natural.cpu().numpy()), colors=MUTED, linewidths=0.25, alpha=0.6))
    for regions, colour, width, dashes in zip(seen, (INK, SHADOW), (1.6, 1.4), ("solid", "dashed"), strict=True):
        for label in range(1, regions.num_classes):
            inside = (regions.classes >= label).double()
            if 0 < inside.mean() < 1:
                axes.contour(*places, inside, levels=[0.5], colors=colour, linewidths=width, linestyles=dashes)
    for label in labels.unique().tolist():
        own = labels == label
        x, y = synthetic[own].cpu().numpy().T
        axes.scatter(x, y, s=7, color=COLOURS[label % len(COLOURS)], linewidths=0, zorder=3)
    axes.grid(False)
    axes.set(title=title, xlim=(left, right), ylim=(bottom, top), aspect="equal")
    keys = [
        Line2D([], [], color=INK, linewidth=1.6, label="victim's boundary"),
        Line2D([], [], color=SHADOW, linewidth=1.4, linestyle="dashed", label="shadow's boundary"),
        Line2D([], [], color=MUTED, linewidth=0.6, label="cells of the victim's points"),
    ]
    keys += [
        Line2D(
            [], [], marker="o", linestyle="", markersize=4, color=COLOURS[label % len(COLOURS)], label=f"label {label}"
        )
        for label in labels.unique().tolist()
    ]
    axes.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1.0), handletextpad=0.4)
    return figure


def cell_edges(points: "np.typing.NDArray[np.float64]") -> "list[np.typing.NDArray[np.float64]]":
    """Return the finite edges ``(2, 2)`` of the Voronoi cells of points ``(N, 2)``; none of too few or too many."""
    if not 4 <= len(points) <= MOST_CELLS:
        return []
    try:
        cells = Voronoi(points)
    except QhullError:  # all on a line
        return []
    return [cells.vertices[edge] for edge in cells.ridge_vertices if -1 not in edge]
