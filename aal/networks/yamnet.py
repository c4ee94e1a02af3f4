"""YAMNet and its front end: from waveforms to 1,024 numbers, differentiable, so that waveforms can be attacked."""

import itertools
import math
from pathlib import Path
from typing import Literal

import safetensors
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.checks import refuse
from aal.networks.base import Backbone
from aal.networks.weights import load_weights

SAMPLE_RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms, and the next power of two
BANDS = 64
LOWEST, HIGHEST = 125.0, 7500.0  # Hz, the outer edges of the first and the last band
OFFSET = 0.001  # keeps the logarithm of silence finite
CLASSES = 521
PATCH, PATCH_HOP = 96, 48  # frames: 0.96 s, and every 0.48 s
SHORTEST = WINDOW + (PATCH - 1) * HOP
"""Samples that one patch takes; shorter clips are padded to this."""

LAYERS = ((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + ((512, 1),) * 5 + ((1024, 2), (1024, 1))
"""Channels that come out of each layer, and its stride."""


class LogMel(nn.Module):
    """YAMNet's front end: the logarithm of the short-time magnitude spectrum, summed in mel bands.

    Frames begin at sample 0 and are not centred, so a sample touches only the frames that contain it. The spectrum is
    the magnitude, not the power, and its gradient at digital silence is 0, not NaN.

    Source: ``features.py`` of YAMNet (Plakal and Ellis) in tensorflow/models, research/audioset/yamnet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Buffer(torch.hann_window(WINDOW, periodic=True, dtype=torch.float64).float(), persistent=False)
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


class YAMNet(Backbone):
    """A MobileNet on log-mel patches of 0.96 s, trained on AudioSet; batch norm is folded into the convolutions.

    Weights are named as in the weight file: ``layer1/conv``, ``layer2/depthwise``, ``layer2/pointwise`` to
    ``layer14/pointwise`` and ``logits``, each with ``/kernel`` and ``/bias``.

    Source: ``yamnet.py`` (Plakal and Ellis) in tensorflow/models, research/audioset/yamnet, after Howard et al.,
    "MobileNets", Table 1.

    Args:
        weights: Path of a weight file, such as ``scripts/convert_yamnet.py`` makes from the published ``yamnet.h5``, or
            ``"none"`` for random weights. Half precision becomes float32.
        activation: What follows every convolution; it belongs to the weights. ``None`` takes what the metadata of a
            safetensors file say under ``activation`` (the converter writes it), else ``"relu6"``, which the published
            quantised model has; the published Keras weights need ``"relu"``.

    Raises:
        UserError: The weight file is missing, damaged, of another network or not converted, or its metadata name
            another activation than ``activation``.

    Attributes:
        sample_rate: Samples a second of what it was trained to hear, in Hz.
    """

    feature_size = LAYERS[-1][0]
    sample_rate = SAMPLE_RATE

    def __init__(self, weights: str, activation: Literal["relu6", "relu"] | None = None) -> None:
        super().__init__()
        self.log_mel = LogMel()
        for name, shape in shapes().items():
            self.register_parameter(f"{name}/kernel", nn.Parameter(torch.empty(shape)))
            self.register_parameter(f"{name}/bias", nn.Parameter(torch.empty(shape[0])))
        refuse(
            weights == "published" or weights.endswith(".h5"),
            "weights: YAMNet's weights are published for Keras alone; download "
            "https://storage.googleapis.com/audioset/yamnet.h5 (of tensorflow/models), run "
            "python scripts/convert_yamnet.py yamnet.h5 yamnet.safetensors, and name that file here",
        )
        if weights == "none":
            self.reset_parameters()
        else:
            load_weights(self, weights)
        self.activation = _activation_of(Path(weights), activation)

    def reset_parameters(self) -> None:
        """Draw random kernels that keep the size of what passes through them; biases are 0."""
        for name in shapes():
            nn.init.kaiming_normal_(self.get_parameter(f"{name}/kernel"), nonlinearity="relu")
            nn.init.zeros_(self.get_parameter(f"{name}/bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Map waveforms ``(B, T)`` in [-1, 1] at 16 kHz to embeddings ``(B, 1024)``, the mean of their patches'.

        Zeros are appended until the clip ends with a patch: up to 15,600 samples, or 7,680 more for each further one.

        Raises:
            UserError: Samples are no waveforms.
        """
        return self._embed(x).mean(1)

    def scores(self, x: Tensor) -> Tensor:
        """Map waveforms ``(B, T)`` to the scores ``(B, 521)`` of AudioSet's classes in [0, 1], the mean over patches.

        Raises:
            UserError: Samples are no waveforms.
        """
        logits = F.linear(self._embed(x), self.get_parameter("logits/kernel"), self.get_parameter("logits/bias"))
        return logits.sigmoid().mean(1)

    def _embed(self, x: Tensor) -> Tensor:
        """Map waveforms ``(B, T)`` to the embeddings ``(B, P, 1024)`` of their P patches."""
        refuse(
            x.ndim != 2 or not x.is_floating_point(),
            f"YAMNet takes waveforms (B, T) of floats, not {x.dtype} of shape {tuple(x.shape)}",
        )
        further = max(0, -((SHORTEST - x.shape[1]) // (PATCH_HOP * HOP)))
        log_mel: Tensor = self.log_mel(F.pad(x, (0, SHORTEST + further * PATCH_HOP * HOP - x.shape[1])))
        patches = log_mel.unfold(1, PATCH, PATCH_HOP).transpose(2, 3)  # (B, P, 96, 64)
        features = self._convolve("layer1/conv", patches.flatten(0, 1)[:, None], LAYERS[0][1])
        for layer, (_, stride) in enumerate(LAYERS[1:], start=2):
            features = self._convolve(f"layer{layer}/depthwise", features, stride)
            features = self._convolve(f"layer{layer}/pointwise", features)
        return features.mean((2, 3)).view(len(x), further + 1, self.feature_size)

    def _convolve(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        """Convolve ``(N, C, H, W)`` and rectify."""
        kernel = self.get_parameter(f"{name}/kernel")
        if stride == 2:  # TensorFlow's "same" of an even size: nothing before, one after
            x = F.pad(x, (0, 1, 0, 1))
        padding = kernel.shape[-1] // 2 if stride == 1 else 0
        x = F.conv2d(
            x, kernel, self.get_parameter(f"{name}/bias"), stride, padding, groups=x.shape[1] // kernel.shape[1]
        )
        return F.relu6(x) if self.activation == "relu6" else F.relu(x)


def shapes() -> dict[str, tuple[int, ...]]:
    """Return every kernel's shape by the name of its layer: (out, in, time, mel), the last (classes, features)."""
    found: dict[str, tuple[int, ...]] = {"layer1/conv": (LAYERS[0][0], 1, 3, 3)}
    for layer, ((inputs, _), (outputs, _)) in enumerate(itertools.pairwise(LAYERS), start=2):
        found[f"layer{layer}/depthwise"] = (inputs, 1, 3, 3)
        found[f"layer{layer}/pointwise"] = (outputs, inputs, 1, 1)
    found["logits"] = (CLASSES, LAYERS[-1][0])
    return found


def _activation_of(path: Path, wanted: Literal["relu6", "relu"] | None) -> str:
    """Return the activation that goes with the weights, which a file that was loaded may name."""
    if path.suffix != ".safetensors":
        return wanted or "relu6"
    with safetensors.safe_open(path, "pt") as file:
        found = (file.metadata() or {}).get("activation")
    refuse(
        found not in (None, "relu6", "relu"),
        f"{path}: its metadata name the activation {found!r}, which is neither relu6 nor relu",
    )
    refuse(
        wanted and found and wanted != found,
        f"activation: {wanted}, but the metadata of {path} say {found}: leave it out",
    )
    return wanted or found or "relu6"
