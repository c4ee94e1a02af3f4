"""Cluster max-min against Equation 4 by plain loops on planted clusters, and its shares by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aal.errors import RunStopped, UserError
from aal.models import Classifier
from aal.seeds import generator
from aal.strategies import ClusterMaxMin, Selection, View
from aal.strategies.cluster_max_min import apportion, one_by_one, ranked, shares
from aal.strategies.clusters import Clusters
from tests.commands import ROOT, fit
from tests.strategies.views import view_of

METHODS = ("kmeans", "kmedoids", "agglomerative")
CENTERS = torch.tensor([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]])


class Features(Classifier):
    """A classifier whose features are its samples and sees class 0 up to 50 along the first axis, then 1."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([50 - x[:, 0], x[:, 0] - 50], dim=1)

    def features(self, x: Tensor) -> Tensor:
        return x


def planted(
    sizes: list[int], labelled: list[int], labels: list[int] | None = None, seed: int = 0
) -> tuple[View, Tensor]:
    """Return a view of points around the centers, in no order, and the center of every sample.

    Args:
        sizes: How many samples each center has.
        labelled: How many of them have a label.
        labels: Those labels, one a center, else what the classifier says.
        seed: Of the points.
    """
    g = generator(seed, "planted")
    which = torch.repeat_interleave(torch.tensor(sizes))[torch.randperm(sum(sizes), generator=g)]
    x = CENTERS[which] + torch.randn(len(which), 3, generator=g)
    given = torch.cat([(which == c).nonzero().flatten()[:count] for c, count in enumerate(labelled)]).sort().values
    told = torch.tensor(labels or [0, 1, 0, 0])[which[given]]
    rest = torch.ones(len(which), dtype=torch.bool)
    rest[given] = False
    view = replace(view_of(Features(), x), candidates=rest.nonzero().flatten(), labelled=given, labelled_labels=told)
    return view, which


def chosen(view: View, n: int, **arguments: object) -> Selection:
    return ClusterMaxMin(**arguments).select(view, n, generator=generator(0, "query"))  # type: ignore[arg-type]


def by_loop(view: View, which: Tensor, numbers: list[int], update: bool) -> dict[int, float]:
    """Return the picks of Equation 4 and their distances, clusters one after the other, the largest first."""
    x, near = view.images(torch.arange(len(which))).double(), view.labelled.tolist()
    picks: dict[int, float] = {}
    sizes = which[view.candidates].bincount(minlength=len(numbers)).tolist()
    for c in sorted(range(len(numbers)), key=lambda c: -sizes[c]):
        left = [i for i in view.candidates.tolist() if which[i] == c]
        for _ in range(numbers[c]):
            there = near + (list(picks) if update else [])
            distance = {i: min(float((x[i] - x[j]).norm()) for j in there) for i in left}
            best = max(left, key=lambda i: (distance[i], -i))
            picks[best] = distance[best]
            left.remove(best)
    return picks


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("sample", [60, 1000])
@pytest.mark.parametrize("method", METHODS)
def test_picks_are_those_of_equation_4(method: str, sample: int, update: bool) -> None:
    """Nothing is spent, so that the shares of four clusters are even; the second has too few candidates."""
    view, which = planted([40, 4, 21, 30], [3, 2, 1, 2])
    view = replace(view, budget_left=10**15)
    selection = chosen(view, 14, method=method, sample=sample, update=update)
    assert selection.scores is not None
    wanted = by_loop(view, which, [4, 2, 4, 4], update)
    assert dict(zip(selection.indices.tolist(), selection.scores.tolist(), strict=True)) == pytest.approx(wanted)
    assert update or selection.scores.tolist() == sorted(selection.scores.tolist(), reverse=True)
    assert not update or selection.indices.tolist() == list(wanted)
    assert selection.figures == {"clusters": 4}


def test_updating_takes_fewer_neighbours() -> None:
    """Labelled at 0, candidates at 10, 9.9 and -5: ranked once, the two that are alike."""
    x = torch.tensor([0.0, 10, 9.9, -5])[:, None].repeat(1, 3)
    ranked, updated = (chosen(view_of(Features(), x), 2, clusters=1, update=update) for update in (False, True))
    assert ranked.indices.tolist() == [1, 2]
    assert updated.indices.tolist() == [1, 3]


def test_a_pick_counts_in_other_clusters_too() -> None:
    """Labelled at -11 and 11; -1 of the larger cluster is 2 from 1 of the other, which has one at 6 as well."""
    points, labelled = torch.tensor([-10.0, -9, -8, -1, 1, 6, 10])[:, None], torch.tensor([-11.0, 11])[:, None]
    members, numbers = torch.tensor([1, 1, 1, 1, 0, 0, 0]), torch.tensor([1, 1])
    picks, distances = ranked(points, labelled, members, numbers)
    assert (picks.tolist(), distances.tolist()) == ([3, 4], [10.0, 10.0])
    picks, distances = one_by_one(points, labelled, members, numbers)
    assert (picks.tolist(), distances.tolist()) == ([3, 5], [10.0, 5.0])


def test_all_weights_and_budget_by_hand() -> None:
    """Four labels of 12 are spent; errors 2/4, 1/3, 1/2 and 1/3; three perturbations that count."""
    view, which = planted([10, 10, 10, 10], [2, 1, 0, 1], labels=[1, 1, 0, 0])
    view = replace(view, budget_left=8, labelled_labels=view.labelled_labels.clone())
    first = [i for i in view.labelled.tolist() if which[i] == 0]
    view.labelled_labels[view.labelled == first[0]] = 0  # one right, one wrong
    second = int(view.labelled[which[view.labelled] == 1])
    gone = int(view.candidates[0])  # its label was discarded
    view = replace(
        view,
        perturbed=torch.tensor([first[0], gone, first[1], second]),
        perturbations=torch.tensor([0.5, 100.0, 1.0, 4.5]),
    )
    p = (0.5 + 1.0 + 4.5) / 3
    vulnerable = [p / ((1.5 + p) / 3), p / ((4.5 + p) / 2), 1.0, 1.0]
    weights = torch.tensor([2 / 4, 1 / 3, 1 / 2, 1 / 3]).double() * torch.tensor(vulnerable).double()
    wanted = (1 - 4 / 12) / 4 + 4 / 12 * weights / weights.sum()
    found = Clusters(CENTERS, which[view.candidates])
    torch.testing.assert_close(shares(view, found, which[view.labelled]), wanted)


def test_share_rule_without_copies_or_with_copies_of_no_size_is_that_of_the_errors() -> None:
    view, which = planted([6, 6, 6, 0], [1, 1, 1, 0], labels=[0, 0, 1, 0])
    view, found = replace(view, budget_left=0), Clusters(CENTERS, which[view.candidates])
    none = shares(view, found, which[view.labelled])
    weights = torch.tensor([1 / 3, 2 / 3, 2 / 3, 0.0]).double()
    torch.testing.assert_close(none, weights / weights.sum())
    zero = replace(view, perturbed=view.labelled[:1], perturbations=torch.zeros(1))
    assert torch.equal(shares(zero, found, which[view.labelled]), none)


def test_clusters_in_which_the_model_errs_get_more_once_the_budget_is_spent() -> None:
    counts = []
    for left in (10**9, 1):
        view, which = planted([40, 40, 40, 40], [10, 10, 10, 10], labels=[0, 0, 0, 0])
        counts.append(which[chosen(replace(view, budget_left=left), 40).indices].bincount().tolist())
    assert counts[0] == [10, 10, 10, 10]
    assert counts[1][1] == max(counts[1]) > 25


@pytest.mark.parametrize(
    ("given", "most", "n", "dealt"),
    [
        ([0.5, 0.3, 0.2], [9, 9, 9], 10, [5, 3, 2]),
        ([0.5, 0.3, 0.2], [9, 9, 9], 7, [4, 2, 1]),  # 3.5, 2.1, 1.4
        ([0.5, 0.3, 0.2], [2, 9, 9], 7, [2, 3, 2]),  # five left by 3 : 2
        ([0.5, 0.3, 0.2], [2, 2, 9], 7, [2, 2, 3]),
        ([0.5, 0.3, 0.2], [1, 4, 2], 7, [1, 4, 2]),
        ([0.25] * 4, [3, 5, 4, 5], 2, [0, 1, 0, 1]),  # equal remainders: the largest
        ([0.5, 0.0, 0.5], [3, 0, 3], 5, [3, 0, 2]),
        ([1.0], [5], 5, [5]),
        ([0.5, 0.5], [5, 5], 0, [0, 0]),
    ],
)
def test_shares_are_dealt_out_by_largest_remainder(
    given: list[float], most: list[int], n: int, dealt: list[int]
) -> None:
    assert apportion(torch.tensor(given).double(), torch.tensor(most), n).tolist() == dealt


def test_what_is_dealt_out_is_all_and_no_more_than_there_is_room_for() -> None:
    for seed in range(60):
        g = generator(seed, "shares")
        k = 1 + seed % 7
        most = torch.randint(0, 9, (k,), generator=g)
        weights = torch.rand(k, dtype=torch.float64, generator=g) * (most > 0)
        for n in range(int(most.sum()) + 1):
            dealt = apportion(weights / weights.sum(), most, n)
            assert int(dealt.sum()) == n
            assert bool(((dealt >= 0) & (dealt <= most)).all())
            if bool((weights / weights.sum() * n < most).all()):
                assert bool(((dealt - weights / weights.sum() * n).abs() < 1).all())


@pytest.mark.parametrize("update", [False, True])
class TestDefinedOutcomes:
    def test_fewer_picks_than_clusters_are_of_different_ones(self, update: bool) -> None:
        view, which = planted([9, 8, 7, 6], [1, 1, 1, 1])
        assert len(which[chosen(view, 3, update=update).indices].unique()) == 3

    def test_fewer_candidates_than_clusters(self, update: bool) -> None:
        view = view_of(Features(), torch.randn(4, 3, generator=generator(0, "points")))
        assert sorted(chosen(view, 3, clusters=50, update=update).indices.tolist()) == [1, 2, 3]

    def test_one_cluster_is_equation_4_of_the_whole_pool(self, update: bool) -> None:
        view, which = planted([12, 12, 12, 12], [1, 2, 1, 0])
        wanted = by_loop(view, torch.zeros_like(which), [9], update)
        selection = chosen(view, 9, clusters=1, update=update)
        assert selection.indices.tolist() == list(wanted)

    def test_equal_candidates_are_chosen_by_chance(self, update: bool) -> None:
        view = view_of(Features(), torch.zeros(9, 3))
        for clusters in ("silhouette", 3):
            strategy = ClusterMaxMin(clusters=clusters, update=update)
            drawn = [strategy.select(view, 4, generator=generator(s, "query")).indices for s in range(20)]
            assert torch.cat(drawn).unique().tolist() == list(range(1, 9))

    def test_without_labels_distances_are_infinite(self, update: bool) -> None:
        view, which = planted([5, 5, 5, 5], [0, 0, 0, 0])
        selection = chosen(view, 4, update=update)
        assert selection.scores is not None
        assert len(which[selection.indices].unique()) == 4
        assert torch.isinf(selection.scores[0])
        assert update or bool(selection.scores.isinf().all())

    def test_infinite_features_are_refused_labelled_ones_too(self, update: bool) -> None:
        for index in (0, 3):
            x = torch.zeros(6, 3)
            x[index, 1] = torch.inf
            with pytest.raises(RunStopped, match=rf"^ClusterMaxMin: the score of index {index} is NaN"):
                chosen(view_of(Features(), x), 2, update=update)


def test_what_is_shown_is_how_many_of_each_cluster() -> None:
    lines: list[str] = []
    view, _ = planted([40, 4, 21, 30], [3, 2, 1, 2])
    chosen(replace(view, report=lines.append, budget_left=10**15), 14)
    assert len(lines) == 1
    assert lines[0].startswith("cluster max-min: ")
    assert sorted(lines[0].split()[2:6]) == ["2", "4", "4", "4"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"method": "dbscan"}, "method: must be one of kmeans, kmedoids, agglomerative, got 'dbscan'"),
        ({"clusters": 0}, "clusters: must be at least 1, got 0"),
        ({"clusters": "knee"}, "clusters: must be a number or one of elbow, silhouette, gap, got 'knee'"),
        ({"most": 0}, "most: must be at least 1, got 0"),
        ({"sample": 1}, "sample: must be at least 2, got 1"),
    ],
)
def test_senseless_values_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=rf"^{named}$"):
        ClusterMaxMin(**arguments)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_records_the_number_of_clusters(tmp_path: Path) -> None:
    overlay = ROOT / "configs" / "query" / "cluster_max_min.yaml"
    few = ("--query.init_args.budget=4", "--query.init_args.query_size=2", "--query.init_args.max_epochs=2")
    fixed = "--query.init_args.strategy.init_args.clusters=3"
    run = fit(tmp_path / "run", "--config", str(overlay), *few, fixed, "--poison=null")
    assert run.returncode == 0, run.stderr
    rounds = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    assert [record.get("clusters") for record in rounds] == [None, 3, 3]
