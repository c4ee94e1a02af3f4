"""Random flips, the baseline of everything."""

from dataclasses import dataclass

import torch

from aal.flips.base import Flips, FlipSelector
from aal.flips.view import FlipView


@dataclass(frozen=True)
class RandomFlips(FlipSelector):
    """Flip labels at random."""

    def select(self, view: FlipView, n: int, *, generator: torch.Generator) -> Flips:
        """Choose ``n`` candidates at random."""
        return Flips(view.candidates[torch.randperm(len(view.candidates), generator=generator)[:n]])
