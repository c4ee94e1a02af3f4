"""CEAL: which candidates are pseudo-labelled, with what, and that they are never the ones queried."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aal.errors import UserError
from aal.seeds import generator
from aal.strategies import CEAL, DFAL, Entropy, Selection, View
from tests.strategies.test_dfal import affine, points


def select(strategy: CEAL, view: View, n: int = 5) -> Selection:
    return strategy.select(view, n, generator=generator(0, "query"))


def entropies(view: View) -> Tensor:
    return torch.distributions.Categorical(logits=view.logits.double()).entropy()


def test_pseudo_labels_are_the_predictions_below_the_threshold() -> None:
    view = affine(points(100))
    selection = select(CEAL(threshold=0.1), view)
    sure = entropies(view) < 0.1
    assert 10 < sure.sum() < 90
    assert selection.pseudo is not None
    assert torch.equal(selection.pseudo.indices, view.candidates[sure])
    assert torch.equal(selection.pseudo.labels, view.logits[sure].argmax(1))
    assert torch.equal(selection.indices, Entropy().select(view, 5, generator=generator(0, "query")).indices)


def test_what_is_queried_gets_no_pseudo_label() -> None:
    view = affine(points(30))
    selection = select(CEAL(threshold=100.0), view, 9)
    assert selection.pseudo is not None
    assert set(selection.pseudo.indices.tolist()) == set(range(1, 30)) - set(selection.indices.tolist())


def test_at_most_so_many_the_surest_are_pseudo_labelled() -> None:
    view = affine(points(100))
    bounded = select(CEAL(threshold=0.1, most=7), view).pseudo
    assert bounded is not None
    surest = entropies(view).argsort()[:7]
    assert bounded.indices.tolist() == sorted(view.candidates[surest].tolist())
    assert torch.equal(bounded.labels, view.logits[bounded.indices - 1].argmax(1))


def test_the_threshold_falls_by_round() -> None:
    view = affine(points(100))
    later = replace(view, record={"round": 9})
    selection = select(CEAL(threshold=0.1, decay=0.01), later)
    assert selection.pseudo is not None
    assert torch.equal(selection.pseudo.indices, view.candidates[entropies(view) < 0.1 - 9 * 0.01])
    nothing = select(CEAL(threshold=0.1, decay=0.02), later).pseudo
    assert nothing is not None
    assert len(nothing.indices) == len(nothing.labels) == 0


def test_any_strategy_may_choose_the_queries() -> None:
    view = affine(points(60))
    both = select(CEAL(strategy=DFAL(), threshold=0.1), view)
    alone = DFAL().select(view, 5, generator=generator(0, "query"))
    assert torch.equal(both.indices, alone.indices)
    assert both.crafted is not None
    assert alone.crafted is not None
    assert torch.equal(both.crafted.x, alone.crafted.x)
    assert both.pseudo is not None
    assert len(both.pseudo.indices)


@pytest.mark.parametrize(
    ("arguments", "key"), [({"threshold": 0.0}, "threshold"), ({"decay": -0.1}, "decay"), ({"most": 0}, "most")]
)
def test_bad_values_are_named(arguments: dict[str, float], key: str) -> None:
    with pytest.raises(UserError, match=key):
        CEAL(**arguments)  # type: ignore[arg-type]
