"""The contract of every query strategy, ``select(view, n, *, generator) -> Selection``; the baseline of them all."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from aal import seeds
from aal.checks import Checked, kind_of, refuse
from aal.distances import faults
from aal.errors import RunStopped
from aal.models.classifier import Classifier
from aal.strategies.view import View

__all__ = [
    "Around",
    "Crafted",
    "PseudoLabels",
    "Random",
    "Selection",
    "Space",
    "Strategy",
    "View",
    "ascending",
    "fault_of",
    "highest",
    "lowest",
    "points_in",
    "refuse_nan",
]

ON_CPU = ("indices", "crafted.sources", "pseudo.indices")  # what of a selection is compared with the candidates
Space = Literal["samples", "features", "logits"]


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


class Strategy(Checked, ABC):
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

    @abstractmethod
    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` of the view's candidates.

        Args:
            view: What the learner knows about the pool.
            n: How many, at most ``len(view.candidates)``.
            generator: The only source of randomness.

        Raises:
            RunStopped: A score is NaN.
        """


@dataclass(frozen=True)
class Random(Strategy):
    """Query candidates drawn uniformly without replacement: the baseline of every strategy."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates at random."""
        return Selection(view.candidates[torch.randperm(len(view.candidates), generator=generator)[:n]])


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


def fault_of(
    selection: Selection,
    candidates: Tensor,
    n: int,
    classes: int,
    shape: tuple[int, ...] = (),
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> str:
    """Return how a selection breaks the contract, empty where it does not.

    Args:
        selection: What a strategy, or a selector of labels to flip, selected.
        candidates: The indices that it was given ``(U,)``.
        n: How many it was asked for.
        classes: Number of classes C.
        shape: Shape of a sample, where copies may be crafted.
        bounds: The data's range (low, high).
    """
    return _of_another_kind(selection, n, shape) or _broken(selection, candidates, n, classes, bounds)


def _of_another_kind(selection: Selection, n: int, shape: tuple[int, ...]) -> str:
    """Return what of a selection is not of the kind that it should be, empty where all is."""
    if not isinstance(selection, Selection):
        return f"gave {kind_of(selection)}, not a Selection"
    crafted, pseudo, figures = selection.crafted, selection.pseudo, selection.figures
    if not isinstance(crafted, Crafted | None) or not isinstance(pseudo, PseudoLabels | None):
        return "has copies that are not Crafted, or pseudo-labels that are not PseudoLabels"
    found: dict[str, tuple[object, str, tuple[int, ...]]] = {"indices": (selection.indices, "int64", ())}
    if selection.scores is not None:
        found["scores"] = (selection.scores, "float32 float64 int64", ())
    if crafted is not None:
        found["crafted.sources"] = (crafted.sources, "int64", ())
        found["crafted.x"] = (crafted.x, "float32 float64", shape)
    if pseudo is not None:
        found |= {f"pseudo.{name}": (value, "int64", ()) for name, value in vars(pseudo).items()}
    for name, (value, dtypes, rest) in found.items():
        size = len(value) if isinstance(value, Tensor) and value.ndim else n
        allowed = [f"torch.{dtype} {(size, *rest)}" for dtype in dtypes.split()]
        if kind_of(value) not in allowed:
            return f"has {name} of the kind {kind_of(value)}, not {allowed[0]}"
        if name in ON_CPU and isinstance(value, Tensor) and value.device.type != "cpu":
            return f"has {name} on {value.device}, not on the CPU"
    if not isinstance(figures, Mapping) or not all(isinstance(name, str) for name in figures):
        return f"has figures that have no names: {figures}"
    return ", ".join(
        f"has the figure {name} of the kind {kind_of(figure)}, not a number"
        for name, figure in figures.items()
        if not isinstance(figure, int | float)
    )


def _broken(selection: Selection, candidates: Tensor, n: int, classes: int, bounds: tuple[float, float]) -> str:
    """Return which promise a selection of the right kind breaks, empty where none."""
    none, chosen, scores = candidates[:0], selection.indices, selection.scores
    crafted = selection.crafted or Crafted(none, none)
    pseudo = selection.pseudo or PseudoLabels(none, none)
    free = torch.isin(pseudo.indices, candidates) & ~torch.isin(pseudo.indices, chosen)
    bad = [name for name, figure in selection.figures.items() if not math.isfinite(figure)]
    found = {
        f"selected {len(chosen)} samples, asked for {n}": len(chosen) != n,
        "selected a sample twice, or one that is no candidate": (
            len(chosen.unique()) < n or not torch.isin(chosen, candidates).all()
        ),
        "selected a sample whose score is NaN, or not as many scores as samples": (
            scores is not None and (scores.shape != chosen.shape or scores.isnan().any())
        ),
        "crafted a copy of a sample that it did not select": (
            len(crafted.x) != len(crafted.sources) or not torch.isin(crafted.sources, chosen).all()
        ),
        "crafted a copy that is not finite": not crafted.x.isfinite().all(),
        f"crafted a copy beyond the data's range {bounds}": (
            (crafted.x < bounds[0]).any() or (crafted.x > bounds[1]).any()
        ),
        "gave a pseudo-label to a sample twice, or to one that has or gets a label": (
            len(pseudo.indices.unique()) < len(pseudo.indices) or not free.all()
        ),
        "gave a pseudo-label that is no class": (
            len(pseudo.labels) != len(pseudo.indices) or not ((pseudo.labels >= 0) & (pseudo.labels < classes)).all()
        ),
        f"has a figure that is not finite: {', '.join(bad)}": bad,
    }
    return next((fault for fault, there in found.items() if there), "")


def ascending(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return the places of values ``(U,)``, that of the lowest first; among equal ones chance decides.

    The place must not: pools come class by class, and what ties would all be of one class.
    """
    shuffled = torch.randperm(len(values), generator=generator)
    return shuffled[values[shuffled].argsort(stable=True)]


def highest(
    strategy: Strategy, view: View, scores: Tensor, n: int, generator: torch.Generator | None = None
) -> Selection:
    """Select the ``n`` candidates with the highest scores ``(U,)``; among equal ones chance decides.

    Args:
        strategy: Whose scores they are.
        view: What it was given.
        scores: The scores.
        n: How many to select.
        generator: The chance; ``None`` for the same in every round.

    Raises:
        RunStopped: A score is NaN, or there are not as many as candidates; the message names the strategy and the first
            such index.
    """
    selection = lowest(strategy, view, -scores, n, generator)
    assert selection.scores is not None
    return Selection(selection.indices, -selection.scores)


def lowest(
    strategy: Strategy, view: View, scores: Tensor, n: int, generator: torch.Generator | None = None
) -> Selection:
    """Select the ``n`` candidates with the lowest scores ``(U,)``; all else is as in :func:`highest`."""
    name = type(strategy).__name__
    refuse(
        scores.shape != view.candidates.shape,
        f"{name}: must give {len(view.candidates)} candidates a score each, not {kind_of(scores)}",
        RunStopped,
    )
    scores = refuse_nan(strategy, view.candidates, scores.cpu())
    order = ascending(scores, generator or seeds.generator(0, "ties"))[:n]
    return Selection(view.candidates[order], scores[order])


def refuse_nan(strategy: object, indices: Tensor, scores: Tensor, undone: str = "queried") -> Tensor:
    """Return scores; stop where one is NaN.

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
        at = f"the score of index {int(indices[bad][0])}"
        raise RunStopped(f"{type(strategy).__name__}: {at} is NaN; nothing was {undone}")
    return scores


def points_in(strategy: Strategy, view: View, space: Space) -> tuple[Tensor, Tensor]:
    """Return the candidates ``(U, D)`` and the labelled samples ``(L, D)`` as points of a space, on the CPU.

    Args:
        strategy: What asks.
        view: What it was given.
        space: ``samples``, the samples themselves, all of which are then in memory; ``features``, the inputs of the
            last layer; or ``logits``.

    Raises:
        RunStopped: A coordinate is not finite; the message names the strategy and the first such index.
    """

    def points(indices: Tensor, named: str) -> Tensor:
        found: Tensor = view.map(view.images, indices) if space == "samples" else getattr(view, named)
        return found.flatten(1).cpu()

    candidates = points(view.candidates, space)
    labelled = points(view.labelled, f"labelled_{space}") if len(view.labelled) else candidates[:0]
    for indices, x in ((view.candidates, candidates), (view.labelled, labelled)):
        refuse_nan(strategy, indices, faults(x))
    return candidates, labelled
