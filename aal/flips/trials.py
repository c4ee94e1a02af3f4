"""Trials: what a run of label flips tries, one a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from aal.checks import refuse
from aal.errors import RunStopped
from aal.flips.base import FlipSelector
from aal.flips.flip_view import FlipView
from aal.seeds import generator
from aal.strategies.base import Selection, fault_of

ALL = -1  # stands for all classes together where a budget is of one


@dataclass(frozen=True)
class Trial:
    """One selection of labels to flip.

    Attributes:
        name: The selector's name in the configuration, or ``placed``.
        position: Where it stands in a sweep: the number of a bucket, or how far from the mean of their class samples
            were placed, in L2; ``None`` where there is no sweep.
        repeat: Which repeat of it this is, from 0.
        selector: The selector; ``None`` where the datamodule placed the samples.
        placed: The indices ``(b,)`` of the samples that the datamodule placed in the pool, for labels that are not true
            of them; they have no label until a round is trained on them. ``None`` where labels are flipped.
    """

    name: str
    position: float | None
    repeat: int
    selector: FlipSelector | None = None
    placed: Tensor | None = None

    @property
    def called(self) -> str:
        """What the ledger calls it: the name, and the position where there is one."""
        return self.name if self.position is None else f"{self.name}[{self.position:g}]"

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of its round's record."""
        position = {} if self.position is None else {"position": self.position}
        return {"selector": self.name, **position, "repeat": self.repeat}


@runtime_checkable
class Places(Protocol):
    """A datamodule that places samples for label flips to mislabel: trials that it brings, with their repeats."""

    placed: Sequence[Trial]


def trials_of(selectors: Mapping[str, FlipSelector], repeats: int) -> list[Trial]:
    """Return all trials of selectors in order: all of the first repeat, then all of the second.

    Args:
        selectors: Selectors by name.
        repeats: How often each of their variants is tried.
    """
    return [
        Trial(name, variant.position, repeat, variant)
        for repeat in range(repeats)
        for name, selector in selectors.items()
        for variant in selector.variants()
    ]


def check_budget(budget: int, groups: Mapping[int, Tensor], selectors: Mapping[str, FlipSelector]) -> None:
    """Refuse a budget that a class cannot give, or none of what a selector chooses among.

    Args:
        budget: Labels to flip in each group.
        groups: Places ``(G,)`` of the candidates by their class, or of all by ``ALL``.
        selectors: Selectors by name.

    Raises:
        UserError: Names the argument ``budget`` and who has too few samples.
    """
    for label, group in groups.items():
        where = f"{'the pool' if label == ALL else f'class {label}'} has {len(group)} samples"
        for name, selector in selectors.items():
            asked, room = f"budget: {budget} labels to flip", selector.room(len(group))
            refuse(len(group) < budget, f"{asked}, but {where}")
            refuse(room < budget, f"{asked}; {where}, and {name} chooses among {room} of them")


def flips_of(
    trial: Trial, view: FlipView, budget: int, groups: Mapping[int, Tensor], draw: int, round: int
) -> Selection:
    """Have a trial's selector choose in each group, and see that it keeps its contract.

    Args:
        trial: A trial that has a selector.
        view: What the attacker knows of the training set.
        budget: Labels to flip in each group.
        groups: As of :func:`check_budget`.
        draw: Which draw of the selector's chance this is.
        round: The round, for messages.

    Raises:
        TooFew: There are fewer samples than the budget where the selector looks.
        RunStopped: It broke its contract.
    """
    assert trial.selector is not None
    parts = []
    for label, group in groups.items():
        part, chance = view.only(group), generator(view.seed, "flips", trial.called, draw, label)
        flips = trial.selector.select(part, budget, generator=chance)
        fault = fault_of(flips, part.candidates, budget, view.module.num_classes)
        named = f"{trial.name} ({type(trial.selector).__name__})"
        refuse(fault, f"round {round}: {named} {fault}, of {len(group)}", RunStopped)
        parts.append(flips)
    return together(parts)


def together(parts: Sequence[Selection]) -> Selection:
    """Return the flips of several classes as one; figures are averaged over the classes that have them."""
    scores = [part.scores.double() for part in parts if part.scores is not None]
    figures: dict[str, list[float]] = {}
    for name, figure in (item for part in parts for item in part.figures.items()):
        figures.setdefault(name, []).append(figure)
    return Selection(
        torch.cat([part.indices for part in parts]),
        torch.cat(scores) if len(scores) == len(parts) else None,
        # of large numbers the sum may overflow
        figures={name: sum(figure / len(own) for figure in own) for name, own in figures.items()},
    )
