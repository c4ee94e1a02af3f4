"""Screens in front of strategies: what they drop is never queried."""

import re
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from aal.errors import UserError
from aal.seeds import generator
from aal.strategies import BADGE, CEAL, Entropy, FeatureNorm, Screen, Screened, Selection, Strategy, Subset, View
from tests.strategies.test_dfal import affine, points


def select(strategy: Strategy, view: View, n: int) -> Selection:
    return strategy.select(view, n, generator=generator(0, "query"))


@dataclass(frozen=True)
class Even(Screen):
    """Keeps even indices."""

    def keep(self, view: View, *, generator: torch.Generator) -> Tensor:
        return view.candidates % 2 == 0


def test_a_strategy_chooses_among_what_is_left() -> None:
    view = affine(points(60))
    chosen = select(Screened(Entropy(), [Even()]), view, 10).indices
    everything = select(Entropy(), view, 59).indices
    assert chosen.tolist() == [i for i in everything.tolist() if i % 2 == 0][:10]


def test_screens_follow_each_other() -> None:
    x = points(60)
    chosen = select(Screened(Entropy(), [Even(), FeatureNorm(0.5)]), affine(x), 14).indices
    even = torch.arange(2, 60, 2)
    kept = even[x[even].norm(dim=1).argsort()[len(even) // 2 :]]
    assert set(chosen.tolist()) <= set(kept.tolist())
    assert len(kept) == 15


def test_samples_at_the_origin_are_dropped() -> None:
    x = torch.cat([points(50) + 3, 1e-3 * points(5)])  # the last five collide with the zero vector, on the boundary
    assert set(range(50, 55)) <= set(select(Entropy(), affine(x), 8).indices.tolist())
    assert max(select(Screened(Entropy(), [FeatureNorm(0.1)]), affine(x), 8).indices.tolist()) < 50


def test_a_random_subset_differs_by_generator() -> None:
    view = affine(points(60))
    kept = [Subset(20).keep(view, generator=generator(r, "query")) for r in range(3)]
    assert [int(mask.sum()) for mask in kept] == [20] * 3
    assert not torch.equal(kept[0], kept[1])


def test_a_screen_that_leaves_too_few_is_not_heeded() -> None:
    view = affine(points(60))
    chosen = select(Screened(Entropy(), [Even(), Subset(3)]), view, 10).indices
    assert torch.equal(chosen, select(Screened(Entropy(), [Even()]), view, 10).indices)


def test_screened_strategies_compose_with_pseudo_labels() -> None:
    selection = select(Screened(CEAL(threshold=0.1), [Even()]), affine(points(60)), 5)
    assert selection.pseudo is not None
    assert len(selection.pseudo.indices)
    assert (selection.pseudo.indices % 2 == 0).all(), "what was dropped is not trained on either"


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Subset(0), "size: must be at least 1, got 0"),
        (lambda: FeatureNorm(1.0), "share: must be in [0, 1), got 1.0"),
        (lambda: FeatureNorm(-0.1), "share: must be in [0, 1), got -0.1"),
        (lambda: Screened(BADGE(subset=0)), "subset: must be at least 1, got 0"),
    ],
)
def test_bad_values_are_named(make: type[Screen], named: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(named)}$"):
        make()
