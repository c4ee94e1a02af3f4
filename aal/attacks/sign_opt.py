"""Sign-OPT: the direction in which the boundary is nearest, by whether it is nearer along others, a query for each."""

from dataclasses import dataclass

from torch import Tensor

from aal.attacks.label_search import LabelSearch
from aal.attacks.ray_descent import RayDescent, Rays

PRECISION = 0.1  # of the smoothing


@dataclass(frozen=True, kw_only=True)
class SignOPT(RayDescent):
    """Minimize the boundary's distance over directions, by signs of its differences, one query for each.

    Source: Cheng, Singh, Chen, Chen, Liu and Hsieh, "Sign-OPT: a query-efficient hard-label adversarial attack",
    Algorithm 1, which minimizes in L2; the signs are taken less their mean. In L-inf directions around a way are
    projected onto the ball that it ends at, and turns follow the slope's signs.

    Args:
        queries: Most queries of the model for a sample, at least 0; the first is for the sample itself. With 0 nothing
            is asked and every sample fails; with 1 only those that are wrong to begin with do not.
        norm: The norm that is minimized and reported: ``l2`` or ``linf``.
        starts: Random points tried as first ones, at least 1, anew at each restart; ten times as many where none is
            of use.
        chunk: Most points that the model is asked about at once, at least 1; memory and time depend on it alone.
        restarts: How often the search begins anew where no turn makes a way shorter, while queries are left; at least
            0.
        directions: Directions around a way that are asked for each estimate of the slope, at least 1.
        smoothing: How far around, as a share of the way's length, above 0.

    Raises:
        UserError: A value outside its range.
    """

    @property
    def precision(self) -> float:
        """Share of a way within which its length is known: signs need less than the differences of OPT."""
        return PRECISION * self.smoothing

    def slope(self, search: LabelSearch, rays: Rays, draw: int) -> Tensor:
        """Ask whether ways around reach the goal at the same distance: along those the boundary is nearer."""

        def perturbed(part: Tensor, u: Tensor, scale: Tensor) -> Tensor:
            return self.around(search, rays.take(part), u, scale)

        return -search.votes(rays.rows, rays.ends, self.directions, draw, perturbed)
