"""What a run of label flips leaves about its clean training set: the paths' lengths, and the suspects."""

from pathlib import Path

from torch import Tensor

from aal.files import write_bytes, write_csv
from aal.flips.names import GALLERY, PATHS, SUSPECTS
from aal.flips.suspects import Suspects, closest_and_farthest
from aal.flips.view import ARRIVED, LENGTH, STEPS, CleanSet, FlipView
from aal.report.gallery import gallery_figure
from aal.report.style import render
from aal.samples import Samples


def write_paths(folder: Path, clean: CleanSet) -> None:
    """Write ``paths.csv``, one row a measured path: of which index, its label, where it led, and its length."""
    rows = []
    for name, values in clean.values.items():
        if name.startswith("paths("):
            kind = "targeted" if name.endswith(", targeted)") else "untargeted"
            known = zip(*(part.tolist() for part in (clean.indices, clean.labels, clean.targets, values)), strict=True)
            rows += [
                (
                    index,
                    label,
                    target if kind == "targeted" else None,
                    int(path[STEPS]),
                    path[LENGTH],
                    int(path[ARRIVED]),
                )
                for index, label, target, path in known
            ]
    if rows:
        write_csv(folder / PATHS, ("index", "label", "target", "steps", "l2", "arrived"), rows)


def write_suspects(folder: Path, view: FlipView, order: Tensor, paths: Tensor, predicted: Tensor) -> None:
    """Write ``suspects.csv``, one row a training point, the shortest path first.

    Args:
        folder: The run's folder.
        view: The training set.
        order: Where each stands, ``(U,)``.
        paths: Their paths by place ``(U, 3)``.
        predicted: The class that the clean classifier takes each for, by place ``(U,)``.
    """
    columns = (
        view.candidates,
        view.labels,
        predicted,
        paths[:, STEPS].long(),
        paths[:, LENGTH],
        paths[:, ARRIVED].long(),
    )
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    write_csv(folder / SUSPECTS, ("index", "label", "predicted", "steps", "l2", "arrived"), rows)


def draw_suspects(folder: Path, suspects: Suspects, view: FlipView, order: Tensor, samples: Samples) -> None:
    """Draw ``figures/suspects.png``: a row a class, the closest to the boundary left, the farthest right."""
    rows = {
        label: tuple(samples[view.candidates[places]] for places in pair)
        for label, pair in closest_and_farthest(order, view.labels, suspects.shown).items()
    }
    figure = gallery_figure(rows, samples.bounds)
    if figure is not None:
        write_bytes(folder / GALLERY, render(figure))
