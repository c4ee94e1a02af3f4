"""Normal numbers for very many directions: a table is drawn once, and each direction begins somewhere in it."""

import torch
from torch import Tensor

from aal.attacks.draws import uniform
from aal.attacks.tensors import divisor

PLACES = 1 << 20  # where a direction may begin


class NoiseTable:
    """Directions of standard normal numbers that are looked up, which costs half of drawing them anew.

    Where a direction begins, and its sign, depend on the sample's seed and the draw alone. Two directions of which one
    begins a few places after the other are as good as independent: white noise and its shifted copy are.

    Source: Salimans, Ho, Chen, Sidor and Sutskever, "Evolution strategies as a scalable alternative to reinforcement
    learning", section 2.1 (the table).

    Args:
        x: Samples ``(B, ...)``, of whose shape, type and device directions are.
    """

    def __init__(self, x: Tensor) -> None:
        self._shape, size = x.shape[1:], x[0].numel()
        # the same in every call: what differs is where samples look
        table = torch.randn(PLACES + size - 1, generator=torch.Generator().manual_seed(0))
        self._windows = table.to(x.device, x.dtype).unfold(0, size, 1)

    def directions(self, seeds: Tensor, draw: int, n: int) -> tuple[Tensor, Tensor]:
        """Look directions up.

        Args:
            seeds: int64 ``(B,)``, one a sample.
            draw: Number of this draw; another one has other directions.
            n: Directions a sample.

        Returns:
            The directions ``(B, n, ...)``, and what makes each of them one of length 1 in L2 and of a random sign,
            ``(B, n)``.
        """
        places = (uniform(seeds, draw, (n,), torch.float64) * (2 * PLACES)).long()
        found = self._windows[places >> 1]
        signs = (places & 1) * 2 - 1
        lengths = torch.linalg.vector_norm(found, dim=2)
        return found.unflatten(2, self._shape), signs / divisor(lengths)
