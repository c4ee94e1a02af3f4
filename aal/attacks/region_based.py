"""The region-based attack on k-NN: the least move into the Voronoi cells of another class, exact for one neighbour."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from aal.attacks.base import FROM_1, Adversarial, Task, or_none
from aal.attacks.cell_projection import Box, Projection
from aal.attacks.cell_search import NearRegion, nearest_cell
from aal.attacks.least_squares import LeastSquares
from aal.attacks.linear_program import LinearProgram
from aal.attacks.norms import NORMS, but_l1
from aal.attacks.subset_regions import Vote, nearest_subset
from aal.attacks.training_set import NonParametric
from aal.attacks.voronoi import Array, Outlook, Sites

PUSHES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # shares of the distance by which a point goes into its region, in turn


@dataclass(frozen=True, kw_only=True)
class RegionBased(NonParametric):
    """Move each sample into the nearest region of the training set's space where another class is predicted.

    For one neighbour the regions are the training points' Voronoi cells, convex polyhedra, and the answer is exact:
    the cells are looked at in the order of lower bounds, the least move into each is found by a linear program (L-inf)
    or a dual active set (L2) whose rows are taken in as they are violated, until no other cell can be nearer. The
    certificate is the least of all these bounds; those of cells that were projected on come from dual values by weak
    duality, so that no solver need be trusted. For more neighbours it is approximate: the regions are those of subsets
    of ``k`` points that are nearest together, begun with those that the ways to the nearest points of another class
    meet. Neighbours are nearest in L2, whatever the norm of the perturbation. Everything is computed on the CPU in
    double precision; no table of all pairs of points is made.

    ``distance`` is that of the region, an infimum: points at which a goal is as near as the nearest other point count.
    Where a model settles ties the other way, as it may for points at one place with different labels, it is below
    what the model's decision needs: 0 at such a place itself. The point returned is moved on into the region, by 1e-6
    of the distance (if the sample is on the region's border, of the way to its training point) and, only where the
    model still predicts the label, by 10 times as much again and again, up to 1e-2 of the distance and then of the way
    to its training point: single precision may need it, and ``size`` in ``info`` tells it. If that fails where
    points of several labels share a place, the nearest region without such a point is tried. ``success`` is what the
    model says of the point returned; where it fails everywhere the first one is returned.

    There is no region to move into, so that ``distance`` and ``certificate`` are infinite, ``success`` is false and the
    sample is returned as it was, where all training points have the sample's label, none has the target, or the box
    cuts all regions off. With ``k`` above 1 the distance is also infinite where no region was found; the certificate
    alone tells what is known then. A sample that the model takes for another class already is returned as it is, at
    distance 0. Seeds make no difference.

    Source: paper *shadow*, Equation 8; Yang et al., "Robustness for Non-Parametric Classification: A Generic Attack
    and Defense", 2020.

    Args:
        norm: The perturbation's norm: ``linf`` or ``l2``.
        k: Neighbours that the classifier takes a vote of, of equal weight, at least 1; all points where there are
            fewer. Of classes with as many votes the lowest wins.
        cells: Number of training points, the nearest of another class in the perturbation's norm, whose cells are
            looked at (the paper's "approx"), or to which ways lead with ``k`` above 1; ``None``: all, and 20 ways.
        box: Whether the call's ``bounds``, where they are finite, hold. Without it a point may leave the data's range.
        training_set: What it is fitted to; :meth:`fit` sets it.

    Raises:
        UserError: A value is outside its range.
    """

    norm: str = "linf"
    k: int = 1
    cells: int | None = None
    box: bool = False

    ranges = NonParametric.ranges | {"norm": but_l1, "k": FROM_1, "cells": or_none(FROM_1)}

    @property
    def bounded(self) -> bool:
        """Whether points stay within the data's range."""
        return self.box

    def attack(self, task: Task) -> Adversarial:
        """Find the nearest region of every sample.

        Returns:
            The points; ``distance`` in double precision, the infimum, and ``info``: ``certificate``, what no point of
            another class is nearer than, within 1e-9 of the distance (relative to it, above 1) where that is exact, and
            for few cells or more neighbours what is known; ``size``, the length of the perturbation returned; and
            ``cells``, the number of regions that were projected on.
        """
        samples = _Samples(self, task)
        x, success = task.x.clone(), task.reached(task.predict(task.x), task.labels)
        queries = torch.ones_like(task.rows)
        found = {row: samples.nearest(row) for row in (~success).nonzero()[:, 0].tolist()}
        samples.push(found, x, success, queries, keep=True)
        failed = {row: one for row, one in found.items() if not success[row]}
        samples.push(samples.apart(failed), x, success, queries, keep=False)
        distance, certificate, cells = task.rows.double() * 0, task.rows.double() * 0, torch.zeros_like(task.rows)
        for row, one in found.items():
            distance[row], certificate[row] = one.distance * samples.sites.unit, one.certificate * samples.sites.unit
            cells[row] = one.regions
        size = NORMS[self.norm].size(x.double() - task.x.double())
        return Adversarial(x, success, distance, queries, {"certificate": certificate, "size": size, "cells": cells})

    def project(self) -> Projection:
        """Return what finds the least moves in the norm."""
        return LinearProgram() if self.norm == "linf" else LeastSquares()


class _Samples:
    """The samples of a call, in the units of the sites."""

    def __init__(self, attack: RegionBased, task: Task) -> None:
        self.attack, self.task, self.sites = attack, task, attack.known(task).once(Sites)
        self.project = attack.project()
        self.labels, self.x = task.labels.tolist(), task.x.flatten(1).cpu().double()
        self.own = self.x[:, self.sites.features].numpy()
        self.vote = Vote(self.sites, attack.k) if attack.k > 1 else None

    def box(self, row: int) -> Box | None:
        """Return how far a sample may move in the data's range; ``None``: anywhere."""
        low, high, x, unit = self.task.low, self.task.high, self.own[row], self.sites.unit
        boxed = self.attack.box and (np.isfinite(low) or np.isfinite(high))
        return Box((x - low) / unit, (high - x) / unit) if boxed else None

    def look(self, row: int) -> Outlook:
        """Return a sample's outlook."""
        x = (self.own[row] - self.sites.center) / self.sites.unit
        return Outlook(self.sites, x, self.labels[row], self.task.targeted)

    def nearest(self, row: int, apart: bool = False) -> NearRegion:
        """Find the nearest region for a sample; with ``apart`` without sites at one place with others."""
        look, self.project.box = self.look(row), self.box(row)
        if not len(look.goals.indices):
            return NearRegion(np.inf, np.inf, np.zeros_like(look.x))
        if self.vote is not None:
            return nearest_subset(look, self.vote, self.project, self.attack.cells)
        return nearest_cell(look, self.project, self.attack.cells, apart)

    def apart(self, found: dict[int, NearRegion]) -> dict[int, NearRegion]:
        """Find other regions for the samples whose nearest is that of a point at one place with others."""
        shared = {
            row: one
            for row, one in found.items()
            if self.vote is None and one.region is not None and self.look(row).shared(one.region.inside)[0]
        }
        return {row: self.nearest(row, apart=True) for row in shared}

    def push(self, found: dict[int, NearRegion], x: Tensor, success: Tensor, queries: Tensor, keep: bool) -> None:
        """Move samples into their regions, deeper and deeper until the model says of one that it succeeds.

        Args:
            found: The regions, by row.
            x: The points, which those that succeed replace ``(B, ...)``.
            success: Which succeed ``(B,)``.
            queries: The model's passes ``(B,)``.
            keep: Whether the first point of a sample is kept where none succeeds.
        """
        ways = {row: self._moves(row, one) for row, one in found.items() if one.distance < np.inf}
        first = keep
        while moves := {row: move for row, way in ways.items() if (move := next(way, None)) is not None}:
            rows = torch.tensor(list(moves))
            points = self.x[rows]
            points[:, self.sites.features] += torch.from_numpy(np.stack(list(moves.values())) * self.sites.unit)
            points = points.to(x).view(len(rows), *x.shape[1:])
            rows = rows.to(x.device)
            if self.attack.box:
                points.clamp_(self.task.low, self.task.high)
            reached = self.task.reached(self.task.predict(points, rows), self.task.labels[rows])
            queries[rows] += 1
            taken = reached | first
            x[rows[taken]], success[rows[reached]], first = points[taken], True, False
            ways = {row: ways[row] for row in rows[~reached].tolist()}

    def _moves(self, row: int, found: NearRegion) -> Iterator[Array]:
        """Give moves into a region, deeper and deeper: by shares of its distance, then of the way to its inside."""
        if found.inner is not None:
            for share in self._shares(found, found.inner):
                yield found.move + share * (found.inner - found.move)
        elif found.region is not None:  # no move into its inside is known: a margin takes its place
            look, inside = self.look(row), found.region.inside
            if self.vote is not None:
                look = Outlook(self.sites, look.x, int(self.sites.labels[inside[0]]), True)
            for push in PUSHES:
                self.project.box = self.box(row)
                far = 2 * self.project.size(np.abs(look.moves(inside)).max(0)) + 2 * found.distance
                nearest = self.project.nearest(look, replace(found.region, margin=push * (found.distance or far)), far)
                if nearest.move is not None:
                    yield nearest.move

    def _shares(self, found: NearRegion, inner: Array) -> list[float]:
        """Return how much of the way to a region's inside its moves go, one after the other."""
        distance, beyond = found.distance, self.project.size(inner) - found.distance
        near = [push * distance / max(beyond, push * distance) for push in PUSHES if distance > 0]
        return near + [max([*near[-1:], share]) for share in PUSHES]
