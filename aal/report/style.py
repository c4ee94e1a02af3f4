"""How figures look: one style, one palette that colour-blind readers can tell apart, rendering to bytes."""

import io
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, MUTED, RULE = "#1c2127", "#5b6570", "#c9d0d6"
CLEAN = "#3f4a56"
POISON = "#d55e00"
POOL = "#0072b2"
PALETTE = (POISON, POOL, "#009e73", "#cc79a7", "#b07d00", "#3a94c9")  # Okabe and Ito's, the light two darkened
DPI = 200

_SETTINGS: dict[Any, Any] = {  # newer matplotlibs type the keys, older ones do not
    "font.family": "DejaVu Sans",  # comes with matplotlib: figures are the same on every machine
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
}


# Inside, or in a function that it decorates, the reports' style; afterwards matplotlib's own settings are as before.
style = partial(mpl.rc_context, _SETTINGS)


def panels(count: int, width: float, height: float, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``count`` panels of ``width`` x ``height`` inches, at most ``columns`` beside each other."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * width, rows * height), dpi=DPI, layout="constrained")
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


@style()
def render(figure: Figure, suffix: str = ".png") -> bytes:
    """Render a figure as the bytes of a PNG or SVG file; the same figure gives the same bytes."""
    data = io.BytesIO()
    if suffix == ".svg":
        figure.savefig(data, format="svg", metadata={"Date": None})
    else:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # once; savefig lays everything out twice
        opaque = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        opaque.save(data, "PNG", dpi=(figure.dpi, figure.dpi), compress_level=4)  # smaller than all four channels at 6
    return data.getvalue()


def ink(colour: str) -> str:
    """Darken a line's colour so that text in it is legible on white."""
    red, green, blue = mpl.colors.to_rgb(colour)
    return mpl.colors.to_hex((red * 0.8, green * 0.8, blue * 0.8))
