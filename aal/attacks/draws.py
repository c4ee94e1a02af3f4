"""Random numbers by sample: a function of the sample's seed and the draw, so that a batch changes nothing."""

import math

import torch
from torch import Tensor

GOLDEN = -7046029254386353131  # 2**64 / the golden ratio, as a signed number


def uniform(seeds: Tensor, draw: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Draw from the uniform distribution on [0, 1).

    Args:
        seeds: int64 ``(B,)``, one a sample.
        draw: Number of this draw; another one is independent.
        shape: Shape of a sample's draw.
        dtype: Floating point type of the result. The numbers are the same for every type, but for its rounding down.

    Returns:
        ``(B, *shape)`` on the device of ``seeds``; the same for the same seed and draw, on any device.
    """
    elements = torch.arange(1, math.prod(shape) + 1, device=seeds.device)
    offset = ((draw + 1) * GOLDEN + 2**63) % 2**64 - 2**63  # wrapped around to 64 bits, as products of tensors are
    states = _mix(_mix(seeds + GOLDEN) + offset)
    bits = _mix(states[:, None] + elements * GOLDEN)
    digits = 24 if dtype == torch.float32 else 53 if dtype == torch.float64 else 8
    values = _right(bits, 64 - digits).to(torch.float64) * 2.0**-digits
    return values.to(dtype).view(len(seeds), *shape)


def normal(seeds: Tensor, draw: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Draw from the standard normal distribution (Box and Muller); arguments and result as of :func:`uniform`."""
    pairs = uniform(seeds, draw, (2, *shape), torch.float64)
    radius = (-2 * torch.log1p(-pairs[:, 0])).sqrt()
    return (radius * torch.cos(2 * math.pi * pairs[:, 1])).to(dtype)


def _mix(z: Tensor) -> Tensor:
    """Mix 64 bits (the finalizer of SplitMix64); int64 products wrap around."""
    z = (z ^ _right(z, 30)) * -4658895280553007687
    z = (z ^ _right(z, 27)) * -7723592293110705685
    return z ^ _right(z, 31)


def _right(z: Tensor, bits: int) -> Tensor:
    """Shift to the right, filling with zeros; on int64 alone the sign would fill."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
