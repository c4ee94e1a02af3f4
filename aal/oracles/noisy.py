"""One honest labeler who errs."""

from aal.oracles.crowd import Crowd


class Noisy(Crowd):
    """One labeler who errs with a fixed probability, evenly over the other classes (paper *robust*, section I.A).

    Args:
        error: Probability of an error, in [0, 1].

    Raises:
        UserError: ``error`` is no probability.
    """

    def __init__(self, error: float = 0.05) -> None:
        super().__init__(honest=1, malicious=0, error=error)
