"""Distortion against values worked out by hand."""

import math

import pytest
import torch

from aal.data.samples import AudioSamples, ImageSamples, Samples, TensorSamples
from aal.poisons.distortion import distortion, figures_of, psnr, snr

IMAGES, SOUND, TENSORS = (
    ImageSamples(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)),
    AudioSamples(torch.zeros(1, 4, dtype=torch.int16), 8000),
    TensorSamples(torch.zeros(1, 4)),
)


def test_psnr_is_the_published_definition() -> None:
    base = torch.zeros(3, 1, 2, 2)
    x = base.clone()
    x[0] = 0.1  # mse 0.01: 20 dB
    x[1, 0, 0, 0] = 0.2  # mse 0.04 / 4: 20 dB too
    x[2] = 1.0  # as wrong as can be: 0 dB
    assert psnr(x, base, (0.0, 1.0)).tolist() == pytest.approx([20, 20, 0], abs=1e-6)
    assert psnr(255 * x, 255 * base, (0.0, 255.0)).tolist() == pytest.approx([20, 20, 0], abs=1e-6)
    assert psnr(x, base, (-1.0, 1.0)).tolist() == pytest.approx([20 + 20 * math.log10(2)] * 2 + [6.0206], abs=1e-4)


def test_snr_is_the_published_definition() -> None:
    base = torch.tensor([[0.3, -0.4, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.5, 0, 0, 0]])
    x = base + torch.tensor([[0, 0, 0.03, 0.04], [0.5, -0.5, 0.5, -0.5], [0, 0, 0, 1.0]])
    # power ratios 0.25 / 0.0025 = 100, 1 / 1, 0.25 / 1
    assert snr(x, base).tolist() == pytest.approx([20, 0, 10 * math.log10(0.25)], abs=1e-5)
    assert snr(2**15 * x, 2**15 * base).tolist() == pytest.approx(snr(x, base).tolist(), abs=1e-5), "no unit"


def test_no_change_is_infinitely_good_and_silence_has_no_ratio() -> None:
    base = torch.tensor([[0.5, -0.5], [0.0, 0.0], [0.0, 0.0]])
    x = base.clone()
    x[1, 0] = 0.25
    assert psnr(x, base, (-1.0, 1.0))[0] == math.inf
    ratios = snr(x, base)
    assert ratios[0] == math.inf
    assert not ratios[1:].isfinite().any()


def test_norms_are_of_each_samples_own_difference() -> None:
    base = torch.zeros(2, 1, 2, 2)
    x = torch.tensor([[0.3, -0.4, 0, 0], [0, 0, 0, 1]]).reshape(2, 1, 2, 2)
    figures = distortion(IMAGES, x, base)
    assert figures["perturbation_l2"].tolist() == pytest.approx([0.5, 1])
    assert figures["perturbation_linf"].tolist() == pytest.approx([0.4, 1])
    assert figures["psnr"].tolist() == pytest.approx([10 * math.log10(4 / 0.25), 10 * math.log10(4)])


def test_images_have_psnr_sound_has_snr_and_other_tensors_have_neither() -> None:
    x, base = torch.full((1, 4), 0.75), torch.full((1, 4), 0.5)
    norms = ("perturbation_l2", "perturbation_linf")
    for samples, names in ((IMAGES, (*norms, "psnr")), (SOUND, (*norms, "snr")), (TENSORS, norms)):
        assert tuple(distortion(samples, x, base)) == figures_of(samples) == names
    assert distortion(SOUND, x, base)["snr"].tolist() == pytest.approx([10 * math.log10(4)])


@pytest.mark.parametrize(("samples", "name"), [(IMAGES, "psnr"), (SOUND, "snr")])
def test_a_ratio_that_is_no_number_is_nan(samples: Samples, name: str) -> None:
    base = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]])
    x = base.clone()
    x[2, 0] = 0.5
    ratios = distortion(samples, x, base)[name]
    assert ratios[:2].isnan().all(), "nothing was changed"
    assert ratios[2].isnan() == (name == "snr"), "the original is silent"
