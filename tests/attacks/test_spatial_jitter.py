"""Spatial jitter: rotations against ``rot90``, sizes and colours in closed form, and what is drawn."""

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import SpatialJitter
from aal.attacks.disturbances import moved
from aal.errors import UserError
from aal.seeds import generator

STILL = {"degrees": 0.0, "scale": 0.0, "saturation": 0.0, "contrast": 0.0, "brightness": 0.0}
WIDE = (-10.0, 10.0)


class Bright(nn.Module):
    """Class 1 where the mean is above 0.5."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).mean(1) - 0.5


def images(n: int = 8, channels: int = 3, height: int = 9, width: int = 9) -> Tensor:
    return torch.rand(n, channels, height, width, generator=generator(0, "images"), dtype=torch.float64)


def jittered(x: Tensor, bounds: tuple[float, float] = WIDE, **sizes: float) -> tuple[Tensor, dict[str, Tensor]]:
    result = SpatialJitter(**{**STILL, **sizes})(Bright(), x, torch.zeros(len(x), dtype=torch.int64), bounds=bounds)
    return result.x, result.info


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bump(height: int, width: int, spread: float) -> Tensor:
    """A round bump in the middle ``(1, 1, height, width)``, ``spread`` pixels wide."""
    down, right = torch.arange(height).double() - (height - 1) / 2, torch.arange(width).double() - (width - 1) / 2
    return torch.exp(-(down[:, None] ** 2 + right**2) / (2 * spread**2))[None, None]


class TestMoved:
    @pytest.mark.parametrize("size", [8, 9])
    def test_quarter_turns_are_those_of_rot90(self, size: int) -> None:
        x = images(3, 2, size, size)
        found = moved(x, numbers(90, 180, -90), numbers(1, 1, 1))
        for k, turns in enumerate((1, 2, 3)):
            torch.testing.assert_close(found[k], torch.rot90(x[k], turns, dims=(1, 2)))

    def test_half_a_turn_of_an_oblong_image_flips_it_twice(self) -> None:
        x = images(1, 1, 5, 8)
        torch.testing.assert_close(moved(x, numbers(180), numbers(1)), x.flip(2, 3))

    def test_what_is_round_stays_round_in_an_oblong_image(self) -> None:
        x = bump(31, 61, spread=4)
        torch.testing.assert_close(moved(x, numbers(40), numbers(1)), x, rtol=0, atol=0.02)

    def test_a_factor_enlarges_about_the_middle(self) -> None:
        found = moved(bump(41, 41, spread=4).repeat(2, 1, 1, 1), numbers(0, 0), numbers(1.5, 0.5))
        for image, spread in zip(found, (6, 2), strict=True):
            torch.testing.assert_close(image[None], bump(41, 41, spread), rtol=0, atol=0.03)

    def test_what_comes_in_repeats_the_border(self) -> None:
        x = torch.full((1, 1, 6, 6), 0.7, dtype=torch.float64)
        torch.testing.assert_close(moved(x, numbers(45), numbers(0.5)), x)


class TestColours:
    def test_brightness_adds_the_same_to_every_element(self) -> None:
        x = images(24)
        found, info = jittered(x, brightness=0.4)
        shift = (found - x).flatten(1)
        torch.testing.assert_close(shift, info["brightness"][:, None].expand_as(shift))
        assert (shift.abs() <= 0.4).all()
        assert shift.min() < -0.2
        assert shift.max() > 0.2

    def test_contrast_stretches_each_channel_about_its_mean(self) -> None:
        x = images()
        found, info = jittered(x, contrast=0.5)
        torch.testing.assert_close(found.mean((2, 3)), x.mean((2, 3)))
        stretch = found.std((2, 3)) / x.std((2, 3))
        torch.testing.assert_close(stretch, (1 + info["contrast"])[:, None].expand_as(stretch))
        assert ((stretch >= 0.5) & (stretch <= 1.5)).all()
        assert stretch.std() > 0.1

    def test_saturation_stretches_each_pixel_about_its_gray(self) -> None:
        x = images()
        found, info = jittered(x, saturation=0.5)
        torch.testing.assert_close(found.mean(1), x.mean(1))
        stretch = found.std(1) / x.std(1)
        torch.testing.assert_close(stretch, (1 + info["saturation"])[:, None, None].expand_as(stretch))
        assert stretch.std() > 0.1
        gray = images(channels=1)
        assert torch.equal(jittered(gray, saturation=0.5)[0], gray)


def test_nothing_to_change_changes_nothing() -> None:
    x = images() / 3
    assert torch.equal(jittered(x)[0], x)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_turned_and_scaled_as_far_as_was_drawn(channels: int) -> None:
    x = images(16, channels)
    found, info = jittered(x, degrees=90.0, scale=0.5)
    torch.testing.assert_close(found, moved(x, info["degrees"], 1 + info["scale"]))
    for name, most in (("degrees", 90.0), ("scale", 0.5)):
        assert (info[name].abs() <= most).all()
        assert info[name].min() < -most / 4
        assert info[name].max() > most / 4
        assert len(info[name].unique()) == 16


def test_results_are_clipped_and_judged_as_they_are() -> None:
    x = images(64)
    result = SpatialJitter(brightness=0.5)(Bright(), x, torch.zeros(64, dtype=torch.int64))
    assert ((result.x >= 0) & (result.x <= 1)).all()
    assert (result.x == 0).any()
    assert torch.equal(result.success, result.x.flatten(1).mean(1) > 0.5)
    assert 0 < result.success.sum() < 64
    torch.testing.assert_close(result.distance, (result.x - x).flatten(1).norm(dim=1))
    assert (result.queries == 1).all()


def test_only_images_can_be_jittered() -> None:
    with pytest.raises(UserError, match=r"images \(C, H, W\), not samples of shape \(12,\)"):
        SpatialJitter()(Bright(), torch.rand(4, 12), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize(
    "wrong", [{"degrees": 181}, {"scale": 1}, {"saturation": -1}, {"contrast": 2}, {"brightness": -1}]
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        SpatialJitter(**wrong)
