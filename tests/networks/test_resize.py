"""Resizing as matrix products: the same as torch's, forwards and backwards."""

import pytest
import torch
from torch.nn import functional as F

from aal.networks.resize import AreaPool, resized

SIZES = [(8, 8), (96, 96), (5, 7), (224, 31), (1, 1), (64, 33)]


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("old", [(32, 32), (96, 50), (1, 4)])
def test_it_is_bilinear_with_antialiasing(old: tuple[int, int], size: tuple[int, int]) -> None:
    x = images(*old).requires_grad_()
    ours, theirs = resized(x, size), F.interpolate(x, size, mode="bilinear", antialias=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    weight = torch.rand(ours.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((ours * weight).sum(), x)
    (wanted,) = torch.autograd.grad((theirs * weight).sum(), x)
    torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-5)


def test_an_image_of_that_size_stays_as_it_is() -> None:
    x = images(9, 12)
    assert resized(x, (9, 12)) is x
    assert resized(x.double(), (4, 4)).dtype == torch.float64


@pytest.mark.parametrize("size", [(7, 7), (6, 6), (3, 5), (1, 1)])
def test_pooling_by_area_is_adaptive_pooling(size: tuple[int, int]) -> None:
    for height, width in [(13, 9), (2, 3), (7, 7)]:
        x = images(height, width)
        torch.testing.assert_close(AreaPool(size)(x), F.adaptive_avg_pool2d(x, size), rtol=0, atol=1e-6)
