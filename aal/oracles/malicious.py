"""One labeler who lies about a class."""

from aal.checks import probability
from aal.oracles.crowd import Crowd


class Malicious(Crowd):
    """One labeler who consistently gives a class another's name (paper *robust*, section I.A).

    Args:
        source: Class that is flipped, by its name or number.
        target: Class that is said instead.
        error: Probability of an error about a sample of another class, in [0, 1].

    Raises:
        UserError: ``error`` is no probability; in ``prepare``, classes that there are not, or that are equal.
    """

    def __init__(self, source: int | str, target: int | str, error: float = 0.0) -> None:
        probability({"error": error})
        super().__init__(honest=0, malicious=1, source=source, target=target, malicious_error=error)
