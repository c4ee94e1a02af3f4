"""Training unrolled: the weights after some steps of descent, to be differentiated by what the loss depends on."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Weights = Mapping[str, Tensor]


def descend(
    loss: Callable[[int, Weights], Tensor],
    weights: Weights,
    *,
    steps: int,
    learning_rate: float,
    momentum: float,
    recompute: bool,
) -> Weights:
    """Return the weights after gradient descent with momentum, as a differentiable function of what ``loss`` uses.

    The backward pass needs the weights and the directions of every step, and what a step computed. With ``recompute``
    the latter is held of one step at a time (gradient checkpointing: Chen, Xu, Zhang and Guestrin, "Training Deep Nets
    with Sublinear Memory Cost"), and each loss is computed three times: when its step is taken, for the gradient, and
    in the backward pass. Without, it is held of all steps and computed once.

    Args:
        loss: Takes the number of a step, from 0, and weights by name; returns a scalar, always the same for the same
            ones. It should look up the step's samples itself, so that nobody holds them.
        weights: Initial weights by name, in no autograd graph; they stay as they are.
        steps: Number of steps.
        learning_rate: Length of a step.
        momentum: Share of the last direction that the next one keeps, in [0, 1).
        recompute: Whether to hold less and compute more.
    """
    names = list(weights)

    def step(number: int, *state: Tensor) -> tuple[Tensor, ...]:
        values, directions = state[: len(names)], state[len(names) :]
        slopes = torch.autograd.grad(loss(number, dict(zip(names, values, strict=True))), values, create_graph=True)
        directions = tuple(momentum * kept + slope for kept, slope in zip(directions, slopes, strict=True))
        values = tuple(value - learning_rate * way for value, way in zip(values, directions, strict=True))
        return (*values, *directions)

    state = tuple(value.detach().clone().requires_grad_() for value in weights.values())
    state += tuple(torch.zeros_like(value) for value in state)
    for number in range(steps):
        if recompute:
            state = checkpoint(step, number, *state, use_reentrant=False, preserve_rng_state=False)
        else:
            state = step(number, *state)
    return dict(zip(names, state[: len(names)], strict=True))
