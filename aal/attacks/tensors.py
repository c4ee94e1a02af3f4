"""What attacks do to tensors with one entry a sample."""

from typing import Self

import torch
from torch import Tensor


class PerSample:
    """Named tensors with one entry a sample each: those that it is made with, and no others.

    Those of some samples are taken out and put back together, so that the samples that are finished leave.
    """

    def __init__(self, **tensors: Tensor) -> None:
        vars(self).update(tensors)

    def __getattr__(self, name: str) -> Tensor:
        """Tell type checkers that all attributes are tensors; there is none of this name."""
        raise AttributeError(name)

    def update(self, **tensors: Tensor) -> None:
        """Replace some of the tensors."""
        assert vars(self).keys() >= tensors.keys()
        vars(self).update(tensors)

    def take(self, rows: Tensor) -> Self:
        """Return the entries at ``rows`` ``(N,)``, or those that a mask marks."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})

    def put(self, rows: Tensor, entries: Self) -> None:
        """Set the entries at ``rows`` ``(N,)``."""
        for name, values in vars(entries).items():
            getattr(self, name)[rows] = values


class Ends(PerSample):
    """The nearest point that fools the model for each of B samples, and its distance, at first infinite."""

    @classmethod
    def none(cls, x: Tensor) -> "Ends":
        """Return that there is none yet for the samples ``x`` ``(B, ...)``."""
        return cls(x=x.clone(), distance=x.new_full((len(x),), torch.inf))

    def improve(self, rows: Tensor, x: Tensor, fooled: Tensor, distance: Tensor) -> None:
        """Take the points ``x`` ``(N, ...)`` of ``rows`` ``(N,)`` that fool the model and are nearer."""
        nearer = fooled & (distance < self.distance[rows])
        self.x[rows] = torch.where(column(nearer, x), x, self.x[rows])
        self.distance[rows] = torch.where(nearer, distance, self.distance[rows])


def gradient_of(outputs: Tensor, x: Tensor, weights: Tensor, *, again: bool = False) -> Tensor:
    """Return the gradient by ``x`` ``(N, ...)`` of the weighted sum of a model's outputs; it may be an expanded view.

    It is 0 where the model shows none because it does not compute by differentiable steps: attacks that take no
    gradient may still break it.

    Args:
        outputs: What the model made of ``x``, ``(N, ...)``.
        x: Points that require a gradient.
        weights: The weights, shaped like ``outputs``.
        again: Whether another gradient of the same outputs will be asked for.
    """
    if not outputs.requires_grad:
        return torch.zeros_like(x)
    gradient = torch.autograd.grad(outputs, x, weights, retain_graph=again, allow_unused=True)[0]
    return torch.zeros_like(x) if gradient is None else gradient


def column(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value a sample ``(B,)`` so that it multiplies ``x`` ``(B, ...)``."""
    return values.view(-1, *[1] * (x.ndim - 1))


def divisor(norms: Tensor) -> Tensor:
    """Keep norms ``(B,)`` of 0 from dividing: what they divide is 0 too, and stays 0."""
    return norms.clamp_min(torch.finfo(norms.dtype).tiny ** 0.5)
