"""Gaussian noise: its moments, its bounds, and what it depends on."""

import math

import pytest
import torch
import yaml
from torch import Tensor, nn

from aal.attacks import GaussianNoise
from aal.errors import UserError
from aal.poisons.distortion import psnr
from tests.commands import ROOT

WIDE = (-math.inf, math.inf)


class Sum(nn.Module):
    """Class 1 where the sum is above 0."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


def zeros(n: int, *shape: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(n, *shape, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)


def test_the_noise_has_the_mean_variance_and_shape_of_a_normal_distribution() -> None:
    x, y = zeros(500, 2, 10, 10)
    x += 3
    noise = GaussianNoise(variance=0.3)(Sum(), x, y, bounds=WIDE).x - x
    assert noise.mean().abs() < 5 * math.sqrt(0.3 / noise.numel())
    assert noise.var().item() == pytest.approx(0.3, rel=5 * math.sqrt(2 / noise.numel()))
    assert (noise / math.sqrt(0.3)).pow(4).mean().item() == pytest.approx(3, rel=0.06)
    assert (noise.abs() < math.sqrt(0.3)).double().mean().item() == pytest.approx(0.6827, abs=0.01)
    neighbours = noise.flatten(1)
    assert (neighbours[:, 1:] * neighbours[:, :-1]).mean().abs() < 0.01, "elements are independent"
    assert (noise[1:] * noise[:-1]).mean().abs() < 0.01, "and so are samples"


def test_elements_are_clipped_to_the_bounds() -> None:
    x, y = zeros(200, 10)
    result = GaussianNoise(variance=1.0)(Sum(), x, y, bounds=(0.0, 0.5))
    at = [(result.x == end).double().mean().item() for end in (0.0, 0.5)]
    assert at == pytest.approx([0.5, 0.3085], abs=0.04)  # the normal distribution below 0, and above 0.5


def test_the_papers_noise_is_subtle() -> None:
    """Its variance of 0.3 is of pixels from 0 to 255: 10 log10(255^2 / 0.3) = 53.4 dB, in the configurations too."""
    x = torch.rand(20, 3, 32, 32, dtype=torch.float64)
    for attack in (GaussianNoise(), *shipped()):
        copies = attack(Sum(), x, torch.ones(20, dtype=torch.int64)).x
        assert psnr(copies, x, (0.0, 1.0)).mean().item() == pytest.approx(53.4, abs=0.1)
        assert ((copies == 0) | (copies == 1)).double().mean() < 0.005, "next to nothing is clipped"


def shipped() -> list[GaussianNoise]:
    """Return the noise of all configurations of retraining."""
    texts = [yaml.safe_load(path.read_text()) for path in (ROOT / "configs" / "retraining").glob("*.yaml")]
    attacks = [attack for text in texts for attack in text["retraining"]["init_args"]["attacks"].values()]
    found = [GaussianNoise(**attack["init_args"]) for attack in attacks if attack["class_path"] == "GaussianNoise"]
    assert len(found) == 3
    return found


def test_no_variance_changes_nothing() -> None:
    x, y = zeros(5, 3)
    x += torch.tensor([0.1, 1 / 3, 1.0])
    result = GaussianNoise(variance=0.0)(Sum(), x, y)
    assert torch.equal(result.x, x)
    assert (result.distance == 0).all()


def test_success_and_distance_are_those_of_the_noisy_sample() -> None:
    x, y = zeros(300, 4)
    result = GaussianNoise(variance=0.01)(Sum(), x, y, bounds=(-1.0, 1.0))
    assert torch.equal(result.success, result.x.sum(1) > 0)
    assert 100 < result.success.sum() < 200
    torch.testing.assert_close(result.distance, result.x.norm(dim=1))
    assert (result.queries == 1).all()
    aimed = GaussianNoise(variance=0.01)(Sum(), x, y, target=torch.ones_like(y), bounds=(-1.0, 1.0))
    assert torch.equal(aimed.x, result.x)
    assert torch.equal(aimed.success, result.success)


def test_another_seed_is_another_noise() -> None:
    x, y = zeros(2, 4)
    first, second = (GaussianNoise()(Sum(), x, y, bounds=WIDE, seeds=torch.tensor([7, k])).x for k in (8, 9))
    assert torch.equal(first[0], second[0])
    assert not (first[1] == second[1]).any()


def test_a_negative_variance_is_refused() -> None:
    with pytest.raises(UserError, match="variance"):
        GaussianNoise(variance=-0.1)
