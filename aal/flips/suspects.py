"""Suspects: the training points whose adversarial path is suspiciously short; many are labeling errors."""

from dataclasses import dataclass, field

from torch import Tensor

from aal.attacks.adversarial_path import AdversarialPath
from aal.checks import at_least
from aal.flips.path_length import PAPERS_WALK, shortest_first
from aal.flips.view import FlipView


@dataclass(frozen=True)
class Suspects:
    """The training set, or the classes that a map of targets names, by the paths' lengths, the most suspicious first.

    A classifier that has memorised a wrong label keeps the boundary next to it. Source: paper *noise*, section 4.3.1
    and Figure 4.5, where the paths lead from each class to the next.

    Args:
        attack: The walk, of 0.01 a step in the paper, on samples from 0 to 1.
        targeted: Whether a path leads to the class that its sample would be labelled, as in the paper; else to any
            other class, which finds all kinds of errors.
        shown: Samples of each class to draw, of the closest and of the farthest.

    Raises:
        UserError: Fewer than 1 sample to draw.
    """

    attack: AdversarialPath = field(default_factory=PAPERS_WALK)
    targeted: bool = False
    shown: int = 8

    def __post_init__(self) -> None:
        """Refuse to draw nothing."""
        at_least(1, {"shown": self.shown})

    def order(self, view: FlipView) -> tuple[Tensor, Tensor]:
        """Return where each candidate stands, the shortest path first ``(U,)``, and the paths ``(U, 3)`` by place."""
        paths = view.paths(self.attack, targeted=self.targeted)
        return shortest_first(paths), paths


def closest_and_farthest(order: Tensor, labels: Tensor, shown: int) -> dict[int, tuple[Tensor, Tensor]]:
    """Return for each class the ``shown`` places ``(S,)`` of the shortest and of the longest paths, extremes first.

    Args:
        order: Places by ascending length ``(U,)``.
        labels: The label of each place ``(U,)``.
        shown: How many, or as many as the class has.
    """
    own = {label: order[labels[order] == label] for label in labels.unique().tolist()}
    return {label: (places[:shown], places.flip(0)[:shown]) for label, places in own.items()}
