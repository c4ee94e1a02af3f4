"""Directions that are looked up: as good as drawn ones, the same for the same seed and draw."""

import torch

from aal.attacks.noise_table import NoiseTable


def test_they_are_standard_normal_and_their_scales_make_them_of_length_one() -> None:
    x = torch.zeros(50, 3, 4, dtype=torch.float64)
    u, scale = NoiseTable(x).directions(torch.arange(50), 0, 400)
    assert u.shape == (50, 400, 3, 4)
    flat = u.view(-1, 12)
    torch.testing.assert_close(flat.T.cov(), torch.eye(12, dtype=torch.float64), rtol=0, atol=0.05)
    assert flat.mean(0).abs().max() < 0.04
    ways = scale.view(-1, 1) * flat
    torch.testing.assert_close(ways.norm(dim=1), torch.ones(len(ways), dtype=torch.float64))
    assert abs(float((scale > 0).double().mean()) - 0.5) < 0.02


def test_those_of_one_estimate_have_nothing_in_common() -> None:
    """Inner products are as large as those of random directions; hardly any two of 800 begin at the same place."""
    table = NoiseTable(torch.zeros(2, 784))
    parts = [table.directions(torch.tensor(seeds), draw, 200) for seeds, draw in (([0, 1], 0), ([0, 1], 1))]
    ways = torch.cat([(u * scale[:, :, None]).flatten(0, 1) for u, scale in parts])
    products = (ways @ ways.T)[~torch.eye(len(ways), dtype=torch.bool)]
    assert abs(float(products.std()) * 28 - 1) < 0.02
    assert (products.abs() > 0.25).double().mean() < 1e-5


def test_a_sample_has_the_same_alone_and_in_either_precision() -> None:
    double, single = NoiseTable(torch.zeros(1, 5, dtype=torch.float64)), NoiseTable(torch.zeros(1, 5))
    u, scale = double.directions(torch.tensor([3, 8]), 7, 4)
    alone, of = double.directions(torch.tensor([8]), 7, 4)
    assert torch.equal(alone[0], u[1])
    assert torch.equal(of[0], scale[1])
    assert torch.equal(single.directions(torch.tensor([8]), 7, 4)[0][0], u[1].float())
