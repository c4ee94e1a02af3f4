"""What every strategy must hold, whichever it is: a new one is tested by being exported."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from aal import strategies
from aal.errors import RunStopped
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from aal.seeds import generator
from aal.sharding import Shard
from aal.strategies import BALD, CEAL, DFAL, EGL, ClusterMaxMin, CoreSet, FeatureNorm, Random, Screened, Strategy, View

STRATEGIES = [
    strategy
    for strategy in vars(strategies).values()
    if inspect.isclass(strategy) and issubclass(strategy, Strategy) and strategy is not Strategy
]
FEW = 12  # steps of DeepFool, which takes all it may where one class is far ahead
VARIANTS = [
    CEAL(strategy=DFAL(steps=FEW)),
    ClusterMaxMin(method="kmedoids", clusters="elbow", sample=12),
    ClusterMaxMin(method="agglomerative", clusters=4, sample=12, update=True),
    CoreSet(optimise=False, space="features"),
    DFAL(diversity=3, steps=FEW),
    DFAL(norm="linf", slack=None, steps=FEW),
    DFAL(rank="confidence", steps=FEW),
    EGL(scope="network"),
    Screened(DFAL(steps=FEW), [FeatureNorm()]),
]


class Given(Backbone):
    """A backbone whose features are the samples."""

    feature_size = 6

    def forward(self, x: Tensor) -> Tensor:
        return x


def view(x: Tensor, candidates: Tensor, labelled: Tensor, ranks: int = 1, certain: float = 0.0) -> View:
    """Return a view of samples; ``certain`` is added to the first class's logit."""
    model = TransferClassifier(Given(), DenseHead(hidden=8, dropout=0.5), num_classes=3)
    model.renew(generator(0, "weights"))
    model.eval()
    with torch.no_grad():
        model.head[-1].bias[0] += certain

    within = []

    def mapped(function: Any, indices: Tensor) -> Tensor:  # noqa: ANN401
        assert not within, "ranks that are at different batches would wait for each other"
        with torch.no_grad():
            within.append(True)
            parts = [Shard(rank, ranks, lambda part: part).map(function, indices, 4) for rank in range(ranks)]
            within.clear()
            if isinstance(parts[0], Tensor):
                return sum(parts[1:], parts[0])  # as the sum over processes would
            return {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in parts[0]}

    inputs, bounds = (lambda i: x[i]), (-10.0, 10.0)
    budget, labels = len(candidates), labelled % 3
    return View(model, candidates, labelled, inputs, inputs, mapped, {}, budget, bounds, labelled_labels=labels)


def samples(n: int = 30) -> Tensor:
    return torch.randn(n, 6, generator=generator(0, "samples"))


@pytest.mark.parametrize("strategy", [*(strategy() for strategy in STRATEGIES), *VARIANTS], ids=str)
class TestEveryStrategy:
    @pytest.mark.parametrize("n", [7, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 18))])
    @pytest.mark.parametrize("case", ["any", "duplicates", "equal", "one class"])
    def test_selects_exactly_n_distinct_candidates(self, strategy: Strategy, n: int, case: str) -> None:
        x = {"duplicates": samples(2).repeat(15, 1), "equal": torch.zeros(30, 6)}.get(case, samples())
        certain = 5.0 if case == "one class" else 0.0
        candidates, labelled = torch.arange(2, 20), torch.tensor([0, 1, 20, 29])
        seen = view(x, candidates, labelled, certain=certain)
        weights = {name: tensor.clone() for name, tensor in seen.module.state_dict().items()}
        selection = strategy.select(seen, n, generator=generator(0, "query"))
        assert len(set(selection.indices.tolist())) == len(selection.indices) == n
        assert set(selection.indices.tolist()) <= set(candidates.tolist())
        assert selection.scores is None or selection.scores.shape == (n,)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in seen.module.state_dict().items())
        assert not any(module.training for module in seen.module.modules())
        again = strategy.select(view(x, candidates, labelled, certain=certain), n, generator=generator(0, "query"))
        assert torch.equal(selection.indices, again.indices)

    @pytest.mark.slow
    def test_equal_candidates_are_chosen_by_chance_not_by_index(self, strategy: Strategy) -> None:
        seen = view(torch.zeros(30, 6), torch.arange(2, 20), torch.tensor([0, 1]))
        if isinstance(strategy, BALD) or getattr(strategy, "strategy", None) == BALD():
            return  # units are dropped anew for each candidate: none is equal
        drawn = [strategy.select(seen, 3, generator=generator(s, "query")).indices for s in range(24)]
        counts = torch.cat(drawn).bincount(minlength=20)
        assert (counts > 0).sum() >= 16, "of 18; on average all but 0.2 of them"
        assert counts[2:8].sum() < 40, "of 72; on average 24"

    @pytest.mark.parametrize("equal", [False, True])
    def test_two_ranks_select_what_one_selects(self, strategy: Strategy, equal: bool) -> None:
        x, candidates, labelled = samples(), torch.arange(2, 28), torch.tensor([0, 1, 29])
        x = torch.zeros_like(x) if equal else x
        alone, shared = (
            strategy.select(view(x, candidates, labelled, ranks), 5, generator=generator(0, "query"))
            for ranks in (1, 2)
        )
        assert torch.equal(alone.indices, shared.indices)
        assert (alone.scores is None) == (shared.scores is None)
        if alone.scores is not None and shared.scores is not None:
            assert torch.equal(alone.scores, shared.scores)

    def test_nan_is_never_ranked(self, strategy: Strategy) -> None:
        x = samples()
        x[11] = float("nan")
        seen = view(x, torch.arange(2, 20), torch.tensor([0]))
        if isinstance(strategy, Random):  # looks at nothing
            strategy.select(seen, 3, generator=generator(0, "query"))
            return
        chooses = strategy.strategy if isinstance(strategy, Screened) else strategy
        name = type(chooses).__name__
        with pytest.raises(RunStopped, match=rf"{name}: the score of index 11 is NaN"):
            strategy.select(seen, 3, generator=generator(0, "query"))


def test_entropy_is_that_of_the_definition() -> None:
    seen = view(samples(), torch.arange(3, 30), torch.tensor([0, 1, 2]))
    selection = strategies.Entropy().select(seen, 5, generator=generator(0, "query"))
    entropies = torch.distributions.Categorical(probs=seen.probabilities.double()).entropy()
    order = entropies.argsort(descending=True)[:5]
    assert torch.equal(selection.indices, seen.candidates[order])
    assert selection.scores is not None
    torch.testing.assert_close(selection.scores, entropies[order])


def test_random_draws_differ_and_are_uniform() -> None:
    seen = view(samples(), torch.arange(10, 20), torch.tensor([0]))
    draws = [Random().select(seen, 3, generator=generator(0, "query", r)).indices for r in range(2000)]
    counts = torch.cat(draws).bincount(minlength=30)
    assert counts[:10].sum() == counts[20:].sum() == 0
    assert (counts[10:20] - 600).abs().max() < 100  # about five standard deviations
