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
from aal.strategies import Random, Screened, Strategy, View

STRATEGIES = [
    strategy
    for strategy in vars(strategies).values()
    if inspect.isclass(strategy) and issubclass(strategy, Strategy) and strategy is not Strategy
]


class Given(Backbone):
    """A backbone whose features are the samples."""

    feature_size = 6

    def forward(self, x: Tensor) -> Tensor:
        return x


def view(x: Tensor, candidates: Tensor, labelled: Tensor) -> View:
    model = TransferClassifier(Given(), DenseHead(hidden=8, dropout=0.5), num_classes=3)
    model.renew(generator(0, "weights"))
    model.eval()

    def mapped(function: Any, indices: Tensor) -> Tensor:  # noqa: ANN401
        with torch.no_grad():
            return Shard().map(function, indices, 4)

    inputs, bounds = (lambda i: x[i]), (-10.0, 10.0)
    return View(model, candidates, labelled, inputs, inputs, mapped, {}, len(candidates), bounds)


def samples(n: int = 30) -> Tensor:
    return torch.randn(n, 6, generator=generator(0, "samples"))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
class TestEveryStrategy:
    @pytest.mark.parametrize("n", [1, 7, 18])
    @pytest.mark.parametrize("case", ["any", "duplicates", "equal"])
    def test_selects_exactly_n_distinct_candidates(self, strategy: type[Strategy], n: int, case: str) -> None:
        x = {"any": samples(), "duplicates": samples(2).repeat(15, 1), "equal": torch.zeros(30, 6)}[case]
        candidates, labelled = torch.arange(2, 20), torch.tensor([0, 1, 20, 29])
        seen = view(x, candidates, labelled)
        weights = {name: tensor.clone() for name, tensor in seen.module.state_dict().items()}
        selection = strategy().select(seen, n, generator=generator(0, "query"))
        assert len(set(selection.indices.tolist())) == len(selection.indices) == n
        assert set(selection.indices.tolist()) <= set(candidates.tolist())
        assert selection.scores is None or selection.scores.shape == (n,)
        assert all(torch.equal(tensor, weights[name]) for name, tensor in seen.module.state_dict().items())
        again = strategy().select(view(x, candidates, labelled), n, generator=generator(0, "query"))
        assert torch.equal(selection.indices, again.indices)

    def test_nan_is_never_ranked(self, strategy: type[Strategy]) -> None:
        x = samples()
        x[11] = float("nan")
        seen = view(x, torch.arange(2, 20), torch.tensor([0]))
        if strategy is Random:  # looks at nothing
            strategy().select(seen, 3, generator=generator(0, "query"))
            return
        name = "Entropy" if strategy is Screened else strategy.__name__  # the one that chooses
        with pytest.raises(RunStopped, match=rf"{name}: the score of index 11 is NaN"):
            strategy().select(seen, 3, generator=generator(0, "query"))


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
