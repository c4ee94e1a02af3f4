"""The least move in L2 into a region of Voronoi cells: rows become active one by one; Newton steps in a box."""

import numpy as np
from scipy.linalg.lapack import dgesv

from aal.attacks.cell_projection import MORE, TOLERANCE, Nearest, Projection, RegionRows, most
from aal.attacks.voronoi import Array, Outlook, Region

DEPENDENT = 1e-13  # share of a row's square that others may leave of it, below which it is their sum
STEPS, HALVINGS = 200, 60  # of a Newton iteration


class LeastSquares(Projection):
    """Projects in L2, by the dual active set method (Goldfarb and Idnani, 1983)."""

    norm = "l2"

    def nearest(self, look: Outlook, region: Region, best: float) -> Nearest:
        """Return the least move: the worst row is taken in until none is violated; each step's length is a bound."""
        rows, active, factors = RegionRows(look, region, self.norm), list[int](), np.empty(0)
        move, length = np.zeros_like(look.x), 0.0
        while True:
            excess = rows.excess(move)
            worst = int(excess.argmax()) if len(excess) else -1
            if worst < 0 or excess[worst] <= TOLERANCE * length or worst in active:
                if rows.lacking(move, TOLERANCE * length):
                    continue
                break
            taken = _take_in(rows, active, factors, move, worst)
            if taken is None:
                return Nearest(np.inf)
            factors, move = taken
            length = float(np.sqrt(move @ move))
            if length >= best:
                return Nearest(self.bound(rows, active, factors))
        if self.box is not None and not self.box.holds(move):
            return self._boxed(rows, active, factors, best)
        return Nearest(min(self.bound(rows, active, factors), length), move, length)

    def _boxed(self, rows: RegionRows, chosen: list[int], factors: Array, best: float) -> Nearest:
        """Return the least move in the box: rows are added to the dual problem that its solution violates."""
        while True:
            factors, move = self._newton(rows, chosen, factors, best)
            bound, length = self.bound(rows, chosen, factors), float(np.sqrt(move @ move))
            if bound >= best:
                return Nearest(bound)
            while True:
                excess = rows.excess(move)
                excess[chosen] = -np.inf
                more = most(excess, MORE, TOLERANCE * length)
                if len(more) or not rows.lacking(move, TOLERANCE * length):
                    break
            if not len(more):
                return Nearest(min(bound, length), move, length)
            chosen = chosen + more.tolist()
            factors = np.append(factors, np.zeros(len(more)))

    def _newton(self, rows: RegionRows, chosen: list[int], factors: Array, best: float) -> tuple[Array, Array]:
        """Maximize the concave dual function of factors of at least 0; return them and the move that they make."""
        assert self.box is not None
        sizes = rows.sizes[chosen]
        weights, limits = rows.weights[chosen] / sizes[:, None], rows.limits[chosen] / sizes
        low, high = -self.box.down, self.box.up

        def look(factors: Array) -> tuple[Array, float, Array]:
            move = np.clip(-(factors @ weights), low, high)
            slope = weights @ move - limits
            return move, float(0.5 * move @ move + factors @ slope), slope

        factors = factors.clip(0) * sizes
        move, value, slope = look(factors)
        for _ in range(STEPS):
            rising = (factors > 0) | (slope > 0)
            left = float(np.abs(slope[rising]).max()) if rising.any() else 0.0
            if left <= 0.1 * TOLERANCE * np.sqrt(move @ move) or 2 * value >= best * best:
                break
            free = (move > low) & (move < high)
            own = weights[np.ix_(rising, free)]
            step = np.zeros_like(factors)
            step[rising] = np.linalg.solve(own @ own.T + 1e-14 * np.eye(len(own)), slope[rising])
            for halving in range(HALVINGS):
                tried = (factors + 0.5**halving * step).clip(0)
                found = look(tried)
                if found[1] > value:
                    break
            else:
                break  # as high as rounding lets it
            factors, (move, value, slope) = tried, found
        return factors / sizes, move


def _take_in(rows: RegionRows, active: list[int], factors: Array, move: Array, row: int) -> tuple[Array, Array] | None:
    """Make a row active, which others may leave for; return all factors and the move, or None for an empty region."""
    new, factor = rows.weights[row], 0.0
    square, excess = float(new @ new), float(new @ move - rows.limits[row])
    while active:
        own = rows.weights[active]
        shares = _solution(own @ own.T, own @ new)
        rest = new - shares @ own
        left = float(rest @ rest)
        apart = left > DEPENDENT * square
        full = excess / left if apart else np.inf
        falling = shares > DEPENDENT
        times = np.where(falling, factors / np.where(falling, shares, 1.0), np.inf)
        leaves = int(times.argmin())
        step = min(full, float(times[leaves]))
        if step == np.inf:
            return None
        factors, factor = factors - step * shares, factor + step
        if step == full:
            active.append(row)
            factors = np.append(factors, factor)
            return factors, -(factors @ rows.weights[active])
        if apart:
            excess -= step * left
        del active[leaves]
        factors = np.delete(factors, leaves)
    active.append(row)
    factors = np.array([factor + excess / square])
    return factors, -factors[0] * new


def _solution(matrix: Array, values: Array) -> Array:
    """Return the solution of a system of few rows; LAPACK itself: NumPy takes three to six times as long."""
    *_, found, singular = dgesv(matrix, values)
    return np.asarray(np.linalg.lstsq(matrix, values, rcond=None)[0] if singular else found, np.float64)
