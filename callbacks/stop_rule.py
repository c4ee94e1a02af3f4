"""Stop rules: a run ends when a recorded quantity crosses a bound."""

import math
import operator
from dataclasses import dataclass
from typing import Any

from aal.checks import refuse


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
        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        refuse(
            self.at_least is None and self.at_most is None,
            f"at_least: the rule for {self.column!r} needs at_least or at_most",
        )
        for name, bound in bounds.items():
            refuse(not math.isfinite(bound or 0.0), f"{name}: the rule for {self.column!r} needs a number, not {bound}")

    def met(self, record: dict[str, Any]) -> str:
        """Return how a round's record meets the rule, empty where it does not."""
        value = record.get(self.column)
        for word, bound, beyond in (("least", self.at_least, operator.ge), ("most", self.at_most, operator.le)):
            # A value kept in float32 may be its bound: 0.89 is kept as a little less.
            if (
                value is not None
                and bound is not None
                and (beyond(value, bound) or math.isclose(value, bound, rel_tol=1e-6))
            ):
                return f"{self.column} at {word} {bound:g}"
        return ""
