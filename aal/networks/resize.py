"""Resizing of images as matrix products: unlike torch's own, deterministic on a GPU in its gradient too."""

import torch
from torch import Tensor, nn


def bilinear(size: int, bins: int, like: Tensor) -> Tensor:
    """Return the matrix ``(bins, size)`` that resizes a row of ``size`` pixels, of the dtype and device of ``like``.

    Between neighbours it is linear; where the row shrinks, the triangle grows with it, against aliasing. The same as
    ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)``.
    """
    scale = size / bins
    pixels = torch.arange(size, dtype=torch.float64, device=like.device) + 0.5
    centres = (torch.arange(bins, dtype=torch.float64, device=like.device)[:, None] + 0.5) * scale
    weights = (1 - (pixels - centres).abs() / max(scale, 1)).clamp_min(0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def area(size: int, bins: int, like: Tensor) -> Tensor:
    """Return the matrix ``(bins, size)`` that averages ``size`` pixels into bins, of the dtype and device of ``like``.

    The same as torch's adaptive average pooling.
    """
    pixel = torch.arange(size, device=like.device)
    index = torch.arange(bins, device=like.device)[:, None]
    first, end = index * size // bins, -((index + 1) * -size // bins)
    inside = ((pixel >= first) & (pixel < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images ``(B, C, H, W)`` to ``size``, height and width; those of that size are returned as they are."""
    height, width = x.shape[-2:]
    if height != size[0]:
        x = bilinear(height, size[0], x) @ x
    return x if width == size[1] else x @ bilinear(width, size[1], x).T


class AreaPool(nn.Module):
    """Adaptive average pooling to ``size``, height and width."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C, *size)``."""
        return area(x.shape[-2], self.size[0], x) @ x @ area(x.shape[-1], self.size[1], x).T
