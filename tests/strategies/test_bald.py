"""BALD against its definition, and what it leaves as it was."""

import math
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from aal.callbacks import QueryRounds
from aal.errors import RunStopped, UserError
from aal.models import ConvClassifier, TransferClassifier
from aal.models.classifier import Classifier
from aal.networks import MLP, DenseHead, LeNet5
from aal.seeds import generator, key
from aal.sharding import Shard
from aal.strategies import BALD
from aal.strategies.bald import information_of
from tests.contracts.test_strategies import Given
from tests.strategies.views import view_of

X = torch.randn(20, 6, generator=generator(0, "samples"))


class Dropping(Given):
    """A backbone that drops units in training."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)  # type: ignore[no-any-return]


def learner(dropout: float = 0.5, **arguments: Any) -> TransferClassifier:
    model = TransferClassifier(Dropping(), DenseHead(hidden=8, dropout=dropout), num_classes=3, **arguments)
    model.renew(generator(0, "weights"))
    return model.eval()


def information(probabilities: Tensor) -> list[float]:
    """Take H(mean) - mean(H) of ``(B, k, C)`` term by term."""

    def entropy(p: list[float]) -> float:
        return -math.fsum(q * math.log(q) for q in p if q)

    return [entropy(p.mean(0).tolist()) - sum(map(entropy, p.tolist())) / len(p) for p in probabilities]


def test_scores_are_the_definition_on_seeded_passes() -> None:
    """Passes with the head's dropout as torch's default generator gives it after the seed of the batch."""
    model = learner()
    seed = int(torch.randint(2**62, (), generator=generator(0, "query")))
    drawn = []
    with torch.no_grad(), torch.random.fork_rng():
        model.head.train()
        for batch in torch.arange(1, 20).split(4):
            torch.manual_seed(key(seed, "dropout", int(batch[0])))
            passes = [model.head(X[batch]).double().softmax(-1) for _ in range(7)]
            drawn.append(torch.stack(passes, 1))
        model.eval()
    expected = torch.tensor(information(torch.cat(drawn)), dtype=torch.float64)
    assert expected.min() > 1e-4
    selection = BALD(draws=7).select(view_of(model, X), 5, generator=generator(0, "query"))
    best = expected.argsort(descending=True)[:5]
    assert torch.equal(selection.indices, best + 1)
    assert selection.scores is not None
    torch.testing.assert_close(selection.scores, expected[best])


def test_draws_that_agree_tell_nothing_and_sure_ones_that_disagree_everything() -> None:
    agreed = torch.rand(50, 1, 4, generator=generator(0, "p")).double().softmax(-1).expand(50, 10, 4)
    assert information_of(agreed).max() < 1e-15
    torch.testing.assert_close(
        information_of(torch.eye(4).double().expand(2, 4, 4)), torch.full((2,), math.log(4)).double()
    )


def test_draws_that_are_all_but_sure_are_told_apart() -> None:
    """With p of 1 less s or 3 s, s tiny: m ln m less the mean of p ln p, to first order s (1.5 ln 3 - 2 ln 2)."""
    for s in (1e-13, 1e-20, 1e-200):
        small = torch.tensor([s, 3 * s]).double()
        found = information_of(torch.stack([1 - small, small], dim=1)[None])
        torch.testing.assert_close(
            found, torch.tensor([s * (1.5 * math.log(3) - 2 * math.log(2))]).double(), rtol=3e-3, atol=0
        )


def test_two_ranks_draw_what_one_does() -> None:
    model = learner()
    whole = view_of(model, X).draws(3, generator(0, "query"), information_of)
    halves = [
        view_of(model, X, shard=Shard(rank, 2)).draws(3, generator(0, "query"), information_of) for rank in (0, 1)
    ]
    assert all(half.count_nonzero() < len(whole) for half in halves)
    assert torch.equal(sum(halves, torch.zeros(())), whole)


def test_modes_and_the_global_generator_stay() -> None:
    model = learner(freeze=False)
    model.head.train()
    before, modes = torch.get_rng_state(), [layer.training for layer in model.modules()]
    BALD().select(view_of(model, X), 2, generator=generator(0, "query"))
    assert torch.equal(torch.get_rng_state(), before)
    assert [layer.training for layer in model.modules()] == modes


def test_a_backbone_drops_units_only_once_it_is_trained() -> None:
    model = learner(dropout=0.0, unfreeze_at=1)
    frozen = view_of(model, X).draws(3, generator(0, "query"))
    assert frozen.var(1).max() == 0
    model.start_round(1)
    assert view_of(model, X).draws(3, generator(0, "query")).var(1).max() > 1e-3


def test_no_more_than_the_subset_is_looked_at_but_enough_for_the_query() -> None:
    model = learner()
    seen: list[int] = []
    view = view_of(model, X)
    for subset, n in ((6, 3), (6, 9), (None, 3)):
        asked: list[int] = []
        seeing = view_of(model, X)
        object.__setattr__(seeing, "inputs", lambda i, asked=asked: asked.extend(i.tolist()) or X[i])
        selection = BALD(subset=subset).select(seeing, n, generator=generator(0, "query"))
        assert len(selection.indices) == n
        seen.append(len(set(asked)))
    assert seen == [6, 9, len(view.candidates)]


def test_nan_is_refused_by_the_index_it_came_from() -> None:
    x = X.clone()
    x[7] = torch.nan
    with pytest.raises(RunStopped, match="BALD: the score of index 7 is NaN"):
        BALD(subset=None).select(view_of(learner(), x), 2, generator=generator(0, "query"))


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        (lambda: learner(dropout=0.0), "set the head's dropout above 0"),
        (lambda: learner(dropout=0.0, unfreeze_at=2), "set the head's dropout above 0"),
        (lambda: ConvClassifier(LeNet5, 10, (1, 28, 28)), "set the network's dropout above 0"),
    ],
)
def test_a_network_without_dropout_is_refused(model: Any, remedy: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError, match=f"^draws: BALD needs dropout, .*; {remedy}"):
        BALD().check(model())


@pytest.mark.parametrize(
    "model",
    [
        learner,
        lambda: learner(dropout=0.0, freeze=False),
        lambda: ConvClassifier(lambda shape, classes: MLP(shape, classes, dropout=0.1), 3, (6,)),
    ],
)
def test_a_network_with_dropout_in_every_round_is_taken(model: Any) -> None:  # noqa: ANN401
    taken: Classifier = model()
    BALD().check(taken)


def test_the_clock_refuses_a_network_without_dropout_before_any_training() -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(UserError, match=r"^draws: BALD needs dropout"):
        QueryRounds(BALD()).setup(trainer, learner(dropout=0.0), "fit")


@pytest.mark.parametrize(("argument", "value"), [("draws", 1), ("subset", 0)])
def test_values_that_make_no_sense_are_refused(argument: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^{argument}: must be at least"):
        BALD(**{argument: value})
