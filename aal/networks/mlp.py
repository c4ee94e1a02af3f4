"""Perceptrons for samples of any shape, and one on inputs hashed to bits: what is close is no longer close for it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aal.checks import at_least, below_one

PRIME = 941
LEAST_BITS = 10  # 2**bits must exceed the prime


class MLP(nn.Sequential):
    """Dense layers, from samples ``(B, *sample_shape)``, flattened, to logits ``(B, C)``.

    Args:
        sample_shape: Shape of a sample.
        num_classes: Number of classes C.
        widths: Units of each hidden layer; empty for a linear classifier.
        activation: What follows each hidden layer: a class such as ``torch.nn.Tanh`` that is built without arguments.
        dropout: Share of units dropped after each hidden layer in training, in [0, 1).
        batch_norm: Whether every hidden layer is followed by a batch norm, before its activation.

    Raises:
        UserError: A width below 1; no class; ``dropout`` outside its range.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        num_classes: int,
        widths: Sequence[int] = (100,),
        activation: type[nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        at_least(1, {"num_classes": num_classes})
        below_one({"dropout": dropout})
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(sample_shape)
        for width in widths:
            at_least(1, {"widths": width})
            norm = [nn.BatchNorm1d(width)] if batch_norm else []
            layers += [nn.Linear(units, width), *norm, activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
            units = width
        super().__init__(*layers, nn.Linear(units, num_classes))


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
        widths: As of :class:`MLP`.
        activation: As of :class:`MLP`.
        dropout: As of :class:`MLP`.

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
        super().__init__(
            BitHash(bits), MLP((math.prod(sample_shape) * bits,), num_classes, widths, activation, dropout)
        )
