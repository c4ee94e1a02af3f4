"""The least move in L-inf into a region of Voronoi cells: a linear program of few of its rows, solved by HiGHS."""

import highspy
import numpy as np

from aal.attacks.cell_projection import MORE, TOLERANCE, Box, Nearest, Projection, RegionRows, most
from aal.attacks.voronoi import Array, Indices, Outlook, Region
from aal.errors import RunStopped

OPTIONS: dict[str, bool | float | str] = {
    "output_flag": False,
    "presolve": "off",
    "threads": 1,
    "simplex_scale_strategy": 0,  # rows are scaled here
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-10,
    "small_matrix_value": 1e-12,
}
DUAL_SIMPLEX, PRIMAL_SIMPLEX = 1, 4  # the dual one goes on from its solution when rows are added
END = -1  # in the place of a row: an end of the box
FAR = 1e3  # times the unit of length: where the least move is longer, the program is made anew


class _Silent(highspy.Highs):
    """HiGHS without the line that it says when it is made."""

    def enableCallbacks(self) -> None:  # what is called first
        """Say nothing from here on."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


class LinearProgram(Projection):
    """Projects in L-inf: ``max s`` where ``w u <= b s`` for all rows and ``|u| <= 1``; the move is ``u / s``.

    Rows and those ends of the box that a move can meet are added as solutions violate them.
    """

    norm = "linf"

    def __init__(self, box: Box | None = None) -> None:
        super().__init__(box)
        self._solver = _Silent()  # type: ignore[no-untyped-call]
        for option, value in OPTIONS.items():
            self._solver.setOptionValue(option, value)

    def nearest(self, look: Outlook, region: Region, best: float) -> Nearest:
        """Return the least move, by programs in whose unit of length the move is 1 to ``FAR`` long."""
        rows = RegionRows(look, region, self.norm)
        chosen = self._violated(rows, [], np.zeros_like(look.x), 0.0)
        if not len(chosen):
            return Nearest(0.0, np.zeros_like(look.x), 0.0)
        if self.box is None:
            unit = float((-rows.limits[chosen] / rows.sizes[chosen]).max())
        else:
            unit = max(self.bound(rows, [row], np.ones(1)) for row in chosen.tolist())
        if unit >= best:
            return Nearest(unit)
        taken = self._begin(len(look.x), unit)
        while True:
            self._add(rows, chosen, taken)
            move, size, factors = self._solved()
            own = [row for row in taken if row != END]
            bound = max(self.bound(rows, own, factors[np.array(taken) != END] / rows.sizes[own]), unit)
            if size >= best or bound >= best:
                return Nearest(bound)
            if size > FAR * unit:
                unit, chosen = size, np.array(own)
                taken = self._begin(len(look.x), unit)
                continue
            if self._boxed(move, taken):
                chosen = np.empty(0, np.intp)
                continue
            chosen = self._violated(rows, own, move, TOLERANCE * size)
            if not len(chosen):
                return Nearest(min(bound, size), move, size)

    def _begin(self, features: int, unit: float) -> list[int]:
        """Begin a program of no rows; return the list of those that it will have: a row each, or an end of the box."""
        lower, upper = -np.ones(features + 1), np.ones(features + 1)
        if self.box is not None:  # where there is no room at all it need not be asked how far
            lower[:-1][self.box.down <= 0], upper[:-1][self.box.up <= 0] = 0.0, 0.0
        lower[-1], upper[-1] = 0.0, 2.0
        cost, starts = np.append(np.zeros(features), -1.0), np.zeros(features + 1, np.int32)
        self._features, self._unit = features, unit
        self._risen, self._fallen = np.zeros(features, bool), np.zeros(features, bool)
        self._solver.clearModel()
        self._solver.addCols(features + 1, cost, lower, upper, 0, starts, np.zeros(0, np.int32), np.zeros(0))
        return []

    def _violated(self, rows: RegionRows, taken: list[int], move: Array, tolerance: float) -> Indices:
        """Return the rows that a move violates most, of those that the program lacks."""
        while True:
            excess = rows.excess(move)
            excess[taken] = -np.inf
            worst = most(excess, MORE, tolerance)
            if len(worst) or not rows.lacking(move, tolerance):
                return worst

    def _add(self, rows: RegionRows, chosen: Indices, taken: list[int]) -> None:
        if len(chosen):
            sizes = rows.sizes[chosen, None]
            limits = -rows.limits[chosen, None] / (sizes * self._unit)
            self._append(np.concatenate([rows.weights[chosen] / sizes, limits], axis=1))
            taken += chosen.tolist()

    def _append(self, table: Array) -> None:
        where, columns = table.nonzero()
        starts = np.searchsorted(where, np.arange(len(table))).astype(np.int32)
        least, most = np.full(len(table), -highspy.kHighsInf), np.zeros(len(table))
        entries = table[where, columns]
        self._solver.addRows(len(table), least, most, len(entries), starts, columns.astype(np.int32), entries)

    def _boxed(self, move: Array, taken: list[int]) -> bool:
        """Add the ends of the box that a move violates and the program lacks; whether there are any."""
        if self.box is None:
            return False
        found = False
        for sign, room, known in ((1.0, self.box.up, self._risen), (-1.0, self.box.down, self._fallen)):
            beyond = np.flatnonzero((sign * move > room * (1 + TOLERANCE)) & ~known)
            if len(beyond):
                table = np.zeros((len(beyond), len(move) + 1))
                table[np.arange(len(beyond)), beyond] = sign
                table[:, -1] = -room[beyond] / self._unit
                self._append(table)
                taken += [END] * len(beyond)
                known[beyond], found = True, True
        return found

    def _solved(self) -> tuple[Array, float, Array]:
        """Return the program's move, its length and the factors of all rows."""
        for simplex in (DUAL_SIMPLEX, PRIMAL_SIMPLEX):
            self._solver.setOptionValue("simplex_strategy", simplex)
            self._solver.run()
            status = self._solver.getModelStatus()
            if status == highspy.HighsModelStatus.kOptimal:
                break
            self._solver.clearSolver()  # the other one begins anew
        else:
            name = self._solver.modelStatusToString(status)
            raise RunStopped(f"the linear program of a Voronoi cell ended as {name}: report it with the sample")
        solution = self._solver.getSolution()
        values, factors = np.array(solution.col_value), np.abs(np.array(solution.row_dual))
        share = values[self._features]
        size = self._unit / share if share > 0 else np.inf
        return values[:-1] * (size if share > 0 else 0.0), size, factors
