"""Random sampling: the baseline of every strategy."""

from dataclasses import dataclass

import torch

from aal.strategies.base import Selection, Strategy, View


@dataclass(frozen=True)
class Random(Strategy):
    """Query candidates drawn uniformly without replacement."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates at random."""
        return Selection(view.candidates[torch.randperm(len(view.candidates), generator=generator)[:n]])
