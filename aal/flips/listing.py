"""What a run of label flips leaves beside its records: the paths' lengths and the suspects."""

from pathlib import Path

from torch import Tensor

from aal.data.samples import Samples
from aal.flips.view import ARRIVED, LENGTH, PATHS_OF, STEPS, CleanSet, FlipView
from aal.runs.files import write_csv

PATHS = "paths.csv"
SUSPECTS = "suspects.csv"


def write_paths(folder: Path, clean: CleanSet) -> None:
    """Write ``paths.csv``, one row a measured path: by which walk, of which index, its label, where it led, its length.

    A walk is named by its step size and its limit of steps, such as ``0.01 x 100``.
    """
    rows = []
    for name, values in clean.values.items():
        kind, _, walk = name.removesuffix(")").partition("(")
        if kind in PATHS_OF.values():
            known = zip(*(part.tolist() for part in (clean.indices, clean.labels, clean.targets, values)), strict=True)
            rows += [
                (
                    walk,
                    index,
                    label,
                    target if kind == PATHS_OF[True] else None,
                    int(path[STEPS]),
                    path[LENGTH],
                    int(path[ARRIVED]),
                )
                for index, label, target, path in known
            ]
    if rows:
        write_csv(folder / PATHS, ("walk", "index", "label", "target", "steps", "l2", "arrived"), rows)


def write_suspects(
    folder: Path, view: FlipView, order: Tensor, paths: Tensor, predicted: Tensor, samples: Samples
) -> None:
    """Write ``suspects.csv``, one row a training point, the shortest path first, with the file that it comes from.

    Args:
        folder: The run's folder.
        view: The training set.
        order: Where each stands, ``(U,)``.
        paths: Their paths by place ``(U, 3)``.
        predicted: The class that the clean classifier takes each for, by place ``(U,)``.
        samples: The pool.
    """
    columns = (
        view.candidates,
        view.labels,
        predicted,
        paths[:, STEPS].long(),
        paths[:, LENGTH],
        paths[:, ARRIVED].long(),
    )
    found = zip(*(column[order].tolist() for column in columns), strict=True)
    rows = [(*row, samples.source(row[0])) for row in found]
    write_csv(folder / SUSPECTS, ("index", "label", "predicted", "steps", "l2", "arrived", "source"), rows)
