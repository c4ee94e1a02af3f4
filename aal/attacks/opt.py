"""OPT: the direction in which the boundary is nearest, by differences of its distance, a search for each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aal.attacks.label_search import LabelSearch, rowwise, unit
from aal.attacks.ray_descent import RayDescent, Rays

WIDTH = 4.0  # largest relative difference of distance that is told, in units of the smoothing
SEARCH = 9  # queries for a difference: to within a 64th of the smoothing


@dataclass(frozen=True, kw_only=True)
class OPT(RayDescent):
    """Minimize the boundary's distance over directions, by its differences, a binary search for each.

    The distance is that in ``norm``, which is L2 in the attack's own paper. The perturbations that paper *shadow*
    reports are in L-inf (Table 2: 0.06 on half moons, where the smallest are 0.05): ``norm="linf"`` minimizes them, and
    ``info["linf"]`` has them in any case.

    Source: Cheng, Le, Chen, Yi, Zhang and Hsieh, "Query-efficient hard-label black-box attack: an optimization-based
    approach", Algorithms 1 and 2; paper *shadow*, Equations 11 and 12. Restarts are not theirs: without them many
    samples of a 1-NN end at a boundary that is the nearest in no more than its neighbourhood.

    Args:
        queries: Most queries of the model for a sample, at least 0; the first is for the sample itself. With 0 nothing
            is asked and every sample fails; with 1 only those that are wrong to begin with do not.
        norm: The norm that is minimized and reported: ``l2`` or ``linf``.
        starts: Random points tried as first ones, at least 1, anew at each restart; ten times as many where none is
            of use.
        chunk: Most points that the model is asked about at once, at least 1; memory and time depend on it alone.
        restarts: How often the search begins anew where no turn makes a way shorter, while queries are left; at least
            0.
        directions: Directions around a way whose distances are searched for at each estimate of the slope, at least 1;
            no more than twice the number of dimensions are.
        smoothing: How far around, as a share of the way's length, above 0.

    Raises:
        UserError: A value outside its range.
    """

    queries: int = 20_000
    restarts: int = 40
    directions: int = 20

    def slope(self, search: LabelSearch, rays: Rays, draw: int) -> Tensor:
        """Sum the ways to directions around, each times the difference of the boundary's distance along it."""
        n = min(self.directions, 2 * rays.ends[0].numel())
        slopes = []
        for part in torch.arange(len(rays.rows), device=rays.rows.device).split(max(search.box.chunk // n, 1)):
            some = rays.take(part)
            u, scale = search.noise.directions(search.task.seeds[some.rows], draw, n)
            around = self.around(search, some, u, scale)
            differences = self._differences(search, some, around)
            slopes.append((differences[:, None] @ (around - some.ends[:, None]).flatten(2))[:, 0])
        return unit(torch.cat(slopes)).view_as(rays.ends)

    def _differences(self, search: LabelSearch, rays: Rays, around: Tensor) -> Tensor:
        """Return by how much farther the boundary is on ways to points ``(N, M, ...)``, as shares of them, ``(N, M)``.

        What is more than :data:`WIDTH` smoothings is as much as that; what the budget does not allow for is 0.
        """
        task, x = search.task, search.task.x[rays.rows][:, None]
        way, width = around - x, WIDTH * rays.smoothing[:, None].expand(around.shape[:2])
        low, high, share = 1 - width, 1 + width, torch.ones_like(width)
        for _ in range(SEARCH):
            points = torch.addcmul(x, way, rowwise(share, rays.ends)).clamp_(task.low, task.high)
            reached, asked = search.box.ask(points, rays.rows)
            low, high = torch.where(asked & ~reached, share, low), torch.where(asked & reached, share, high)
            share = (low + high) / 2
        return share - 1
