"""How far a changed sample is from the original, in figures that a person can judge: PSNR of images, SNR of sound."""

import math

from torch import Tensor

from aal.data.samples import AudioSamples, ImageSamples, Samples

RATIOS = ("psnr", "snr")
"""The figures that a sample may not have: nothing was changed, or the original is silent."""


def psnr(x: Tensor, original: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return the peak signal-to-noise ratio, ``20 log10(high - low) - 10 log10(mean((x - original)^2))``.

    Args:
        x: Changed samples ``(B, ...)``.
        original: What they were ``(B, ...)``.
        bounds: Lowest and highest value that a sample may have.

    Returns:
        Decibels, float64 ``(B,)``; infinite where nothing was changed.
    """
    low, high = bounds
    return 10 * ((high - low) ** 2 / (x.double() - original.double()).flatten(1).square().mean(1)).log10()


def snr(x: Tensor, original: Tensor) -> Tensor:
    """Return the signal-to-noise ratio, ``10 log10(sum(original^2) / sum((x - original)^2))``.

    Args:
        x: Changed samples ``(B, ...)``.
        original: What they were ``(B, ...)``.

    Returns:
        Decibels, float64 ``(B,)``; infinite where nothing was changed; minus infinite where the original is silent, or
        NaN where nothing was changed in it either.
    """
    change = (x.double() - original.double()).flatten(1).square().sum(1)
    return 10 * (original.double().flatten(1).square().sum(1) / change).log10()


def figures_of(samples: Samples) -> tuple[str, ...]:
    """Return the names of the figures that :func:`distortion` has for samples of a kind."""
    ratio = ("psnr",) if isinstance(samples, ImageSamples) else ("snr",) if isinstance(samples, AudioSamples) else ()
    return ("perturbation_l2", "perturbation_linf", *ratio)


def distortion(samples: Samples, x: Tensor, original: Tensor) -> dict[str, Tensor]:
    """Return every figure of a change by its name.

    Args:
        samples: Tells the kind of the samples, and their bounds.
        x: Changed samples ``(B, ...)``.
        original: What they were ``(B, ...)``.

    Returns:
        ``perturbation_l2`` and ``perturbation_linf``, norms of the difference in the samples' own units, and the
        ``psnr`` of images or the ``snr`` of sound in decibels, NaN where that is not a number; each float64 ``(B,)``.
    """
    change = (x.double() - original.double()).flatten(1)
    found = {"perturbation_l2": change.norm(dim=1), "perturbation_linf": change.abs().amax(1)}
    for name in figures_of(samples):
        if name in RATIOS:
            ratio = psnr(x, original, samples.bounds) if name == "psnr" else snr(x, original)
            found[name] = ratio.where(ratio.isfinite(), math.nan)
    return found
