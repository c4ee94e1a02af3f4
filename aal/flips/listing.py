"""What a run of label flips leaves beside its records: the paths' lengths, the suspects, and decision regions."""

from pathlib import Path

import torch
from torch import Tensor

from aal.data.samples import Samples
from aal.flips.names import GALLERY, PATHS, SUSPECTS
from aal.flips.suspects import Suspects, closest_and_farthest
from aal.flips.view import ARRIVED, LENGTH, PATHS_OF, STEPS, CleanSet, FlipView
from aal.models.classifier import Classifier
from aal.pool import Pool
from aal.report.gallery import gallery_figure
from aal.report.regions import REGIONS, regions_figure, regions_of
from aal.report.style import render
from aal.runs.files import write_bytes, write_csv


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


def draw_suspects(folder: Path, suspects: Suspects, view: FlipView, order: Tensor, samples: Samples) -> None:
    """Draw ``figures/suspects.png``: a row a class, the closest to the boundary left, the farthest right."""
    rows = {
        label: tuple(samples[view.candidates[places]] for places in pair)
        for label, pair in closest_and_farthest(order, view.labels, suspects.shown).items()
    }
    figure = gallery_figure(rows, samples.bounds)
    if figure is not None:
        write_bytes(folder / GALLERY, render(figure))


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
