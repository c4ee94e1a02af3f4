"""Samples are what a save and a reload leaves of them."""

from pathlib import Path

import pytest
import torch

from aal.data.samples import AudioSamples, ImageSamples, TensorSamples
from aal.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_8_bit(tmp_path: Path, channels: int) -> None:
    samples = ImageSamples(torch.zeros(0, channels, 5, 4, dtype=torch.uint8))
    x = torch.rand(channels, 5, 4, generator=torch.Generator().manual_seed(0))
    samples.write(tmp_path / "x.png", x)
    back = samples.read(tmp_path / "x.png")
    assert (back - x).abs().max() <= 0.5 / 255 + 1e-6
    assert not torch.equal(back, x), "nothing was rounded"
    samples.append(back[None])
    assert torch.equal(samples[torch.tensor([0])][0], back), "rounded a second time"


def test_tensors_are_saved_without_loss(tmp_path: Path) -> None:
    samples = TensorSamples(torch.zeros(0, 7), bounds=(-1.0, 1.0))
    x = torch.randn(7, generator=torch.Generator().manual_seed(0))
    samples.write(tmp_path / "x.safetensors", x)
    samples.append(samples.read(tmp_path / "x.safetensors")[None])
    assert torch.equal(samples[torch.tensor([0])][0], x)


def test_audio_is_16_bit(tmp_path: Path) -> None:
    samples = AudioSamples(torch.zeros(0, 100, dtype=torch.int16), sample_rate=16_000)
    x = torch.rand(100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[:2] = torch.tensor([1.0, -1.0])
    samples.write(tmp_path / "x.wav", x)
    back = samples.read(tmp_path / "x.wav")
    assert (back[1:] - x[1:]).abs().max() <= 0.5 / 2**15 + 1e-7
    assert back[:2].tolist() == [1 - 2**-15, -1.0]
    assert not torch.equal(back[1:], x[1:]), "nothing was rounded"
    samples.append(back[None])
    assert torch.equal(samples[torch.tensor([0])][0], back), "rounded a second time"
    with pytest.raises(UserError, match=r"x\.wav: not a whole 16-bit mono WAV of 8000 Hz"):
        AudioSamples(samples.stored, sample_rate=8000).read(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:-10])
    with pytest.raises(UserError, match=r"x\.wav: not a whole"):
        samples.read(tmp_path / "x.wav")


def test_a_bad_image_is_named(tmp_path: Path) -> None:
    samples = ImageSamples(torch.zeros(0, 1, 5, 4, dtype=torch.uint8))
    (tmp_path / "x.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"x\.png: not a whole PNG"):
        samples.read(tmp_path / "x.png")
    samples.write(tmp_path / "z.png", torch.rand(1, 5, 4))
    (tmp_path / "z.png").write_bytes((tmp_path / "z.png").read_bytes()[:-40])
    with pytest.raises(UserError, match=r"z\.png: not a whole PNG"):
        samples.read(tmp_path / "z.png")
    with pytest.raises(UserError, match=r"y\.png: no such file"):
        samples.read(tmp_path / "y.png")
