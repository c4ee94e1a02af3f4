"""YAMNet's front end: from a waveform to the logarithms of its energies in 64 mel bands, differentiable."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms, and the next power of two
BANDS = 64
LOWEST, HIGHEST = 125.0, 7500.0  # Hz, the outer edges of the first and the last band
OFFSET = 0.001  # keeps the logarithm of silence finite


class LogMel(nn.Module):
    """The logarithm of the short-time magnitude spectrum, summed in mel bands.

    Frames begin at sample 0 and are not centred, so a sample touches only the frames that contain it. The spectrum is
    the magnitude, not the power, and its gradient at digital silence is 0, not NaN.

    Source: ``features.py`` of YAMNet (Plakal and Ellis) in tensorflow/models, research/audioset/yamnet.
    """

    def __init__(self) -> None:
        super().__init__()
        hann = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64)
        self.window = nn.Buffer(hann.float(), persistent=False)
        self.bands = nn.Buffer(mel_bands().float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map waveforms ``(B, T)`` in [-1, 1] at 16 kHz, T at least 400, to ``(B, F, 64)``, F = (T - 400) // 160 + 1.

        Values are ``log(mel + 0.001)``; samples after the last whole frame are not used.
        """
        frames = x.unfold(-1, WINDOW, HOP) * self.window
        if not len(x):  # MKL's FFT refuses an empty batch
            return frames.new_zeros(*frames.shape[:-1], BANDS)
        magnitude = torch.fft.rfft(frames, FFT).abs()  # of a complex number: sqrt(re**2 + im**2) has no gradient at 0
        return torch.log(magnitude @ self.bands + OFFSET)


def mel_bands() -> Tensor:
    """Return the weights ``(257, 64)``, float64, of the FFT's bins in the mel bands: triangles that are linear in mel.

    A triangle rises from 0 at its lower neighbour's peak to 1 at its own and falls to 0 at its upper neighbour's. The
    peaks and the two outer edges are equally spaced in mel. Bin 0, the constant part, is in no band.
    """
    bins = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)[1:]
    edges = torch.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2, dtype=torch.float64)
    position = (1127 * (bins / 700).log1p())[:, None]
    lower, peak, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (position - lower) / (peak - lower), (upper - position) / (upper - peak)
    return F.pad(torch.minimum(rising, falling).clamp_min(0), (0, 0, 1, 0))


def mel(frequency: float) -> float:
    """Return the mel of a frequency in Hz."""
    return 1127 * math.log1p(frequency / 700)
