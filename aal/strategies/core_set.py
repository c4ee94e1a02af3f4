"""Core-set: the candidates that, as centers beside the labelled samples, cover the pool within the least radius.

Greedy k-center, then the robust k-center problem exactly: mixed-integer feasibility problems, bisected over the radius.
"""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from aal.checks import FROM_1, below_one, one_of, or_none, positive, refuse
from aal.distances import nearest
from aal.strategies.base import Selection, Strategy, View, points_in
from aal.strategies.k_center import k_center

MOST = 5000  # candidates whose distances from each other are kept, 200 MB and while they are sorted several times that
FIGURES = ("cover_radius", "greedy_radius", "cover_gap", "seconds_cover")


@dataclass(frozen=True)
class CoreSet(Strategy):
    """Query the centers of a cover of the pool: greedy k-center, then the robust mixed-integer problem.

    Greedy k-center needs at most twice the least radius. The problem asks for the least radius within which the
    labelled samples and ``n`` candidates cover all candidates but some outliers. It is solved with HiGHS; where the
    time is over, or nothing is better, the greedy answer stands. Where centers are left over, greedy k-center goes on
    from the others. First choice first: each is the farthest from those before.

    The round's record has ``cover_radius``, and with ``optimise`` ``greedy_radius`` (both but for the outliers),
    ``cover_gap`` (the share of the radius that no proof of optimality covers, 0 where it is the least) and
    ``seconds_cover``.

    Source: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach"; paper *dfal*,
    sections 4.2 and 4.3: a random subset of the pool, distances on the output of the last fully connected layer.

    Args:
        subset: How many candidates to look at, drawn at random; ``null`` for all.
        space: Where distances are Euclidean: ``logits``, or ``features``, the input of the last layer.
        optimise: Whether to solve the problem after greedy k-center; needs a subset of at most 5,000.
        outliers: Share of candidates and labelled samples that may stay uncovered, rounded up; greedy k-center knows
            of none. Paper *dfal*'s "no regularisation" is 0.
        time_limit: Most seconds for the problem; the distances between the candidates come on top, 5,000 in 512
            dimensions about half a minute on one core.

    Raises:
        UserError: A value outside its range; ``optimise`` with too large a subset.
    """

    subset: int | None = 800
    space: Literal["logits", "features"] = "logits"
    optimise: bool = True
    outliers: float = 1e-4
    time_limit: float = 5.0
    ranges = Strategy.ranges | {
        "subset": or_none(FROM_1),
        "space": partial(one_of, ("logits", "features")),
        "outliers": below_one,
        "time_limit": positive,
    }

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        refuse(
            self.optimise and (self.subset is None or self.subset > MOST),
            f"subset: with optimise at most {MOST} candidates, got {self.subset}",
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures that its selections may have."""
        return FIGURES if self.optimise else FIGURES[:1]

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` centers from a random subset, at least as large as ``n``."""
        view = view.among(self.subset, n, generator)
        points, labelled = points_in(self, view, self.space)
        shuffled = torch.randperm(len(points), generator=generator)  # below, equal ones go to the lower place
        points = points[shuffled]
        cover = k_center(points, labelled, n)
        picks, distances, figures = cover.picks, cover.distances, {"cover_radius": cover.radius}
        line = "core-set: radius {cover_radius:.4g}"
        if self.optimise and n < len(points):
            picks, figures = self._optimised(points, labelled, picks)
            order = k_center(points[picks], labelled, n)
            # A clock decided: all ranks go on with what the first one found.
            found = view.agree(
                torch.cat([picks[order.picks], order.distances, order.distances.new_tensor([*figures.values()])])
            )
            picks, distances = found[:n].long(), found[n : 2 * n]
            figures = dict(zip(figures, found[2 * n :].tolist(), strict=True))
            line += ", greedy {greedy_radius:.4g}, gap {cover_gap:.1%}, {seconds_cover:.1f} s"
        view.report(line.format(**figures))
        return Selection(view.candidates[shuffled[picks]], distances, figures=figures)

    def _optimised(self, points: Tensor, labelled: Tensor, greedy: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the places of centers ``(n,)`` that are no worse than the greedy ones, and what to record of them."""
        started, n = time.perf_counter(), len(greedy)
        x = points.double()
        problem = RobustCover(
            torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").numpy(),
            nearest(points, labelled).numpy(),
            n,
            math.ceil(self.outliers * (len(points) + len(labelled))),
        )
        chosen, least = problem.improve(np.sort(greedy.numpy()), self.time_limit)
        kept, others = torch.from_numpy(chosen).long(), torch.from_numpy(np.setdiff1d(np.arange(len(points)), chosen))
        more = k_center(points[others], torch.cat([labelled, points[kept]]), n - len(kept))
        picks = torch.cat([kept, others[more.picks]]).sort().values
        reached = problem.radius(picks.numpy())
        return picks, {
            "cover_radius": reached,
            "greedy_radius": problem.radius(greedy.numpy()),
            "cover_gap": max(0.0, 1 - least / reached) if reached > 0 else 0.0,
            "seconds_cover": time.perf_counter() - started,
        }


@dataclass(frozen=True)
class RobustCover:
    """Which ``n`` points to make centers so that all others but some outliers are within the least radius of a center.

    Source: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", section 4.3.

    Attributes:
        between: Distances between the points ``(U, U)``.
        given: Distance of every point to the nearest center that there is already ``(U,)``.
        n: Most centers to choose.
        outliers: Most points to leave uncovered.
    """

    between: NDArray[np.float64]
    given: NDArray[np.float64]
    n: int
    outliers: int

    def radius(self, chosen: NDArray[np.int64]) -> float:
        """Return the least radius that centers ``(K,)`` need to cover all points but the outliers."""
        distances = np.minimum(self.given, self.between[:, chosen].min(1, initial=np.inf))
        return float(np.sort(distances)[::-1][self.outliers :].max(initial=0.0))

    def improve(self, chosen: NDArray[np.int64], seconds: float) -> tuple[NDArray[np.int64], float]:
        """Look for centers of a smaller radius than some have.

        The radius is one of the distances. Of those the linear relaxations of the problems rule out what they can;
        the rest is bisected with the problems themselves. A problem that half of the time left does not settle is left
        alone, and larger radii are tried.

        Args:
            chosen: Places of the centers to start from ``(K,)``, at most ``n``.
            seconds: After how many the best centers so far stand.

        Returns:
            The best centers, at most ``n``, and a radius below which it was proven that there are none.
        """
        deadline, proven, most = time.perf_counter() + seconds, -1, self.radius(chosen)
        distances = np.concatenate([[0.0, most], self.given, self.between.ravel()])
        radii = np.unique(distances[distances <= most])
        for relaxed in (True, False):
            low, high = proven, int(np.searchsorted(radii, self.radius(chosen)))
            while high - low > 1 and (left := deadline - time.perf_counter()) > 0:
                middle = (low + high) // 2
                possible, found = self._solve(radii[middle], relaxed, left / 2)
                if possible and relaxed:
                    high = middle
                elif possible:
                    chosen, high = found, int(np.searchsorted(radii, self.radius(found)))
                else:
                    low = middle
                    proven = middle if possible is False else proven
        return chosen, float(radii[proven + 1])

    def _solve(self, radius: float, relaxed: bool, seconds: float) -> tuple[bool | None, NDArray[np.int64]]:
        """Tell whether ``n`` centers can cover all but the outliers within a radius, ``None`` if not known in time.

        Variables: whether each point is a center; whether each point that no given center covers is an outlier.

        Args:
            radius: The radius.
            relaxed: Whether the variables may be fractions.
            seconds: Most time.

        Returns:
            The answer, and the centers that show it where nothing is relaxed.
        """
        uncovered, points = np.flatnonzero(self.given > radius), len(self.given)
        covered = sparse.hstack(
            [sparse.csr_array((self.between[uncovered] <= radius).astype(float)), sparse.eye_array(len(uncovered))]
        ).tocsr()
        is_center = np.arange(covered.shape[1]) < points
        solved = milp(
            np.zeros(len(is_center)),
            integrality=np.full(len(is_center), 0 if relaxed else 1),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(covered, lb=1),
                LinearConstraint(is_center[None], ub=self.n),
                LinearConstraint(~is_center[None], ub=self.outliers),
            ],
            options={"time_limit": seconds},
        )
        chosen = np.flatnonzero(solved.x[:points] > 0.5) if solved.x is not None else np.empty(0, np.int64)
        if solved.status == 2:  # there are none
            return False, chosen
        if solved.x is None or (not relaxed and (len(chosen) > self.n or self.radius(chosen) > radius)):
            return None, chosen  # no time, or the solver's tolerance was too wide
        return True, chosen
