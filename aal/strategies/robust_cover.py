"""The robust k-center problem, exactly: mixed-integer feasibility problems, bisected over the radius."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp


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
