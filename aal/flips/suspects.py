"""Suspects: training points whose adversarial path is suspiciously short; the files that list paths and suspects."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from torch import Tensor

from aal.attacks.adversarial_path import AdversarialPath
from aal.checks import FROM_1, Checked
from aal.data.samples import Samples
from aal.flips.flip_view import ARRIVED, LENGTH, PATHS_OF, STEPS, CleanSet, FlipView
from aal.flips.path_length import PAPERS_WALK, shortest_first
from aal.runs.files import write_csv

PATHS, SUSPECTS = "paths.csv", "suspects.csv"  # files of a run


@final  # so that a configuration gives its arguments, without its name
@dataclass(frozen=True)
class Suspects(Checked):
    """The training set, or the classes that a map of targets names, by the paths' lengths, the most suspicious first.

    A classifier that has memorised a wrong label keeps the boundary next to it. Source: paper *noise*, section 4.3.1
    and Figure 4.5, where the paths lead from each class to the next.

    Args:
        attack: The walk, of 0.01 a step in the paper, on samples from 0 to 1.
        targeted: Whether a path leads to the class that its sample would be labelled, as in the paper; else to any
            other class, which finds all kinds of errors.
        shown: Samples of each class to draw, of the closest and of the farthest.

    Raises:
        UserError: Fewer than 1 sample to draw.
    """

    attack: AdversarialPath = field(default_factory=PAPERS_WALK)
    targeted: bool = False
    shown: int = 8
    ranges = Checked.ranges | {"shown": FROM_1}

    def order(self, view: FlipView) -> tuple[Tensor, Tensor]:
        """Return where each candidate stands, the shortest path first ``(U,)``, and the paths ``(U, 3)`` by place."""
        paths = view.paths(self.attack, targeted=self.targeted)
        return view.shuffled[shortest_first(paths[view.shuffled])], paths


def closest_and_farthest(order: Tensor, labels: Tensor, shown: int) -> dict[int, tuple[Tensor, Tensor]]:
    """Return for each class the ``shown`` places ``(S,)`` of the shortest and of the longest paths, extremes first.

    Args:
        order: Places by ascending length ``(U,)``.
        labels: The label of each place ``(U,)``.
        shown: How many, or as many as the class has.
    """
    own = {label: order[labels[order] == label] for label in labels.unique().tolist()}
    return {label: (places[:shown], places.flip(0)[:shown]) for label, places in own.items()}


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
    rows = [(*row, samples.source(row[0])) for row in zip(*(column[order].tolist() for column in columns), strict=True)]
    write_csv(folder / SUSPECTS, ("index", "label", "predicted", "steps", "l2", "arrived", "source"), rows)
