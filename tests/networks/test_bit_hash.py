"""Inputs hashed to bits: the paper's function, element by element, and what it does to gradients."""

import math

import pytest
import torch

from aal.attacks import PGD
from aal.errors import UserError
from aal.networks import BitHash, HashedMLP


def listing(x: float, bits: int) -> str:
    """The paper's Listing A.1."""
    return format(math.floor(x * 2**bits) % 941, f"0{bits}b")


@pytest.mark.parametrize("bits", [10, 13])
def test_every_element_is_hashed_as_in_the_paper(bits: int) -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 20
    x[0] = torch.tensor([0.0, -0.0, -1 / 2**14])
    hashed = BitHash(bits)(x)
    assert hashed.shape == (50, 3 * bits)
    assert hashed.dtype == torch.float32
    for row, sample in zip(hashed.tolist(), x.tolist(), strict=True):
        assert "".join(str(int(bit)) for bit in row) == "".join(listing(value, bits) for value in sample)


def test_neighbours_are_torn_apart() -> None:
    x = torch.tensor([[0.5], [0.5 + 2**-10], [0.5 + 2**-12]])
    first, next_cell, same_cell = BitHash(10)(x)
    assert not torch.equal(first, next_cell)
    assert torch.equal(first, same_cell)


def test_no_gradient_passes_so_an_attack_stays_where_it_starts() -> None:
    torch.manual_seed(0)
    network = HashedMLP((2,), 2, widths=(8,))
    x = torch.randn(20, 2)
    y = network(x).argmax(1)
    still = PGD(radius=0.5, random_start=False)(network, x, y, bounds=(-math.inf, math.inf))
    assert torch.equal(still.x, x)
    assert not still.success.any()
    random = PGD(radius=0.5, restarts=20)(network, x, y, bounds=(-math.inf, math.inf))
    assert random.success.any(), "random starts are all that is left"


def test_the_network_sees_bits_and_too_few_are_refused() -> None:
    network = HashedMLP((2,), 3, bits=12, widths=(7, 5))
    sizes = [tuple(parameter.shape) for name, parameter in network.named_parameters() if name.endswith("weight")]
    assert sizes == [(7, 24), (5, 7), (3, 5)]
    with pytest.raises(UserError, match=r"^bits: must be at least 10, got 9$"):
        HashedMLP((2,), 3, bits=9)
