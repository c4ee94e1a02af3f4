"""Query rounds: train, score the pool, ask the oracle for labels, repeat."""

import pytorch_lightning as pl
import torch

from aal.checks import at_least
from aal.errors import RunStopped, UserError
from aal.models.classifier import Classifier
from aal.oracles import Oracle, Perfect
from aal.seeds import generator
from aal.strategies import Strategy, View
from callbacks.round_callback import Record, data_of, round_callbacks
from callbacks.rounds import Rounds


class QueryRounds(Rounds):
    """Active learning: each round queries the labels that a strategy chooses (paper *collision*, section IV.A).

    The run ends when the budget is spent or the pool is empty.

    Args:
        strategy: Chooses what to query.
        oracle: Answers; by default it is always right.
        initial: Labels at the start, drawn at random from the natural samples; they are not of the budget.
        query_size: Labels a query.
        budget: Labels to query in all; ``null`` for the whole pool.
        max_epochs: Most epochs a round.
        patience: Epochs without a lower loss after which a round has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.
        warm_start: Whether a round goes on from the weights of the last instead of fresh ones.

    Raises:
        UserError: A size below 1; in ``setup``, more initial labels or budget than the pool has samples.
    """

    def __init__(
        self,
        strategy: Strategy,
        oracle: Oracle | None = None,
        initial: int = 20,
        query_size: int = 1,
        budget: int | None = None,
        max_epochs: int = 100,
        patience: int = 10,
        min_delta: float = 1e-3,
        warm_start: bool = False,
    ) -> None:
        super().__init__(max_epochs, patience, min_delta, warm_start)
        at_least(1, {"query.init_args.initial": initial, "query.init_args.query_size": query_size})
        if budget is not None:
            at_least(1, {"query.init_args.budget": budget})
        self.strategy, self.oracle = strategy, oracle or Perfect()
        self.initial, self.query_size, self.budget = initial, query_size, budget

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the pool cannot give. Samples that an attacker is going to add count."""
        pool = data_of(trainer).pool
        natural = len(pool.of_origin("natural"))
        if self.initial > natural:
            raise UserError(f"query.init_args.initial: {self.initial} labels, but the pool has {natural} samples")
        if self.budget is not None and self.budget > len(pool) - self.initial:
            raise UserError(
                f"query.init_args.budget: {self.budget} labels, but after the {self.initial} initial ones the pool has "
                f"{len(pool) - self.initial} left"
            )

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Tell the oracle the truth and give the initial labels."""
        super().on_fit_start(trainer, module)
        assert isinstance(module, Classifier)
        data = data_of(trainer)
        self.oracle.learn_truth(data.labels["pool"])
        if not data.pool.ledger:
            natural = data.pool.of_origin("natural")
            drawn = torch.randperm(len(natural), generator=generator(data.seed, "initial labels"))[: self.initial]
            labels, labelers = self.oracle.label(natural[drawn])
            data.pool.label(natural[drawn], labels, round=0, strategy="initial", labelers=labelers)
        for callback in round_callbacks(trainer):
            callback.on_labels_given(trainer, module)

    def labels_to_reach(self, trainer: pl.Trainer) -> int:
        """Return how many samples are labelled when the run ends."""
        return len(data_of(trainer).pool) if self.budget is None else self.initial + self.budget

    def is_last(self, trainer: pl.Trainer) -> bool:
        """Whether the budget is spent, or the pool empty."""
        return self._next_size(trainer) == 0

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Query the next labels; return how many there were, 0 at the end of the budget or the pool."""
        data = data_of(trainer)
        candidates, n = data.pool.unlabelled, self._next_size(trainer)
        if n == 0:
            return 0
        view = View(
            module=module,
            candidates=candidates,
            labelled=data.pool.labelled,
            inputs=lambda indices: data.inputs("pool", indices),
            images=lambda indices: data.samples["pool"][indices].to(module.device),
            map=data.map,
            record=record,
            budget_left=self._budget_left(trainer),
        )
        name = type(self.strategy).__name__
        try:
            selection = self.strategy.select(view, n, generator=generator(data.seed, "query", self.round))
        except RunStopped as stop:
            raise RunStopped(f"round {self.round}: {stop}") from None
        if len(selection.indices) != n:
            raise RunStopped(f"round {self.round}: {name} selected {len(selection.indices)} samples, asked for {n}")
        if selection.scores is not None and selection.scores.isnan().any():
            raise RunStopped(f"round {self.round}: {name} selected a sample whose score is NaN")
        labels, labelers = self.oracle.label(selection.indices)
        data.pool.label(
            selection.indices,
            labels,
            round=self.round + 1,
            strategy=name,
            labelers=labelers,
            scores=selection.scores,
        )
        return n

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return strategy, budget and the size of the natural unlabelled pool at the start."""
        pool = data_of(trainer).pool
        return {
            "strategy": type(self.strategy).__name__,
            "budget": len(pool.ledger) - self.initial,
            "pool": len(pool.of_origin("natural")) - self.initial,
        }

    def _next_size(self, trainer: pl.Trainer) -> int:
        return min(self.query_size, self._budget_left(trainer), len(data_of(trainer).pool.unlabelled))

    def _budget_left(self, trainer: pl.Trainer) -> int:
        pool = data_of(trainer).pool
        return len(pool.unlabelled) if self.budget is None else self.budget - (len(pool.ledger) - self.initial)
