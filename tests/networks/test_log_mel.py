"""The front end of YAMNet against closed forms and a reference written from the description of the published one."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from aal.networks.yamnet import LogMel, mel_bands

Array = NDArray[np.float64]


def mel(frequency: float) -> float:
    return 1127 * math.log(1 + frequency / 700)


def weight(band: int, bin_: int) -> float:
    """Return how much of an FFT bin is in a band: triangles linear in mel from 125 to 7500 Hz, bin 0 in none."""
    step = (mel(7500) - mel(125)) / 65
    distance = abs(mel(bin_ * 16_000 / 512) - (mel(125) + (band + 1) * step))
    return 0.0 if bin_ == 0 else max(0.0, 1 - distance / step)


WEIGHTS = np.array([[weight(band, bin_) for band in range(64)] for bin_ in range(257)])


def reference(x: Array) -> Array:
    """Return the log-mel frames ``(F, 64)`` of one waveform, frame by frame."""
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)]
    rows = []
    for start in range(0, len(x) - 399, 160):
        spectrum = np.fft.rfft(np.concatenate([x[start : start + 400] * hann, np.zeros(112)]))
        rows.append(np.log(np.abs(spectrum) @ WEIGHTS + 0.001))
    return np.array(rows)


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def tone(frequency: float, amplitude: float = 0.5) -> Tensor:
    return amplitude * torch.sin(2 * math.pi * frequency * torch.arange(1600, dtype=torch.float64) / 16_000)[None]


def test_it_is_what_the_published_front_end_is_said_to_be() -> None:
    x = noise(3, 2000) * torch.tensor([[1.0], [1e-2], [1e-5]])  # the last is all but lost in the offset
    wanted = torch.tensor(np.stack([reference(clip.numpy()) for clip in x]))
    assert wanted.shape == (3, 11, 64)
    torch.testing.assert_close(LogMel().double()(x), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(LogMel()(x.float()).double(), wanted, rtol=0, atol=1e-4)


def test_the_bands_are_triangles_in_mel_without_the_constant_part() -> None:
    torch.testing.assert_close(mel_bands(), torch.tensor(WEIGHTS), rtol=0, atol=1e-12)
    assert (mel_bands()[0] == 0).all()
    inside = torch.arange(257) * 31.25
    inside = (inside > 180) & (inside < 7200)  # between the first and the last peak two triangles always add up to 1
    torch.testing.assert_close(mel_bands().sum(1)[inside], torch.ones(int(inside.sum()), dtype=torch.float64))


def test_a_tone_lands_in_its_mel_band() -> None:
    step = (mel(7500) - mel(125)) / 65
    peaks = [700 * math.expm1((mel(125) + (band + 1) * step) / 1127) for band in range(64)]
    x = torch.cat([tone(peak) for peak in peaks])
    loudest = LogMel().double()(x).mean(1).argmax(1)
    bands = torch.arange(64)
    # Below 600 Hz a band holds one bin or two of the FFT, so a neighbour may hold the nearest one.
    assert ((loudest - bands).abs() <= (bands < 9)).all(), loudest - bands
    assert (loudest == bands).float().mean() > 0.9


def test_twice_as_loud_is_log_2_more() -> None:
    log_mel, x = LogMel().double(), noise(2, 1600)
    more = log_mel(x) - log_mel(x / 2)
    mean = log_mel(x / 2).exp() - 0.001
    torch.testing.assert_close(more, torch.log((2 * mean + 0.001) / (mean + 0.001)), rtol=0, atol=1e-9)
    torch.testing.assert_close(more, torch.full_like(more, math.log(2)), rtol=0, atol=1e-2)  # magnitude, not power


@pytest.mark.parametrize("sample", [0, 1, 159, 160, 399, 400, 777, 1999])
def test_an_impulse_touches_the_frames_that_contain_it_and_no_others(sample: int) -> None:
    # Its spectrum is flat, as high as the window is where it lies.
    x = torch.zeros(1, 2000, dtype=torch.float64)
    x[0, sample] = 0.7
    places = [sample - 160 * frame for frame in range(11)]
    heights = [0.5 - 0.5 * math.cos(2 * math.pi * place / 400) if 0 <= place < 400 else 0.0 for place in places]
    wanted = np.log(0.7 * np.outer(heights, WEIGHTS.sum(0)) + 0.001)
    torch.testing.assert_close(LogMel().double()(x)[0], torch.tensor(wanted), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silence_is_the_offset_and_has_a_gradient(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 1600, dtype=dtype, requires_grad=True)
    frames = LogMel().to(dtype)(x)
    assert torch.equal(frames, torch.full((2, 8, 64), 0.001, dtype=dtype).log())
    frames.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("value", [1.0, -1.0, 1 / 2**15])
def test_a_constant_has_a_finite_gradient(value: float) -> None:
    x = torch.full((1, 1600), value, requires_grad=True)
    LogMel()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_gradient_is_that_of_finite_differences() -> None:
    x = noise(2, 600).requires_grad_()
    assert torch.autograd.gradcheck(LogMel().double(), x)


def test_samples_after_the_last_whole_frame_are_not_used() -> None:
    log_mel, x = LogMel().double(), noise(1, 719)
    assert log_mel(x).shape == (1, 2, 64)
    assert torch.equal(log_mel(x[:, :560]), log_mel(x))
