"""The contract of every query strategy: ``select(view, n, *, generator) -> Selection``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aal.errors import RunStopped
from aal.models.classifier import Classifier
from aal.strategies.view import View

__all__ = [
    "Around",
    "Crafted",
    "PseudoLabels",
    "Selection",
    "Strategy",
    "View",
    "fault_of",
    "highest",
    "lowest",
    "refuse_nan",
]


@dataclass(frozen=True)
class Crafted:
    """Copies to train on with the labels that their sources will be given; they cost no budget.

    Attributes:
        x: The copies ``(M, ...)``, within the data's bounds.
        sources: Index ``(M,)`` of the selected sample that each was made from.
    """

    x: Tensor
    sources: Tensor


@dataclass(frozen=True)
class PseudoLabels:
    """Samples to train on with labels that the classifier predicts; they hold until the next selection.

    Attributes:
        indices: Distinct candidates ``(Q,)``, none of them selected.
        labels: Their labels ``(Q,)``, int64.
    """

    indices: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Selection:
    """What a strategy asks to have labelled.

    Attributes:
        indices: Distinct unlabelled indices of the pool ``(n,)``, first choice first.
        scores: Their scores ``(n,)``, or ``None`` where the strategy has none.
        crafted: Copies of selected samples to train on as well.
        pseudo: Samples to train on without asking for their labels.
        figures: What is worth recording of the selection; columns of the next round's record.
    """

    indices: Tensor
    scores: Tensor | None = None
    crafted: Crafted | None = None
    pseudo: PseudoLabels | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


class Strategy:
    """A way to choose what to label next. Subclasses are frozen dataclasses of hyper-parameters."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures that its selections may have."""
        return ()

    @property
    def crafts(self) -> bool:
        """Whether its selections may have crafted copies."""
        return False

    def check(self, module: Classifier) -> None:
        """Refuse, before anything is trained, a classifier that the strategy cannot work with.

        Raises:
            UserError: What it lacks.
        """

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` of the view's candidates.

        Args:
            view: What the learner knows about the pool.
            n: How many, at most ``len(view.candidates)``.
            generator: The only source of randomness.

        Raises:
            RunStopped: A score is NaN.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Around(Strategy):
    """A strategy that does something of its own around another one.

    Attributes:
        strategy: Chooses the queries; what it has and refuses, this one does.
    """

    strategy: Strategy

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the figures that its selections may have."""
        return self.strategy.columns

    @property
    def crafts(self) -> bool:
        """Whether its selections may have crafted copies."""
        return self.strategy.crafts

    def check(self, module: Classifier) -> None:
        """Refuse what the strategy does."""
        self.strategy.check(module)


def fault_of(selection: Selection, candidates: Tensor, n: int, classes: int) -> str:
    """Return how a selection breaks the contract, empty where it does not.

    Args:
        selection: What a strategy, or a selector of labels to flip, selected.
        candidates: The indices that it was given ``(U,)``.
        n: How many it was asked for.
        classes: Number of classes C.
    """
    chosen, scores, crafted, pseudo = selection.indices, selection.scores, selection.crafted, selection.pseudo
    if len(chosen) != n:
        return f"selected {len(chosen)} samples, asked for {n}"
    if len(chosen.unique()) < n or not torch.isin(chosen, candidates).all():
        return "selected a sample twice, or one that is no candidate"
    if scores is not None and (scores.shape != chosen.shape or scores.isnan().any()):
        return "selected a sample whose score is NaN, or not as many scores as samples"
    if crafted is not None:
        if len(crafted.x) != len(crafted.sources) or not torch.isin(crafted.sources, chosen).all():
            return "crafted a copy of a sample that it did not select"
        if not crafted.x.isfinite().all():
            return "crafted a copy that is not finite"
    if pseudo is not None:
        free = torch.isin(pseudo.indices, candidates) & ~torch.isin(pseudo.indices, chosen)
        if len(pseudo.indices.unique()) < len(pseudo.indices) or not free.all():
            return "gave a pseudo-label to a sample twice, or to one that has or gets a label"
        if len(pseudo.labels) != len(pseudo.indices) or not ((pseudo.labels >= 0) & (pseudo.labels < classes)).all():
            return "gave a pseudo-label that is no class"
    bad = [name for name, figure in selection.figures.items() if not math.isfinite(figure)]
    return f"has a figure that is not finite: {', '.join(bad)}" if bad else ""


def highest(strategy: Strategy, view: View, scores: Tensor, n: int) -> Selection:
    """Select the ``n`` candidates with the highest scores ``(U,)``; equal scores go to the lower index.

    Raises:
        RunStopped: A score is NaN; the message names the strategy and the first such index.
    """
    scores = scores.cpu()
    refuse_nan(strategy, view.candidates, scores)
    order = torch.argsort(scores, descending=True, stable=True)[:n]
    return Selection(view.candidates[order], scores[order])


def lowest(strategy: Strategy, view: View, scores: Tensor, n: int) -> Selection:
    """Select the ``n`` candidates with the lowest scores ``(U,)``; equal scores go to the lower index.

    Raises:
        RunStopped: A score is NaN; the message names the strategy and the first such index.
    """
    selection = highest(strategy, view, -scores, n)
    assert selection.scores is not None
    return Selection(selection.indices, -selection.scores)


def refuse_nan(strategy: object, indices: Tensor, scores: Tensor, undone: str = "queried") -> None:
    """Stop where a score is NaN.

    Args:
        strategy: Whose scores they are.
        indices: Indices of the pool ``(U,)`` on the CPU.
        scores: Their scores, or whatever scores are made of, ``(U, ...)``.
        undone: What was not done therefore.

    Raises:
        RunStopped: The message names the strategy and the first such index.
    """
    bad = scores.isnan().flatten(1).any(1).cpu() if scores.ndim > 1 else scores.isnan().cpu()
    if bad.any():
        index = int(indices[bad][0])
        raise RunStopped(f"{type(strategy).__name__}: the score of index {index} is NaN; nothing was {undone}")
