"""Disturbances, attacks of no cost that ask the model only whether it was fooled: Gaussian noise, spatial jitter."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from aal.attacks.base import FROM_0, Adversarial, Attack, Task, column
from aal.attacks.draws import normal, uniform
from aal.attacks.norms import NORMS
from aal.checks import between, probability, refuse


@dataclass(frozen=True, kw_only=True)
class GaussianNoise(Attack):
    """Add independent normal noise of mean 0 to every element, then clip to the bounds.

    Source: paper *robust*, section III.D and the settings of section IV.B: a variance of 0.3, of subtle noise. That is
    of pixels from 0 to 255 (a PSNR of 53 dB); from 0 to 1 it would clip 40 % of them (8.7 dB).

    Args:
        variance: Variance of the noise before clipping, in the squared units of the samples, at least 0. The default is
            the paper's, brought to samples from 0 to 1.

    Raises:
        UserError: A negative ``variance``.
    """

    variance: float = 0.3 / 255**2

    ranges = Attack.ranges | {"variance": FROM_0}

    def attack(self, task: Task) -> Adversarial:
        """Disturb samples, and see whether the classifier is fooled.

        Returns:
            Samples, ``success``, and ``distance`` in L2.
        """
        noise = normal(task.seeds, 0, tuple(task.x.shape[1:]), task.x.dtype).mul_(self.variance**0.5)
        return blind(task, noise.add_(task.x).clamp_(task.low, task.high), {})


@dataclass(frozen=True, kw_only=True)
class SpatialJitter(Attack):
    """Rotate and scale every image about its centre, change its colours, then clip to the bounds.

    How far is drawn uniformly for every image, from minus to plus each of the values below. What comes into the image
    from outside repeats its border.

    Source: paper *robust*, section III.D, which names rotation, scaling and changes of colour, but no sizes.

    Args:
        degrees: Largest rotation to either side, 0 to 180.
        scale: Largest change of size, as a share of it, 0 to 0.9.
        saturation: Largest change of each pixel's distance from gray (the mean of its channels), as a share of it, 0
            to 1; images of one channel have none.
        contrast: Largest change of each element's distance from its channel's mean, as a share of it, 0 to 1.
        brightness: Largest change of all elements alike, in the units of the samples, at least 0.

    Raises:
        UserError: A value outside its range.
    """

    degrees: float = 15.0
    scale: float = 0.1
    saturation: float = 0.2
    contrast: float = 0.2
    brightness: float = 0.1

    ranges = Attack.ranges | {
        "brightness": FROM_0,
        "degrees": partial(between, 0, 180),
        "scale": partial(between, 0, 0.9),
        "saturation": probability,
        "contrast": probability,
    }

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse what is no image ``(C, H, W)``."""
        refuse(len(shape) != 3, f"SpatialJitter needs images (C, H, W), not samples of shape {shape}")

    def attack(self, task: Task) -> Adversarial:
        """Change images, and see whether the classifier is fooled.

        Returns:
            Images, ``success``, ``distance`` in L2, and in ``info``, each ``(B,)``: ``degrees`` turned
            counterclockwise, ``scale``, ``saturation`` and ``contrast`` (the change, so 0 for none), ``brightness``.
        """
        self.check_shape(tuple(task.x.shape[1:]))
        sizes = task.x.new_tensor([getattr(self, name) for name in CHANGES])
        drawn = (uniform(task.seeds, 0, (len(CHANGES),), task.x.dtype) * 2 - 1) * sizes
        change = dict(zip(CHANGES, drawn.unbind(1), strict=True))
        # resampling is exact up to rounding only; where there is nothing to do an image is to stay as it is
        jittered = moved(task.x, change["degrees"], 1 + change["scale"]) if self.degrees or self.scale else task.x
        jittered = recoloured(jittered, change["saturation"], change["contrast"], change["brightness"])
        return blind(task, jittered.clamp_(task.low, task.high), change)


CHANGES = ("degrees", "scale", "saturation", "contrast", "brightness")


def moved(x: Tensor, degrees: Tensor, factor: Tensor) -> Tensor:
    """Rotate and scale images about their centre, by bilinear interpolation; the border is repeated outside.

    Args:
        x: Images ``(B, C, H, W)``.
        degrees: Rotations counterclockwise ``(B,)``.
        factor: Scalings ``(B,)``, above 1 to enlarge.

    Returns:
        Images of the same shape.
    """
    height, width = x.shape[2:]
    sine, cosine = (turn(degrees * math.pi / 180) / factor for turn in (torch.sin, torch.cos))
    zero = torch.zeros_like(sine)
    # where each pixel comes from; the grid is 2 long in either direction, however many pixels the image has
    rows = [cosine, -sine * height / width, zero], [sine * width / height, cosine, zero]
    origin = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    return F.grid_sample(
        x,
        F.affine_grid(origin, list(x.shape), align_corners=False),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )


def recoloured(x: Tensor, saturation: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Change colours of images ``(B, C, H, W)``; each change ``(B,)`` is as in :class:`SpatialJitter`, 0 for none."""
    x = x + column(saturation, x) * (x - x.mean(1, keepdim=True))
    x = x + column(contrast, x) * (x - x.mean((2, 3), keepdim=True))
    return x + column(brightness, x)


def blind(task: Task, x: Tensor, info: dict[str, Tensor]) -> Adversarial:
    """Return what an attack that did not look at the model made, ``x`` ``(B, ...)``, with its ``distance`` in L2."""
    return Adversarial(
        x, task.reached(task.predict(x), task.labels), NORMS["l2"].size(x - task.x), torch.ones_like(task.rows), info
    )
