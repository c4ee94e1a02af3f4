"""Query rounds: train, score the pool, ask the oracle for labels, repeat."""

from itertools import chain

import pytorch_lightning as pl
import torch

from aal.callbacks.round_callback import Record, data_of, round_callbacks
from aal.callbacks.rounds import Rounds
from aal.callbacks.stop_rule import StopRule
from aal.checks import at_least, at_least_or_none, refuse
from aal.errors import RunStopped
from aal.models.classifier import Classifier
from aal.oracles import Oracle, Perfect, ask
from aal.seeds import generator
from aal.sharding import Shard
from aal.strategies import PseudoLabels, Selection, Strategy, View, fault_of


class QueryRounds(Rounds):
    """Active learning: each round queries the labels that a strategy chooses (paper *collision*, section IV.A).

    The run ends when the budget is spent, the rounds are over, a stop rule is met, the pool is empty or no labeler is
    trusted any more; ``ended_by`` in its summary says which. The budget is of queries: labels that are asked for to
    examine others are beside it.

    Args:
        strategy: Chooses what to query.
        oracle: Answers; by default it is always right.
        initial: Labels at the start, drawn at random from the natural samples; they are not of the budget.
        query_size: Labels a query.
        budget: Labels to query in all; ``null`` for the whole pool.
        rounds: Most queries; ``null`` for as many as the budget gives.
        stop: Rules that end the run early.
        max_epochs: Most epochs a round.
        patience: Epochs without a lower loss after which a round has converged.
        min_delta: Least decrease of the loss, in nats, that counts as one.
        warm_start: Whether a round goes on from the weights of the last instead of fresh ones.
        query_sizes: Labels of the first queries, one after the other; all further ones are of ``query_size``.

    Raises:
        UserError: A size below 1; in ``setup``, more initial labels or budget than the pool has samples, or a
            classifier that the strategy, or classes that the oracle, cannot work with; after the second round, a stop
            rule's column that there is not.
    """

    asks = True

    def __init__(
        self,
        strategy: Strategy,
        oracle: Oracle | None = None,
        initial: int = 20,
        query_size: int = 1,
        budget: int | None = None,
        rounds: int | None = None,
        stop: list[StopRule] | None = None,
        max_epochs: int = 100,
        patience: int = 10,
        min_delta: float = 1e-3,
        warm_start: bool = False,
        query_sizes: list[int] | None = None,
    ) -> None:
        super().__init__(max_epochs, patience, min_delta, warm_start)
        at_least(1, {"initial": initial, "query_size": query_size})
        for size in query_sizes or ():
            at_least(1, {"query_sizes": size})
        at_least_or_none(1, {"budget": budget, "rounds": rounds})
        self.strategy, self.oracle = strategy, oracle or Perfect()
        self.initial, self.query_size, self.budget = initial, query_size, budget
        self.query_sizes = tuple(query_sizes or ())
        self.rounds, self.stop, self.crafts = rounds, tuple(stop or ()), strategy.crafts

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Refuse what the pool cannot give, where an attacker's samples count, and what the strategy cannot use."""
        assert isinstance(module, Classifier)
        self.strategy.check(module)
        data = data_of(trainer)
        self.oracle.prepare(
            data.answers,
            num_classes=data.num_classes,
            names=data.classes,
            seed=data.seed,
        )
        natural, budget = len(data.pool.of_origin("natural")), self.budget or 0
        refuse(self.initial > natural, f"initial: {self.initial} labels, but the pool has {natural} samples")
        left = len(data.pool) + sum(each.coming for each in round_callbacks(trainer)) - self.initial
        refuse(
            budget > left,
            f"budget: {budget} labels, but after the {self.initial} initial ones the pool has {left} left",
        )

    def first_labels(self, trainer: pl.Trainer) -> None:
        """Give the initial labels."""
        data = data_of(trainer)
        natural = data.pool.of_origin("natural")
        drawn = natural[torch.randperm(len(natural), generator=generator(data.seed, "initial labels"))[: self.initial]]
        labels, labelers = ask(self.oracle, drawn, data.num_classes)
        data.pool.label(drawn, labels, round=0, strategy="initial", labelers=labelers)

    def to_reach(self, trainer: pl.Trainer) -> int:
        """Return how many samples are labelled when the run ends, if no stop rule ends it before."""
        labels = len(data_of(trainer).pool) if self.budget is None else self.initial + self.budget
        return labels if self.rounds is None else min(labels, self.initial + sum(map(self._size, range(self.rounds))))

    def is_last(self, trainer: pl.Trainer, record: Record) -> bool:
        """Whether something ends the run, and no labels were changed."""
        return bool(self._ended_by(trainer, record)) and not self.due(trainer)

    def next_round(self, trainer: pl.Trainer, module: Classifier, record: Record) -> int:
        """Query the next labels; return how many there were, 0 at the end of the run."""
        self._check_columns(trainer, record)
        self.ended_by = self._ended_by(trainer, record)
        if self.ended_by:
            self.figures = {}  # a round that is due nevertheless comes after no query
            return 0
        data, later = data_of(trainer), self.round + 1
        n = min(self._size(self.round), self._budget_left(trainer), len(data.pool.unlabelled))
        selection = self._select(trainer, module, record, n)
        labels, labelers = ask(self.oracle, selection.indices, data.num_classes, round=later)
        data.pool.label(
            selection.indices,
            labels,
            round=later,
            strategy=type(self.strategy).__name__,
            labelers=labelers,
            scores=selection.scores,
        )
        if selection.crafted is not None:
            data.extras.craft(selection.crafted.x, selection.crafted.sources, round=later)
        none = torch.empty(0, dtype=torch.int64)
        pseudo = selection.pseudo or PseudoLabels(none, none)
        data.extras.revise(pseudo.indices, pseudo.labels, round=later)
        self.figures = dict(selection.figures)
        return n

    def summarise(self, trainer: pl.Trainer, module: Classifier) -> Record:
        """Return strategy, budget, the size of the natural unlabelled pool at the start, and what ended the run."""
        data = data_of(trainer)
        return {
            "strategy": type(self.strategy).__name__,
            "budget": len(data.pool.asked) - self.initial,
            "pool": len(data.pool.of_origin("natural")) - self.initial,
            **data.extras.counts,
            "ended_by": self.ended_by,
        }

    def _size(self, query: int) -> int:
        """Return how many labels a query is of, where the budget has as many left; queries count from 0."""
        return self.query_sizes[query] if query < len(self.query_sizes) else self.query_size

    def _select(self, trainer: pl.Trainer, module: Classifier, record: Record, n: int) -> Selection:
        """Have the strategy choose, and see that it kept its contract."""
        data = data_of(trainer)
        before = {*record} - {*self.figures}  # the columns that the last query's figures are not of
        view = View(
            module=module,
            candidates=data.pool.unlabelled,
            labelled=data.pool.labelled,
            inputs=lambda indices: data.inputs("pool", indices),
            images=lambda indices: data.samples["pool"][indices].to(module.device),
            map=data.map,
            record=dict(record),
            budget_left=self._budget_left(trainer),
            bounds=data.samples["pool"].bounds,
            agree=Shard.of(trainer).first,
            report=data.progress.line,
            labelled_labels=data.pool.labels[data.pool.labelled],
            perturbed=data.extras.perturbed.clone(),
            perturbations=data.extras.perturbations.clone(),
        )
        try:
            selection = self.strategy.select(view, n, generator=generator(data.seed, "query", self.round))
        except RunStopped as stop:
            raise RunStopped(f"round {self.round}: {stop}") from None
        candidates = data.pool.unlabelled  # whatever the strategy did to its own
        fault = fault_of(selection, candidates, n, module.num_classes, data.sample_shape, view.bounds)
        for figure in () if fault else selection.figures:
            fault = f"has a figure {figure!r}, which is a column of every round" if figure in before else fault
        refuse(fault, f"round {self.round}: {type(self.strategy).__name__} {fault}", RunStopped)
        return selection

    def _check_columns(self, trainer: pl.Trainer, record: Record) -> None:
        """Refuse a stop rule for a column that no record has had when the second round has ended.

        Raises:
            UserError: Names the column.
        """
        if self.round != 1:
            return
        others = chain.from_iterable(callback.columns for callback in round_callbacks(trainer))
        known = {*record, "crafted", "pseudo", *self.strategy.columns, *others}
        for column in (rule.column for rule in self.stop):
            refuse(
                column not in known and not column.startswith("robust_"),
                f"stop: a round has no column {column!r}; it has {', '.join(record)}",
            )

    def _ended_by(self, trainer: pl.Trainer, record: Record) -> str:
        """Return what ends the run after this round, empty if nothing does."""
        ends = {
            "pool": not len(data_of(trainer).pool.unlabelled),
            "budget": not self._budget_left(trainer),
            "labelers": self.oracle.exhausted,
            "rounds": self.rounds is not None and self.round >= self.rounds,
        }
        reasons = chain((why for why, there in ends.items() if there), (rule.met(record) for rule in self.stop))
        return next(filter(None, reasons), "")

    def _budget_left(self, trainer: pl.Trainer) -> int:
        pool = data_of(trainer).pool
        return len(pool.unlabelled) if self.budget is None else self.budget - (len(pool.asked) - self.initial)
