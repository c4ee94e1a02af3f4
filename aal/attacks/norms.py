"""The norms of gradient attacks: each is three functions, and the size of a perturbation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aal.attacks.draws import normal, uniform
from aal.attacks.tensors import column, divisor
from aal.checks import one_of, refuse


@dataclass(frozen=True)
class Norm:
    """A norm of perturbations ``d`` ``(B, ...)``.

    Attributes:
        size: ``size(d)`` is the norm of each perturbation, ``(B,)``.
        random: ``random(x, radius, seeds, draw)`` draws perturbations of samples shaped like ``x`` from the ball.
        steepest: ``steepest(gradient, length, x, low, high)`` is the step of that length along which a linear function
            with that gradient ascends most, ``(B, ...)``. In L1 it stays within the
            data's range (low, high), else single elements would leave it with the whole step.
        project: ``project(d, radius)`` is the nearest point of the ball (in the Euclidean sense); it may overwrite
            ``d``.
    """

    size: Callable[[Tensor], Tensor]
    random: Callable[[Tensor, float, Tensor, int], Tensor]
    steepest: Callable[[Tensor, float, Tensor, float, float], Tensor]
    project: Callable[[Tensor, float], Tensor]


def _linf_size(d: Tensor) -> Tensor:
    return d.flatten(1).abs().amax(1)


def _l2_size(d: Tensor) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(d.flatten(1), dim=1)
    return size


def _l2_random(x: Tensor, radius: float, seeds: Tensor, draw: int) -> Tensor:
    direction = normal(seeds, draw, tuple(x.shape[1:]), x.dtype)
    share = uniform(seeds, draw + _SECOND, (), x.dtype) ** (1 / x.shape[1:].numel())
    return direction.mul_(column(radius * share / divisor(_l2_size(direction)), x))


def _l2_steepest(gradient: Tensor, length: float, x: Tensor, low: float, high: float) -> Tensor:
    # scaled by the largest element first: the squares of tiny gradients vanish in single precision
    direction = gradient / column(divisor(_linf_size(gradient)), gradient)
    return direction.mul_(column(length / divisor(_l2_size(direction)), direction))


def _l1_size(d: Tensor) -> Tensor:
    return d.flatten(1).abs().sum(1)


def _l1_random(x: Tensor, radius: float, seeds: Tensor, draw: int) -> Tensor:
    shape = tuple(x.shape[1:])
    sizes = -torch.log1p(-uniform(seeds, draw, shape, x.dtype))  # exponential: uniform on the sphere once scaled
    signs = (uniform(seeds, draw + _SECOND, shape, x.dtype) < 0.5) * 2 - 1
    share = uniform(seeds, draw + 2 * _SECOND, (), x.dtype) ** (1 / x.shape[1:].numel())
    return sizes.mul_(signs).mul_(column(radius * share / divisor(_l1_size(sizes)), x))


def _l1_steepest(gradient: Tensor, length: float, x: Tensor, low: float, high: float) -> Tensor:
    """Move the elements with the largest gradient, each as far as the range allows, until ``length`` is spent."""
    slope = gradient.flatten(1)
    room = torch.where(gradient > 0, high - x, x - low).clamp_max_(length).flatten(1)
    order = slope.abs().argsort(dim=1, descending=True, stable=True)
    room = room.gather(1, order)
    spent = (length - (room.cumsum(1) - room)).clamp_min_(0).minimum(room)
    return torch.zeros_like(slope).scatter_(1, order, spent).mul_(slope.sign()).view_as(gradient)


def _l1_project(d: Tensor, radius: float) -> Tensor:
    """Project by soft thresholding (Duchi et al., "Efficient Projections onto the l1-Ball", Figure 1)."""
    flat = d.flatten(1)
    sizes = flat.abs().sort(1, descending=True).values
    excess = sizes.cumsum(1) - radius
    ranks = torch.arange(1, flat.shape[1] + 1, device=d.device)
    kept = (sizes * ranks > excess).sum(1, keepdim=True).clamp_min(1)
    threshold = (excess.gather(1, kept - 1) / kept).clamp_min(0)
    return flat.abs().sub_(threshold).clamp_min_(0).mul_(flat.sign()).view_as(d)


_SECOND = 1 << 20  # draws of one call that must differ from the draw itself

NORMS = {
    "linf": Norm(
        _linf_size,
        lambda x, radius, seeds, draw: uniform(seeds, draw, tuple(x.shape[1:]), x.dtype).mul_(2 * radius).sub_(radius),
        lambda gradient, length, x, low, high: gradient.sign().mul_(length),
        lambda d, radius: d.clamp_(-radius, radius),
    ),
    "l2": Norm(
        _l2_size,
        _l2_random,
        _l2_steepest,
        lambda d, radius: d.mul_(column((radius / divisor(_l2_size(d))).clamp_max_(1), d)),
    ),
    "l1": Norm(_l1_size, _l1_random, _l1_steepest, _l1_project),
}
any_norm = partial(one_of, tuple(NORMS))


def but_l1(values: Mapping[str, str]) -> None:
    """Refuse a norm other than ``linf`` and ``l2``, for attacks whose steps are made for these.

    Raises:
        UserError: Names the first such argument and its value.
    """
    for name, norm in values.items():
        refuse(
            norm not in ("linf", "l2"), f"{name}: must be linf or l2 (in L1 this attack is another one), got {norm!r}"
        )
