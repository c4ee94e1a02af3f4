"""Core-set: the mixed-integer answer against all subsets, planted cases on a line, and what a clock must not change."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from aal.errors import RunStopped, UserError
from aal.models import Classifier
from aal.seeds import generator
from aal.strategies import CoreSet, Selection, View
from aal.strategies.core_set import RobustCover
from tests.strategies.views import view_of


class Identity(Classifier):
    """A classifier whose logits are its samples, and whose features are ten times those."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def features(self, x: Tensor) -> Tensor:
        return 10 * x


def line(*positions: float) -> View:
    """Return a view of points on a line, the first of them labelled."""
    return view_of(Identity(1), torch.tensor(positions)[:, None])


def chosen(strategy: CoreSet, view: View, n: int) -> Selection:
    return strategy.select(view, n, generator=generator(0, "query"))


@pytest.mark.parametrize("outliers", [0, 1, 2])
def test_mixed_integer_answer_is_the_best_of_all_subsets(outliers: int) -> None:
    better = 0
    for seed in range(8):
        g = generator(seed, "points")
        x, c = torch.randn(9, 2, generator=g).double(), torch.randn(2, 2, generator=g).double()
        n = 1 + seed % 3
        problem = RobustCover(torch.cdist(x, x).numpy(), torch.cdist(x, c).amin(1).numpy(), n, outliers)
        radii = {places: problem.radius(np.array(places)) for places in combinations(range(9), n)}
        start = max(radii, key=lambda places: radii[places])
        found, proven = problem.improve(np.array(start), 60.0)
        assert problem.radius(found) == proven == min(radii.values())
        better += proven < radii[start]
    assert better == 8


@pytest.mark.parametrize("share", [0.0, 0.04])
def test_never_worse_than_greedy(share: float) -> None:
    for seed in range(6):
        view = view_of(Identity(3), torch.randn(40, 3, generator=generator(seed, "points")))
        greedy, best = (chosen(CoreSet(outliers=share, time_limit=seconds), view, 4) for seconds in (1e-9, 60.0))
        assert best.figures["cover_radius"] <= best.figures["greedy_radius"] == greedy.figures["cover_radius"]
        assert best.figures["cover_gap"] == 0.0
        between = torch.cdist(view.logits.double(), view.logits.double())
        given = torch.cdist(view.logits.double(), view.labelled_logits.double())[:, 0]
        reached = torch.minimum(given, between[:, best.indices - 1].amin(1)).sort().values
        left_out = math.ceil(share * 40)
        assert best.figures["cover_radius"] == pytest.approx(float(reached[-1 - left_out]), abs=1e-12)


def test_greedy_is_beaten_where_it_can_be() -> None:
    """Labelled at 0, candidates at 4, 5, 6: greedy takes 6 and leaves 4 at a distance of 2; 5 leaves 1."""
    lines: list[str] = []
    view = replace(line(0, 4, 5, 6), report=lines.append)
    assert chosen(CoreSet(optimise=False), view, 1).figures == {"cover_radius": 2.0}
    selection = chosen(CoreSet(outliers=0), view, 1)
    assert selection.indices.tolist() == [2]
    assert {name: selection.figures[name] for name in ("cover_radius", "greedy_radius", "cover_gap")} == {
        "cover_radius": 1.0,
        "greedy_radius": 2.0,
        "cover_gap": 0.0,
    }
    assert lines[0] == "core-set: radius 2"
    assert lines[1].startswith("core-set: radius 1, greedy 2, gap 0.0%, ")


def test_an_outlier_may_stay_uncovered() -> None:
    view = line(0, 4, 5, 6, 100)
    covered, robust = (chosen(CoreSet(outliers=share), view, 1) for share in (0, 1 / 5))
    assert covered.indices.tolist() == [4]
    assert covered.figures["cover_radius"] == 6.0
    assert robust.indices.tolist() == [2]
    assert robust.figures["cover_radius"] == 1.0
    assert chosen(CoreSet(outliers=1e-4), view, 1).indices.tolist() == [2], "any share above 0 is at least one point"


def test_greedy_answer_stands_when_the_time_is_over() -> None:
    view = line(0, 4, 5, 6, 20, 21, 25)
    greedy, stopped = (chosen(strategy, view, 2) for strategy in (CoreSet(optimise=False), CoreSet(time_limit=1e-9)))
    assert torch.equal(greedy.indices, stopped.indices)
    assert stopped.figures["cover_gap"] == 1.0, "nothing was proven"


def test_centers_left_over_are_greedy_ones() -> None:
    """With all points outliers no center is needed."""
    view = line(0, 4, 5, 6, 100)
    selection = chosen(CoreSet(outliers=0.99), view, 3)
    assert selection.figures["cover_radius"] == 0.0
    assert selection.indices.tolist() == chosen(CoreSet(optimise=False), view, 3).indices.tolist() == [4, 3, 1]


def test_first_choice_is_farthest_and_scores_are_distances() -> None:
    """After 21 both 10 and 11 are 10 from what there is: chance decides."""
    positions = (0.0, 1, 20, 21, 9, 10, 11, 2)
    found = set()
    for seed in range(12):
        selection = CoreSet(outliers=0).select(line(*positions), 2, generator=generator(seed, "query"))
        first, second = selection.indices.tolist()
        found |= {first, second}
        assert selection.scores is not None
        nearer = min(positions[second], positions[first] - positions[second])
        assert selection.scores.tolist() == [positions[first], nearer]
    assert found == {3, 5, 6}


@pytest.mark.parametrize("optimise", [False, True])
@pytest.mark.parametrize("index", [0, 3])
def test_infinite_coordinates_are_refused_labelled_ones_too(optimise: bool, index: int) -> None:
    positions = [0.0, 4.0, 5.0, 6.0]
    positions[index] = math.inf
    with pytest.raises(RunStopped, match=rf"^CoreSet: the score of index {index} is NaN"):
        chosen(CoreSet(optimise=optimise), line(*positions), 1)


@pytest.mark.parametrize("optimise", [False, True])
def test_space_is_that_of_logits_or_features(optimise: bool) -> None:
    view = line(0, 4, 5, 6)
    radii = [
        chosen(CoreSet(space=space, optimise=optimise, outliers=0), view, 1).figures["cover_radius"]
        for space in ("logits", "features")
    ]
    assert radii[1] == 10 * radii[0]


def test_all_ranks_take_what_the_first_found() -> None:
    """A rank with more time would find another answer."""
    shared: list[Tensor] = []

    def first(result: Tensor) -> Tensor:
        shared.append(result)
        return shared[0]

    view = replace(line(0, 4, 5, 6), agree=first)
    here, there = (chosen(CoreSet(outliers=0, time_limit=seconds), view, 1) for seconds in (1e-9, 60.0))
    assert not torch.equal(shared[0], shared[1])
    assert here.indices.tolist() == there.indices.tolist() == [3]
    assert here.figures == there.figures
    assert torch.equal(here.scores, there.scores)  # type: ignore[arg-type]


def test_subset_is_random_and_never_smaller_than_the_query() -> None:
    view = view_of(Identity(2), torch.randn(60, 2, generator=generator(0, "points")))
    drawn = {tuple(CoreSet(subset=5).select(view, 5, generator=generator(s, "q")).indices.tolist()) for s in range(5)}
    assert len(drawn) == 5
    assert len(set(chosen(CoreSet(subset=2), view, 7).indices.tolist())) == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"subset": None}, "subset: with optimise at most 5000 candidates, got None"),
        ({"subset": 5001}, "subset: with optimise at most 5000 candidates, got 5001"),
        ({"subset": 0}, "subset: must be at least 1, got 0"),
        ({"space": "pixels"}, "space: must be one of logits, features, got 'pixels'"),
        ({"outliers": -0.1}, r"outliers: must be in \[0, 1\), got -0.1"),
        ({"outliers": 1.0}, r"outliers: must be in \[0, 1\), got 1.0"),
        ({"time_limit": 0.0}, "time_limit: must be above 0, got 0.0"),
    ],
)
def test_senseless_values_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=rf"^{named}$"):
        CoreSet(**arguments)  # type: ignore[arg-type]
    CoreSet(subset=None, optimise=False)
