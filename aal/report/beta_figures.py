"""Which density of training points does best, drawn as a table of colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

from aal.report.style import DPI, INK, style

ROW, WIDE = 0.32, 0.95  # inches of a row and of a column
NAMES = 3.3  # inches of the rows' names
MOST = 2.0  # the beta that has the darkest colour


@dataclass(frozen=True)
class Best:
    """The density with the largest area in some setting.

    Attributes:
        beta: Its beta.
        density: What it is called.
        gain: Its mean area minus that of the uniform density; if it is the uniform one, that of the next best minus
            its.
        mark: What a test says of it; may be empty.
    """

    beta: float
    density: str
    gain: float
    mark: str = ""


@style()
def best_figure(heads: Sequence[str], rows: Mapping[str, Sequence[Best | None]]) -> Figure:
    """Draw the best beta of each row and column, the darker the larger; what no run has is left empty.

    Args:
        heads: Titles of the columns.
        rows: The best densities by title of the row, one for each column.
    """
    figure = Figure(figsize=(NAMES + WIDE * len(heads), ROW * (len(rows) + 1.5)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    colours = mpl.colormaps["Blues"]
    for height, bests in enumerate(rows.values()):
        for place, best in enumerate(bests):
            if best is None:
                continue
            shade = 0.75 * min(best.beta / MOST, 1.0)
            axes.add_patch(mpl.patches.Rectangle((place, height), 0.96, 0.9, color=colours(shade)))
            axes.text(
                place + 0.48,
                height + 0.47,
                f"{best.beta:g} {best.mark}".strip(),
                ha="center",
                va="center",
                color="white" if shade > 0.5 else INK,
                fontweight="bold" if best.mark == "+" else "normal",
            )
    axes.set(xlim=(0, len(heads)), ylim=(len(rows), 0))
    axes.set_xticks([place + 0.48 for place in range(len(heads))], heads)
    axes.set_yticks([height + 0.47 for height in range(len(rows))], list(rows))
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
