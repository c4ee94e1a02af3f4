"""What every selector of labels to flip must hold: a new one is tested by being exported."""

import inspect

import pytest
import torch

from aal import flips
from aal.errors import RunStopped
from aal.flips import Bilevel, Colouring, FlipSelector, RandomFlips
from aal.flips.base import highest_flips
from aal.networks import MLP
from aal.seeds import generator, key
from aal.strategies import Selection, fault_of
from tests.flips.views import view_of

SELECTORS = [
    selector
    for selector in vars(flips).values()
    if inspect.isclass(selector) and issubclass(selector, FlipSelector) and selector is not FlipSelector
]
# Of those that train networks of their own, less of it.
SHORT = {Bilevel: Bilevel(outer_steps=3, inner_steps=3, subset=10), Colouring: Colouring(max_epochs=5, steps=2)}
VARIANTS = [variant for kind in SELECTORS for variant in SHORT.get(kind, kind()).variants()]

every_selector = pytest.mark.parametrize(
    "selector", VARIANTS, ids=lambda selector: f"{type(selector).__name__}-{selector.position}"
)


def planted(ranks: int = 1) -> flips.FlipView:
    """Return a view of small images of three classes in [0, 1]."""
    x = torch.rand(72, 1, 4, 4, generator=generator(1, "x"))
    labels = torch.arange(72) % 3
    x[labels == 1, :, :2] *= 0.3
    x[labels == 2, :, 2:] *= 0.3
    return view_of(x, labels, network=MLP, num_classes=3, ranks=ranks, bounds=(0.0, 1.0))


@pytest.fixture(autouse=True)
def _weights() -> None:
    torch.manual_seed(0)  # of the views' classifiers


@pytest.mark.slow
@every_selector
@pytest.mark.parametrize("label", [None, 1])
def test_a_selection_has_exactly_the_budget_of_distinct_candidates(selector: FlipSelector, label: int | None) -> None:
    view = planted()
    view = view if label is None else view.only(view.labels == label)
    for n in (1, 2):
        flips_ = selector.select(view, n, generator=generator(0, "flips"))
        assert not fault_of(flips_, view.candidates, n, 2)
        assert label is None or (view.labels[torch.isin(view.candidates, flips_.indices)] == label).all()


@pytest.mark.slow
@every_selector
def test_a_selection_follows_its_generator_and_no_other_chance(selector: FlipSelector) -> None:
    found = []
    for default, ranks in ((1, 1), (2, 1), (3, 2)):
        torch.manual_seed(0)
        view = planted(ranks)
        torch.manual_seed(default)
        before = torch.get_rng_state()
        found.append(selector.select(view, 2, generator=generator(0, "flips")).indices.tolist())
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@every_selector
def test_the_classifier_is_left_as_it_was(selector: FlipSelector) -> None:
    view = planted()
    before = {name: tensor.clone() for name, tensor in view.module.state_dict().items()}
    selector.select(view, 2, generator=generator(0, "flips"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in view.module.state_dict().items())
    assert not view.module.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in view.module.parameters())


@every_selector
def test_every_selector_says_what_its_arguments_are(selector: FlipSelector) -> None:
    text = inspect.getdoc(type(selector)) or ""
    for name in inspect.signature(type(selector)).parameters:
        assert f"{name}: " in text


@pytest.mark.parametrize(
    ("flips_", "fault"),
    [
        (Selection(torch.tensor([0])), "selected 1 samples, asked for 2"),
        (Selection(torch.tensor([0, 0])), "selected a sample twice"),
        (Selection(torch.tensor([0, 5])), "or one that is no candidate"),
        (Selection(torch.tensor([0, 10]), torch.tensor([0.0, torch.nan])), "score is NaN"),
        (Selection(torch.tensor([0, 10]), torch.tensor([0.0])), "not as many scores"),
        (Selection(torch.tensor([0, 10]), figures={"a": torch.nan}), "not finite: a"),
        (Selection(torch.tensor([10, 0]), torch.tensor([0.0, 1.0]), figures={"a": 1.0}), ""),
    ],
)
def test_a_selection_that_breaks_the_contract_is_told(flips_: Selection, fault: str) -> None:
    found = fault_of(flips_, planted().candidates, 2, 2)
    assert (fault in found) if fault else not found


def test_among_equal_scores_chance_decides_and_nan_is_refused() -> None:
    view = planted()
    scores = torch.zeros(len(view.candidates))
    scores[7] = 1
    drawn = [highest_flips(RandomFlips(), view, scores, 3, generator(0, "ties", k)).indices.tolist() for k in range(40)]
    assert all(chosen[0] == 70 for chosen in drawn)
    assert len({index for chosen in drawn for index in chosen[1:]}) > 30  # of 71, in 80 draws
    scores[5] = torch.nan
    with pytest.raises(RunStopped, match="index 50 is NaN"):
        highest_flips(RandomFlips(), view, scores, 3, generator(0, "ties", key(0, "x")))
