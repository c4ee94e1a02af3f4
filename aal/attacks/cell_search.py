"""The nearest Voronoi cell of a goal: best first by lower bounds, until no other cell can be nearer."""

import heapq
from dataclasses import dataclass

import numpy as np

from aal.attacks.cell_projection import Projection
from aal.attacks.voronoi import Array, Indices, Outlook, Region

CHUNK = 8  # cells whose bounds are bettered at once
ABOVE = 1 + 1e-6  # so much above what is known to be reached, the nearest is still below


@dataclass(frozen=True)
class NearRegion:
    """The nearest region of a goal.

    Args:
        distance: How far it is; infinite where there is none.
        certificate: How far all are at least.
        move: The least move into it ``(D,)``; 0 where there is none.
        region: It.
        inner: A move into its inside ``(D,)``; ``None`` where none is known.
        regions: On how many was projected.
    """

    distance: float
    certificate: float
    move: Array
    region: Region | None = None
    inner: Array | None = None
    regions: int = 0


def nearest_cell(look: Outlook, project: Projection, cells: int | None, apart: bool = False) -> NearRegion:
    """Find the nearest cell of a goal, or the nearest of few.

    Args:
        look: The sample's outlook.
        project: What projects on a cell.
        cells: Of so many goals nearest to the sample the cells are looked at; ``None``: of all.
        apart: Whether to leave out goals at one place with a blocking site, that are never nearer than that.

    Returns:
        The nearest of the cells looked at. The certificate holds for all of them, and those left out by ``apart``.
    """
    among = look.goals.indices if not apart else look.goals.indices[~look.shared(look.goals.indices)]
    here = look.tied(among)
    if here is not None:
        return NearRegion(0.0, 0.0, np.zeros_like(look.x), Region(here), _inner(look, project, here))
    first = look.first_bounds(project.norm).clip(0)
    order, rest = first.argsort(kind="stable"), np.inf
    if apart:
        order = order[np.isin(look.goals.indices[order], among)]
    if cells is not None and cells < len(order):
        sizes = look.goal_sizes(project.norm)[order]
        chosen = np.zeros(len(order), bool)
        chosen[sizes.argsort(kind="stable")[:cells]] = True
        rest, order = float(first[order[~chosen]].min()), order[chosen]
    bounds, goals = first[order], look.goals.indices[order]
    best = ceiling(look, project, goals)
    pool: list[tuple[float, int]] = []  # cells whose bound is bettered
    found, lowest, start, count = NearRegion(np.inf, np.inf, np.zeros_like(look.x)), np.inf, 0, 0
    while True:
        while start < len(goals) and bounds[start] < min(best, pool[0][0] if pool else best):
            part = slice(start, start + CHUNK)
            better = np.maximum(look.bounds(goals[part], project.norm), bounds[part])
            for bound, site in zip(better.tolist(), goals[part].tolist(), strict=True):
                heapq.heappush(pool, (bound, site))
            start += CHUNK
        if not pool or pool[0][0] >= best:
            break
        bound, site = heapq.heappop(pool)
        region = Region(np.array([site]))
        nearest = project.nearest(look, region, best)
        count += 1
        lowest = min(lowest, max(nearest.bound, bound))
        if nearest.move is not None and nearest.size < best:
            best = nearest.size
            found = NearRegion(best, 0.0, nearest.move, region, _inner(look, project, region.inside))
    if found.region is None:  # the whole box was too small
        return NearRegion(np.inf, rest, found.move, regions=count)
    left = min(pool[0][0] if pool else np.inf, float(bounds[start]) if start < len(goals) else np.inf)
    certificate = min(lowest, left, rest, found.distance)
    return NearRegion(found.distance, certificate, found.move, found.region, found.inner, count)


def ceiling(look: Outlook, project: Projection, goals: Indices) -> float:
    """Return a length that the nearest cell is below, if there is any: by a goal's own site, or by the whole box."""
    sites = look.moves(goals[[int(look.halves[goals].argmin())]])[0] if len(goals) else np.zeros_like(look.x)
    box = project.box
    farthest = sites if box is None or box.holds(sites) else np.maximum(box.down, box.up)
    return project.size(farthest) * ABOVE


def _inner(look: Outlook, project: Projection, site: Indices) -> Array | None:
    """Return the move to a cell's site, if the box has it."""
    move = look.moves(site)[0]
    return move if project.box is None or project.box.holds(move) else None
