"""The direct attack: on the straight way to the nearest training point of another class, as far as is needed."""

import math

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import Direct
from aal.errors import UserError
from aal.networks import NearestNeighbours

POINTS = torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.0, 2.0], [5.0, 5.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 1])
X, Y = torch.tensor([[0.1, 0.0]], dtype=torch.float64), torch.tensor([0])
ANYWHERE = (-math.inf, math.inf)


def network(k: int = 1) -> NearestNeighbours:
    made = NearestNeighbours((2,), 4, k)
    made.take_in(POINTS, LABELS)
    return made


def border(site: int) -> float:
    """Return at which share of the way from the sample to a point it is as near as the first point."""
    way = POINTS[site] - X[0]
    return float((POINTS[site].square().sum() / 2 - POINTS[site] @ X[0]) / (POINTS[site] @ way))


@pytest.mark.parametrize(("norm", "order"), [("linf", math.inf), ("l2", 2.0)])
def test_it_stops_where_the_decision_changes_on_the_way_to_the_nearest_point(norm: str, order: float) -> None:
    found = Direct(norm=norm)(network(), X, Y, bounds=ANYWHERE)
    wanted = border(1) * (POINTS[1] - X[0])
    assert found.success.all()
    torch.testing.assert_close(found.x[0] - X[0], wanted, rtol=1e-8, atol=1e-9)
    assert float(found.distance[0]) == pytest.approx(float(torch.linalg.vector_norm(wanted, order)), rel=1e-8)
    assert found.info["neighbor"].tolist() == [1]
    whole = Direct(search=False)(network(), X, Y, bounds=ANYWHERE)
    assert torch.equal(whole.x[0], POINTS[1])
    assert whole.queries.tolist() == [2]


def test_it_goes_to_the_targets_nearest_point() -> None:
    found = Direct()(network(), X, Y, target=torch.tensor([2]), bounds=ANYWHERE)
    torch.testing.assert_close(found.x[0] - X[0], border(2) * (POINTS[2] - X[0]), rtol=1e-8, atol=1e-9)


class Strip(nn.Module):
    """Predicts class 1 from 0.8 on and in a strip before that."""

    def forward(self, x: Tensor) -> Tensor:
        ahead = ((x > 0.36) & (x < 0.37)) | (x > 0.8)
        return torch.cat([0.5 - 0 * x, ahead.to(x.dtype)], dim=1)


def test_more_parts_see_what_succeeds_between() -> None:
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for parts, wanted in ((16, 0.8), (200, 0.36)):
        found = Direct(parts=parts).fit(ends, torch.tensor([0, 1]))(Strip(), ends[:1], Y)
        assert found.success.all()
        assert float(found.distance[0]) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("attack", [Direct(within=0.5), Direct(within=0.5, search=False)])
def test_out_of_reach_nothing_is_moved_and_failure_is_reported(attack: Direct) -> None:
    found = attack(network(), X, Y, bounds=ANYWHERE)
    assert torch.equal(found.x, X)
    assert not found.success.any()
    assert found.distance.tolist() == [0.0]
    assert found.info["neighbor"].tolist() == [-1]


def test_one_class_or_a_target_that_no_point_has_fails_without_moving() -> None:
    alone = NearestNeighbours((2,), 2)
    alone.take_in(POINTS, torch.zeros_like(LABELS))
    for found in (Direct()(alone, X, Y, bounds=ANYWHERE), Direct()(network(), X, Y, target=torch.tensor([3]))):
        assert torch.equal(found.x, X)
        assert not found.success.any()


def test_a_vote_that_the_way_never_changes_fails_and_is_no_training_point() -> None:
    """With three neighbours the point of class 2 is outvoted at its own place."""
    points = torch.tensor([[0.0], [0.2], [0.4], [0.5]], dtype=torch.float64)
    voting = NearestNeighbours((1,), 2, 3)
    voting.take_in(points, torch.tensor([0, 0, 0, 1]))
    x = torch.tensor([[0.1]], dtype=torch.float64)
    for attack in (Direct(), Direct(search=False)):
        found = attack(voting, x, Y)
        assert torch.equal(found.x, x)
        assert not found.success.any()


def test_a_model_that_is_wrong_already_is_left_where_it_is() -> None:
    found = Direct()(network(), X, torch.tensor([1]))
    assert found.success.all()
    assert torch.equal(found.x, X)
    assert found.queries.tolist() == [1]


def test_the_way_ends_where_it_leaves_the_bounds() -> None:
    found = Direct()(network(), X, Y, target=torch.tensor([2]), bounds=(0.0, 0.9))
    assert not found.success.any(), "the border is beyond"
    reached = Direct()(network(), X, Y, target=torch.tensor([2]), bounds=(0.0, 1.2))
    assert reached.success.all()
    assert (reached.x <= 1.2).all()


@pytest.mark.parametrize("arguments", [{"norm": "l1"}, {"within": 0.0}, {"parts": 0}, {"halvings": 0}])
def test_values_outside_their_range_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(arguments))}: "):
        Direct(**arguments)  # type: ignore[arg-type]
