"""Random flips, the baseline of everything."""

from dataclasses import dataclass

import torch

from aal.flips.base import FlipSelector
from aal.flips.view import FlipView
from aal.strategies.base import Selection


@dataclass(frozen=True)
class RandomFlips(FlipSelector):
    """Flip labels at random."""

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Selection:
        """Choose ``n`` candidates at random."""
        return Selection(view.candidates[torch.randperm(len(view.candidates), generator=generator)[:n]])
