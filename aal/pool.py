"""The one mutable state of active learning: which index is labelled, with what, by whom, in which round."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from aal.checks import refuse

UNLABELLED = -1
ORIGINS = ("natural", "poison")
STATUSES = ("kept", "replaced", "discarded")


@dataclass(frozen=True, slots=True)
class Label:
    """One label given: a row of the ledger.

    Attributes:
        index: Position in the pool's data set.
        round: Round in which the label was asked for; initial labels are round 0.
        rank: Place in the query, 0 is the first choice.
        score: The strategy's score, or ``None`` where there is none.
        strategy: What asked for it.
        labeler: Number of the labeler who answered.
        label: The label given, which need not be the truth.
        status: ``kept``, ``replaced`` or ``discarded``.
    """

    index: int
    round: int
    rank: int
    score: float | None
    strategy: str
    labeler: int
    label: int
    status: str


LEDGER = tuple(field.name for field in fields(Label))


class Pool:
    """Which samples of the pool are labelled. Indices are positions in the pool's data set and never change.

    Args:
        size: Number of natural samples.

    Attributes:
        labels: The label of each index ``(P,)`` int64, ``UNLABELLED`` where there is none.
        origins: The origin of each index ``(P,)`` uint8, a position in ``ORIGINS``.
        ledger: Every label given so far, in order.
    """

    def __init__(self, size: int) -> None:
        self.labels = torch.full((size,), UNLABELLED)
        self.origins = torch.zeros(size, dtype=torch.uint8)
        self.ledger: list[Label] = []

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> Tensor:
        """Indices with a label, ascending, int64 ``(L,)``."""
        return (self.labels >= 0).nonzero()[:, 0]

    @property
    def unlabelled(self) -> Tensor:
        """Indices that may be queried, ascending, int64 ``(U,)``: without a label and not discarded."""
        candidates = self.labels == UNLABELLED
        candidates[[row.index for row in self.ledger if row.status == "discarded"]] = False
        return candidates.nonzero()[:, 0]

    @property
    def asked(self) -> list[Label]:
        """The first label of each sample, in order: the initial ones and what was queried, now discarded or not."""
        first: dict[int, Label] = {}
        for row in self.ledger:
            first.setdefault(row.index, row)
        return list(first.values())

    def of_origin(self, origin: str) -> Tensor:
        """Indices of an origin, ascending, int64."""
        return (self.origins == ORIGINS.index(origin)).nonzero()[:, 0]

    def extend(self, n: int, origin: str) -> Tensor:
        """Add ``n`` unlabelled samples after all others and return their indices ``(n,)``."""
        first = len(self)
        self.labels = torch.cat([self.labels, torch.full((n,), UNLABELLED)])
        self.origins = torch.cat([self.origins, torch.full((n,), ORIGINS.index(origin), dtype=torch.uint8)])
        return torch.arange(first, first + n)

    def label(
        self,
        indices: Tensor,
        labels: Tensor,
        *,
        round: int,
        strategy: str,
        labelers: Tensor,
        scores: Tensor | None = None,
    ) -> None:
        """Give labels to unlabelled samples.

        Args:
            indices: Distinct unlabelled indices ``(n,)`` in the order of the query.
            labels: Their labels ``(n,)``, 0 or above.
            round: The round that asks, 0 for initial labels.
            strategy: Name of what chose them.
            labelers: Who answered, ``(n,)``.
            scores: The strategy's scores ``(n,)``, if it has any.

        Raises:
            ValueError: An index is out of range, repeated, discarded or labelled already, or a label negative; the
                message names it, and nothing has changed.
        """
        self._check(indices, labels, wanted=self.unlabelled, state="is labelled already or discarded")
        self._give(indices, labels, round, strategy, labelers, scores)

    def relabel(
        self,
        indices: Tensor,
        labels: Tensor,
        *,
        round: int,
        strategy: str,
        labelers: Tensor,
        scores: Tensor | None = None,
    ) -> None:
        """Replace the labels of labelled samples; the old rows of the ledger become ``replaced``.

        Arguments as of :meth:`label`.

        Raises:
            ValueError: An index has no label, is out of range or repeated; nothing has changed.
        """
        self._check(indices, labels, wanted=self.labelled, state="has no label to replace")
        self._mark(indices, "replaced")
        self._give(indices, labels, round, strategy, labelers, scores)

    def discard(self, indices: Tensor) -> None:
        """Take labels away for good: the samples are never queried again, their rows become ``discarded``.

        Raises:
            ValueError: An index has no label, is out of range or repeated; nothing has changed.
        """
        self._check(indices, torch.zeros_like(indices), wanted=self.labelled, state="has no label to discard")
        self._mark(indices, "discarded")
        self.labels[indices] = UNLABELLED

    def state_dict(self) -> dict[str, Any]:
        """Return tensors, lists and numbers that :meth:`load_state_dict` takes."""
        return {
            "labels": self.labels.clone(),
            "origins": self.origins.clone(),
            "ledger": [tuple(getattr(row, name) for name in LEDGER) for row in self.ledger],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of another pool of the same size.

        Raises:
            UserError: The sizes or origins differ, as where the poisons of a run were removed.
        """
        refuse(
            not torch.equal(state["origins"], self.origins),
            f"the saved pool has {len(state['origins'])} samples of other origins, this one {len(self)}; a run "
            "that goes on needs the folder poisons/ as it left it",
        )
        self.labels = state["labels"].clone()
        self.ledger = [Label(*row) for row in state["ledger"]]

    def _check(self, indices: Tensor, labels: Tensor, *, wanted: Tensor, state: str) -> None:
        refuse(len(indices) != len(labels), f"{len(indices)} indices, but {len(labels)} labels", ValueError)
        allowed = torch.zeros(len(self), dtype=torch.bool)
        allowed[wanted] = True
        _, place, times = indices.unique(return_inverse=True, return_counts=True)
        faults = (
            ((indices < 0) | (indices >= len(self)), f"is outside the pool of {len(self)}"),
            (times[place] > 1, "is given twice"),
            (~allowed[indices.clamp(0, len(self) - 1)], state),
            (labels < 0, "has the label {}: must be 0 or above"),
        )
        for wrong, said in faults:
            if wrong.any():
                raise ValueError(f"index {indices[wrong][0]} {said.format(labels[wrong][0])}")

    def _give(
        self, indices: Tensor, labels: Tensor, round: int, strategy: str, labelers: Tensor, scores: Tensor | None
    ) -> None:
        self.labels[indices] = labels
        values: Sequence[float | None] = [None] * len(indices) if scores is None else scores.tolist()
        rows = zip(indices.tolist(), values, labelers.tolist(), labels.tolist(), strict=True)
        for rank, (index, score, labeler, given) in enumerate(rows):
            self.ledger.append(Label(index, round, rank, score, strategy, labeler, given, "kept"))

    def _mark(self, indices: Tensor, status: str) -> None:
        marked = set(indices.tolist())
        self.ledger = [
            replace(row, status=status) if row.index in marked and row.status == "kept" else row for row in self.ledger
        ]
