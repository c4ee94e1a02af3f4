"""Stop rules: a run ends when a recorded quantity crosses a bound."""

import math
from dataclasses import dataclass
from typing import Any

from aal.errors import UserError


@dataclass(frozen=True)
class StopRule:
    """Ends the run after the first round whose record has ``column`` at or beyond a bound.

    Any column of ``rounds.jsonl`` will do: the accuracy on the test split, the mean perturbation of the samples that
    the last query chose, what is left of the accuracy under attack. A round without the column goes on; one that no
    round has had when the second has ended is refused, unless it is of the robust evaluation, which may come later.

    Args:
        column: Name of the column.
        at_least: The run ends where the column is as high as this; ``null`` for no such bound.
        at_most: The run ends where the column is as low as this; ``null`` for no such bound.

    Raises:
        UserError: No bound, or one that is not a number.
    """

    column: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that would never end anything."""
        if self.at_least is None and self.at_most is None:
            raise UserError(f"at_least: the rule for {self.column!r} needs at_least or at_most")
        for name, bound in (("at_least", self.at_least), ("at_most", self.at_most)):
            if bound is not None and not math.isfinite(bound):
                raise UserError(f"{name}: the rule for {self.column!r} needs a number, not {bound}")

    def met(self, record: dict[str, Any]) -> str:
        """Return how a round's record meets the rule, empty where it does not."""
        value = record.get(self.column)
        if value is None:
            return ""
        if self.at_least is not None and (value >= self.at_least or _alike(value, self.at_least)):
            return f"{self.column} at least {self.at_least:g}"
        if self.at_most is not None and (value <= self.at_most or _alike(value, self.at_most)):
            return f"{self.column} at most {self.at_most:g}"
        return ""


def _alike(value: float, bound: float) -> bool:
    """Whether a value kept in float32 is its bound: 0.89 is kept as a little less."""
    return math.isclose(value, bound, rel_tol=1e-6)
