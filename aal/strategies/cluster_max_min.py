"""Cluster max-min: in every cluster of the pool, the candidates that are farthest from all labelled samples."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from aal.checks import FROM_1, FROM_2, at_least, one_of, refuse
from aal.distances import nearest
from aal.strategies.base import Selection, Strategy, View, points_in
from aal.strategies.clusters import Clusters, Criterion, cluster
from aal.strategies.groupings import Method, nearest_center
from aal.strategies.k_center import k_center


@dataclass(frozen=True)
class ClusterMaxMin(Strategy):
    """Query from each cluster c of the candidates the N_c whose nearest labelled sample is farthest away.

    Distances are Euclidean in feature space, and are ranked once; they are the scores. Among equal ones
    chance decides, and so it does without a labelled sample, where all are infinite.

    The paper has N_c depend on last round's average perturbation, the model's accuracy on the cluster and the budget,
    but does not say how. Our rule, with labelled samples counted to the cluster of the nearest center::

        share_c = (1 - s) / K + s w_c / sum of w    over the K clusters that have candidates
        w_c = e_c p / p_c
        e_c = (wrong_c + 1) / (labelled_c + 2)      error of the model on the cluster's labelled samples
        p   = mean of all last minimal perturbations
        p_c = (sum of those in the cluster + p) / (their number + 1)
        s   = labelled / (labelled + budget left)

    A cluster where the model errs, or where small perturbations suffice, gets more. At first, while that rests on few
    labels, clusters share evenly; once the budget is all but spent, by weight. ``p / p_c`` is 1 where nothing was
    crafted. N_c is ``n share_c`` by largest remainder, equal remainders going to the larger cluster. What is more than
    a cluster has goes to the others by their shares. The round's record has ``clusters``, those with candidates.

    Source: paper *robust*, section III.C, Equation 4.

    Args:
        method: ``kmeans``; ``kmedoids`` (PAM) or ``agglomerative`` (Ward's criterion), both on a sample of the
            candidates, the others going to the nearest medoid or mean.
        clusters: How many clusters, or how their number is found on the sample: ``elbow``, ``silhouette`` or ``gap``.
        most: Most clusters that are found.
        sample: How many candidates to draw for the sample; its time and memory grow with the square.
        update: Whether each pick counts as labelled for the next ones, within its cluster and in those that come
            after it, the largest first (ours).

    Raises:
        UserError: A number below 1, or a sample below 2; an unknown method or criterion.
    """

    method: Literal["kmeans", "kmedoids", "agglomerative"] = "kmeans"
    clusters: int | Literal["elbow", "silhouette", "gap"] = "silhouette"
    most: int = 20
    sample: int = 1000
    update: bool = False
    columns = ("clusters",)
    ranges = Strategy.ranges | {"most": FROM_1, "sample": FROM_2, "method": partial(one_of, get_args(Method))}

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if isinstance(self.clusters, int):
            at_least(1, {"clusters": self.clusters})
        else:
            refuse(
                self.clusters not in get_args(Criterion),
                f"clusters: must be a number or one of {', '.join(get_args(Criterion))}, got {self.clusters!r}",
            )

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates, each cluster's share of them."""
        points, labelled = points_in(self, view, "features")
        shuffled = torch.randperm(len(points), generator=generator)  # below, equal ones go to the lower place
        points = points[shuffled]
        found = cluster(
            points,
            self.method,
            self.clusters,
            most=self.most,
            sample=self.sample,
            generator=generator,
            agree=view.agree,
        )
        sizes = found.members.bincount(minlength=len(found.centers))
        numbers = apportion(shares(view, found, nearest_center(labelled, found.centers)), sizes, n)
        there = int((sizes > 0).sum())
        view.report(f"cluster max-min: {' '.join(str(number) for number in numbers.tolist())} of {there} clusters")
        picks, distances = (one_by_one if self.update else ranked)(points, labelled, found.members, numbers)
        return Selection(view.candidates[shuffled[picks]], distances, figures={"clusters": there})


def shares(view: View, found: Clusters, labelled: Tensor) -> Tensor:
    """Return each cluster's share of a query, by the rule of ``ClusterMaxMin``.

    Args:
        view: What the learner knows about the pool.
        found: The clusters of the candidates.
        labelled: The cluster of each labelled sample ``(L,)``.

    Returns:
        Shares ``(K,)``, float64, that sum to 1; 0 for a cluster without candidates.
    """
    k = len(found.centers)
    counts, wrong = labelled.bincount(minlength=k), torch.zeros(k, dtype=torch.float64)
    if len(labelled):
        wrong.index_add_(0, labelled, (view.labelled_logits.argmax(1).cpu() != view.labelled_labels).double())
    kept = torch.isin(view.perturbed, view.labelled)  # the label of a source may have been discarded since
    sources, sizes = torch.searchsorted(view.labelled, view.perturbed[kept]), view.perturbations[kept].double()
    mean = sizes.mean() if len(sizes) else sizes.new_ones(())
    sums = torch.zeros(k, dtype=torch.float64).index_add_(0, labelled[sources], sizes)
    perturbations = (sums + mean) / (labelled[sources].bincount(minlength=k) + 1)
    there = (found.members.bincount(minlength=k) > 0).double()
    weights = (wrong + 1) / (counts + 2) * (mean / perturbations if mean > 0 else 1.0) * there
    spent = len(labelled) / max(1, len(labelled) + view.budget_left)
    return (1 - spent) * there / there.sum() + spent * weights / weights.sum()


def apportion(shares: Tensor, most: Tensor, n: int) -> Tensor:
    """Deal out a number by shares, by largest remainder, and what is more than there is room for to the others.

    Args:
        shares: Shares ``(K,)``, at least 0, above where there is room.
        most: Room ``(K,)``, int64, ``n`` or more in all.
        n: What to deal out.

    Returns:
        Whole numbers ``(K,)``, int64, that sum to ``n``; equal remainders go to where there is more room.
    """
    dealt, room = torch.zeros_like(most), most > 0
    while room.any():
        left = n - int(dealt.sum())
        quotas = torch.where(room, shares, 0.0) / shares[room].sum() * left
        filled = room & (quotas >= most)
        if not filled.any():
            whole, order = quotas.floor().long(), most.argsort(descending=True, stable=True)
            order = order[(quotas - whole)[order].argsort(descending=True, stable=True)]
            whole[order[: left - int(whole.sum())]] += 1
            return dealt + whole
        dealt, room = torch.where(filled, most, dealt), room & ~filled
    return dealt


def ranked(points: Tensor, labelled: Tensor, members: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return each cluster's farthest points ``(n,)``, the farthest of all first, and their distances.

    Args:
        points: Points ``(U, D)``.
        labelled: The points to be far from ``(L, D)``.
        members: The cluster of each point ``(U,)``.
        numbers: How many of each cluster ``(K,)``.
    """
    distances = nearest(points, labelled)
    order = distances.argsort(descending=True, stable=True)
    picks = torch.cat([order[members[order] == c][:k] for c, k in enumerate(numbers.tolist())]).sort().values
    picks = picks[distances[picks].argsort(descending=True, stable=True)]
    return picks, distances[picks]


def one_by_one(points: Tensor, labelled: Tensor, members: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return likewise, in the order of choice, far from the picks before too; the largest cluster first."""
    picks, distances = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64)
    order = members.bincount(minlength=len(numbers)).argsort(descending=True, stable=True)
    for c in order[numbers[order] > 0].tolist():
        places = (members == c).nonzero().flatten()
        chosen = k_center(points[places], torch.cat([labelled, points[picks]]), int(numbers[c]))
        picks, distances = torch.cat([picks, places[chosen.picks]]), torch.cat([distances, chosen.distances])
    return picks, distances
