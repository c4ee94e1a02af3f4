"""Numbers that make no sense, and integers that no tensor holds, are refused by their key."""

import math

import pytest

from aal.checks import at_least, below_one, positive, probability
from aal.errors import UserError


@pytest.mark.parametrize("value", [None, 0, -1, math.nan, math.inf])
def test_what_is_no_number_of_things_is_refused(value: float | None) -> None:
    with pytest.raises(UserError, match=r"^batch: must be at least 1, got "):
        at_least(1, {"fine": 1, "batch": value})
    with pytest.raises(UserError, match=r"^batch: must be above 0, got "):
        positive({"fine": 0.1, "batch": value})


@pytest.mark.parametrize("value", [10**400, 2**63, -(2**63)])
def test_an_integer_that_no_tensor_holds_is_refused(value: int) -> None:
    for check in (positive, lambda values: at_least(-(10**500), values)):
        with pytest.raises(UserError, match=r"^batch: must be an integer of 64 bits, got "):
            check({"batch": value})


@pytest.mark.parametrize("value", [None, -0.1, 1.1, math.nan, math.inf])
def test_what_is_no_share_is_refused(value: float | None) -> None:
    with pytest.raises(UserError, match=r"^share: must be from 0 to 1, got "):
        probability({"fine": 0.5, "share": value})
    with pytest.raises(UserError, match=r"^share: must be in \[0, 1\), got "):
        below_one({"fine": 0.5, "share": value})


def test_all_others_pass() -> None:
    at_least(1, {"one": 1, "large": 2**63 - 1, "float": 1e308})
    probability({"none": 0, "all": 1})
    below_one({"none": 0, "most": 0.99})
    with pytest.raises(UserError, match=r"^all: must be in \[0, 1\), got 1$"):
        below_one({"all": 1})
    positive({"small": 1e-308, "large": 2**63 - 1, "float": 1e308})
