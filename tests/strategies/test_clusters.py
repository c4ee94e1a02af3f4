"""Clusters against scikit-learn, exhaustive search and plain loops; planted numbers of clusters."""

from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from sklearn.cluster import AgglomerativeClustering, KMeans
from torch import Tensor

from aal.seeds import generator
from aal.strategies.clusters import Clusters, cluster, elbow, gap
from aal.strategies.groupings import build, distances_between, groupings, lloyd, means, nearest_center, swap

METHODS = ("kmeans", "kmedoids", "agglomerative")


def planted(clusters: int, each: int, size: int = 5, seed: int = 0, apart: float = 30.0) -> tuple[Tensor, Tensor]:
    """Return points around centers that lie ``apart`` along the axes, in no order, and the cluster of each."""
    g = generator(seed, "planted")
    which = torch.arange(clusters).repeat(each)[torch.randperm(clusters * each, generator=g)]
    centers = apart * torch.cat([torch.eye(size), -torch.eye(size)])[:clusters] + 100
    return centers[which] + torch.randn(len(which), size, generator=g), which


def clustered(points: Tensor, method: str, number: int | str, sample: int = 1000, most: int = 9) -> Clusters:
    g = generator(0, "query")
    return cluster(points, method, number, most=most, sample=sample, generator=g, agree=lambda x: x)  # type: ignore[arg-type]


def telling(results: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what gives one result after the other, whatever a rank has found."""
    return lambda result: results.pop(0)


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two groupings are the same but for the numbers of their clusters."""
    return torch.equal(a[:, None] == a, b[:, None] == b)


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    @pytest.mark.parametrize("criterion", ["elbow", "silhouette", "gap"])
    @pytest.mark.parametrize("clusters", [2, 4, 7])
    def test_planted_clusters_are_found_and_counted(self, method: str, criterion: str, clusters: int) -> None:
        points, which = planted(clusters, 12, seed=clusters)
        assert same(clustered(points, method, criterion).members, which)

    def test_a_sample_is_enough(self, method: str) -> None:
        points, which = planted(5, 60)
        found = clustered(points, method, "silhouette", sample=40)
        assert same(found.members, which)
        assert torch.equal(nearest_center(points, found.centers), found.members)

    def test_points_beyond_the_sample_go_to_the_nearest_center(self, method: str) -> None:
        points = torch.randn(200, 3, generator=generator(0, "points"))
        found = clustered(points, method, 6, sample=50)
        by_loop = torch.tensor([int((point - found.centers).norm(dim=1).argmin()) for point in points])
        others = found.members != by_loop
        assert len(found.centers) == 6
        assert not others.any() if method == "kmeans" else int(others.sum()) <= 50
        drawn = torch.randperm(200, generator=generator(0, "query"))[:50]
        assert set(others.nonzero().flatten().tolist()) <= set(drawn.tolist())

    def test_a_single_blob_is_one_cluster_to_the_gap_statistic(self, method: str) -> None:
        points = torch.randn(80, 2, generator=generator(3, "points"))
        assert len(clustered(points, method, "gap").centers) == 1

    @pytest.mark.parametrize("number", ["elbow", "silhouette", "gap", 1, 3])
    def test_equal_points_are_one_cluster(self, method: str, number: int | str) -> None:
        for size in (1, 2, 10):
            found = clustered(torch.full((size, 3), 0.1), method, number)
            assert len(found.centers) == 1
            assert found.members.tolist() == [0] * size

    def test_two_places_are_two_clusters_however_many_are_asked_for(self, method: str) -> None:
        points = torch.tensor([[0.1, 7.3], [5.7, 0.2]]).repeat(6, 1)
        for number in ("silhouette", "gap", 2, 5):
            assert same(clustered(points, method, number).members, torch.tensor([0, 1] * 6))

    def test_all_ranks_go_on_with_what_the_first_one_found(self, method: str) -> None:
        """The other rank would find the same; it is told clusters, and centers of k-means, in another order."""
        points, _ = planted(4, 15, apart=2.0)
        told: list[Tensor] = []

        def agreed(result: Tensor) -> Tensor:
            told.append(result)
            return result

        def ours(agree: Callable[[Tensor], Tensor]) -> Clusters:
            g = generator(0, "query")
            return cluster(points, method, 4, most=9, sample=20, generator=g, agree=agree)  # type: ignore[arg-type]

        alone = ours(agreed)
        assert len(told) == (2 if method == "kmeans" else 1)
        for k in range(len(told)):
            other = ours(telling([*told[:k], told[k].flip(0), *told[k + 1 :]]))
            assert torch.equal(other.members, alone.members) == (method == "kmeans" and k == 0)


def test_tree_is_that_of_scikit_learn() -> None:
    for seed in range(3):
        points = torch.randn(60, 4, generator=generator(seed, "points"))
        for k in (2, 5, 11):
            peer = AgglomerativeClustering(n_clusters=k).fit_predict(points.double().numpy())
            assert same(clustered(points, "agglomerative", k).members, torch.from_numpy(peer))


def test_k_means_is_that_of_scikit_learn_from_the_same_start() -> None:
    points = 1000 + torch.randn(400, 4, generator=generator(0, "points"))
    start = points[:7]
    peer = KMeans(7, init=start.numpy(), n_init=1, tol=0).fit(points.double().numpy())
    centers = lloyd(points, start)
    dispersion = (points.double() - centers[nearest_center(points, centers)]).square().sum()
    assert float(dispersion) == pytest.approx(peer.inertia_, rel=5e-3)
    assert float((points.double() - start.double()[nearest_center(points, start)]).square().sum()) > 1.1 * peer.inertia_


def test_k_means_from_a_tree_is_no_worse_than_from_random_starts() -> None:
    """In 200 dimensions, of which noise fills most, random starts miss planted clusters."""
    g = generator(0, "points")
    which = torch.arange(8).repeat(25)
    points = 0.6 * torch.randn(8, 200, generator=g)[which] + torch.randn(200, 200, generator=g)
    found = clustered(points, "kmeans", 8)
    peer = KMeans(8, n_init=5, random_state=0).fit(points.numpy())
    assert same(found.members, which)
    assert float((points - found.centers[found.members]).square().sum()) <= peer.inertia_ * (1 + 1e-5)


def test_k_means_on_distances_is_k_means_on_points() -> None:
    points, _ = planted(6, 20, apart=3.0)
    points = points.double()
    tree, found = (groupings(distances_between(points), method, [6])[0] for method in ("agglomerative", "kmeans"))  # type: ignore[arg-type]
    assert not same(tree, found)
    spreads = [float((points - means(points, members)[members]).square().sum()) for members in (tree, found)]
    reached = lloyd(points, means(points, tree))
    assert spreads[1] < spreads[0]
    assert spreads[1] == pytest.approx(
        float((points - reached[nearest_center(points, reached)]).square().sum()), rel=2e-3
    )


def test_no_swap_of_medoids_is_better_and_most_are_the_best_of_all() -> None:
    best = 0
    for seed in range(12):
        points = torch.randn(11, 2, generator=generator(seed, "points")).double()
        distances, k = distances_between(points), 1 + seed % 4
        start = build(distances, k)
        medoids = swap(distances, start)
        cost = {places: float(distances[:, list(places)].amin(1).sum()) for places in combinations(range(11), k)}
        found = tuple(sorted(medoids.tolist()))
        assert cost[found] <= cost[tuple(sorted(start.tolist()))]
        neighbours = [places for places in cost if len({*places} & {*found}) == k - 1]
        assert all(cost[found] <= cost[places] + 1e-12 for places in neighbours)
        best += cost[found] <= min(cost.values()) + 1e-12
    assert best >= 10


def test_swaps_mend_a_bad_start() -> None:
    distances = distances_between(torch.tensor([0.0, 1, 2, 50, 51, 52, 90, 91, 92])[:, None].double())
    assert sorted(swap(distances, torch.tensor([0, 1, 2])).tolist()) == [1, 4, 7]
    assert build(distances, 1).tolist() == [4]


def test_medoids_are_the_centers_of_k_medoids() -> None:
    points = torch.tensor([0.0, 1, 5, 50, 51, 58])[:, None]
    assert sorted(clustered(points, "kmedoids", 2).centers.flatten().tolist()) == [1, 51]
    assert sorted(clustered(points, "kmeans", 2).centers.flatten().tolist()) == [2, 53]


def test_distances_are_those_between_points_and_exactly_0_between_equal_ones() -> None:
    points = 1e4 + torch.randn(30, 7, generator=generator(0, "points")).double().repeat(2, 1)
    distances = distances_between(points)
    torch.testing.assert_close(distances, torch.stack([(points - point).norm(dim=1) for point in points]))
    assert torch.equal(distances, distances.T)
    assert not distances[torch.arange(60), torch.arange(60).roll(30)].any()


def test_equally_near_centers_go_to_the_lower() -> None:
    assert nearest_center(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [-1.0], [4.0]])).tolist() == [0, 2]


def test_elbow_is_farthest_below_the_line() -> None:
    assert elbow(torch.tensor([100.0, 40, 5, 3, 2])) == 2
    assert elbow(torch.tensor([100.0, 75, 50, 25, 0])) == 0, "a straight line has none"
    assert elbow(torch.tensor([100.0, 4])) == 0


def test_gap_statistic_takes_the_smallest_number_within_a_deviation_of_the_highest_gap() -> None:
    """Both references are 0.1 from their mean, so that a deviation is 0.1 sqrt(1 + 1/2) = 0.122."""
    expected = torch.tensor([5.0, 4.5, 4.2, 4.0])
    references = [(expected + shift).exp() for shift in (-0.1, 0.1)]
    for gaps, place in (([0.0, 0.5, 3.0, 3.12], 2), ([0.0, 0.5, 3.0, 3.13], 3), ([1.0, 0.9, 1.1, 1.0], 0)):
        assert gap((expected - torch.tensor(gaps)).exp(), references) == place
    assert gap(torch.tensor([9.0, 0.0, 0.0, 0.0]), references) == 1, "nothing is left to disperse"
