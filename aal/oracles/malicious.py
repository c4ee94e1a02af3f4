"""One labeler who lies about a class."""

from aal.errors import UserError
from aal.oracles.crowd import KEY, Crowd


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
        if not 0 <= error <= 1:
            raise UserError(f"{KEY}.error: must be a probability from 0 to 1, got {error}")
        super().__init__(honest=0, malicious=1, source=source, target=target, malicious_error=error)
