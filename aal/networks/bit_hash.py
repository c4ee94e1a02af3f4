"""Inputs hashed to bits, and a perceptron on them: what is close in the plane is no longer close for the network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aal.checks import at_least
from aal.networks.mlp import MLP

PRIME = 941
LEAST_BITS = 10  # 2**bits must exceed the prime


class BitHash(nn.Module):
    """Hashes each element x of a sample to the bits of ``floor(x * 2**bits) mod 941``, the highest first.

    Source: paper *noise*, Listing A.1. The hash is constant almost everywhere, so no gradient passes it: attacks that
    follow gradients see zeros and are left with their random starts. :class:`aal.attacks.Square` needs none.

    Args:
        bits: Bits of an element, from 10, since ``2**bits`` must exceed 941.

    Raises:
        UserError: Fewer bits.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        at_least(LEAST_BITS, {"bits": bits})
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to zeros and ones ``(B, D * bits)`` of their ``D`` elements."""
        hashed = torch.remainder((x.flatten(1).double() * 2**self.bits).floor(), PRIME).long()  # a single would round
        places = torch.arange(self.bits - 1, -1, -1, device=x.device)
        return ((hashed[:, :, None] >> places) & 1).flatten(1).to(x.dtype)


class HashedMLP(nn.Sequential):
    """A perceptron that is shown hashed samples: it memorises what it would not without the hash.

    Source: paper *noise*, appendix A and Figure A.1. Samples stay as they are, so that attacks move them, and regions
    are drawn, before the hash.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        bits: As of :class:`BitHash`.
        widths: As of :class:`aal.networks.MLP`.
        activation: As of :class:`aal.networks.MLP`.
        dropout: As of :class:`aal.networks.MLP`.

    Raises:
        UserError: A number outside its range.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        num_classes: int,
        bits: int = LEAST_BITS,
        widths: Sequence[int] = (100,),
        activation: type[nn.Module] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        hashed = BitHash(bits)
        super().__init__(hashed, MLP((math.prod(sample_shape) * bits,), num_classes, widths, activation, dropout))
