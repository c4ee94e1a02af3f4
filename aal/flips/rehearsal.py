"""A rehearsal of the victim's training, differentiable: a small network trained on soft labels, then attacked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from aal.attacks.base import frozen
from aal.attacks.pgd import PGD
from aal.checks import argument, refuse
from aal.errors import RunStopped
from aal.flips.flip_view import FlipView
from aal.models.classifier import Classifier, OnInputs, dry_run, holding, reset_parameters
from aal.networks.mlp import MLP

Build = Callable[[tuple[int, ...], int], nn.Module]
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Training:
    """How the network of a rehearsal is trained and attacked; what each is stands in :class:`aal.flips.Bilevel`."""

    network: Build | None = MLP
    attack: PGD = field(default_factory=partial(PGD, radius=0.1, steps=5, random_start=False))  # Algorithm 1, few steps
    inner_steps: int = 20
    inner_rate: float = 0.1
    momentum: float = 0.9
    subset: int = 250
    recompute: bool = True


def turns(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Give numbers 0 to ``count - 1`` in random order, some at a time; all have their turn before one has its second.

    Args:
        count: How many numbers.
        size: How many at a time, or all if there are fewer.
        generator: The source of the order.

    Yields:
        The next numbers, int64 ``(size,)``; one may be among them twice where an order ends.
    """
    size, left = min(count, size), torch.empty(0, dtype=torch.int64)
    while True:
        if len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[:size]
        left = left[size:]


class Rehearsal:
    """Trains the network again and again, each time on other soft labels, and tells how an attack fares.

    Args:
        view: The training set.
        network: What is trained, in eval mode: it takes what ``view.inputs`` gives.
        weights: Its initial weights by name; ``None``: fresh ones each time.
        training: How it is trained and attacked.
        generator: The only source of randomness.
    """

    def __init__(
        self,
        view: FlipView,
        network: nn.Module,
        weights: Weights | None,
        training: Training,
        generator: torch.Generator,
    ) -> None:
        self.view, self.network, self.weights, self.training = view, network, weights, training
        self.generator = generator
        elsewhere = torch.ones(len(view.clean.indices), dtype=torch.bool)
        elsewhere[view.places] = False
        self.fixed = torch.cat([view.clean.indices[elsewhere], view.others])
        self.fixed_labels = torch.cat([view.clean.labels[elsewhere], view.other_labels])
        self.dtype = next(network.parameters()).dtype
        self._flippable, self._fixed, self._attacked = (
            turns(len(some), training.subset, generator) for some in (view.candidates, self.fixed, view.candidates)
        )

    def draw(self) -> tuple[Weights, list[Tensor], list[Tensor], Tensor]:
        """Draw all that is random about one rehearsal.

        Returns:
            Initial weights by name; which candidates each step looks at ``(S,)``, by where they stand in the view;
            which of the other samples each step looks at ``(S,)``; which candidates are attacked in the end ``(S,)``.
        """
        weights = self.weights
        if weights is None:
            reset_parameters(self.network, self.generator)
            weights = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        flippable, fixed = (
            [next(some) for _ in range(self.training.inner_steps)] for some in (self._flippable, self._fixed)
        )
        return weights, flippable, fixed, next(self._attacked)

    def loss(
        self, flips: Tensor, weights: Weights, flippable: list[Tensor], fixed: list[Tensor], attacked: Tensor
    ) -> Tensor:
        """Return the adversarial loss of the network trained on flipped labels, differentiable by the flips.

        It is the mean log probability of the targets for attacked candidates. What the attack found is kept fixed in
        the backward pass: at a maximum its own change does not matter (Danskin's theorem).

        Args:
            flips: How far each candidate's label is flipped to its target, ``(U,)`` from 0 to 1.
            weights: As :meth:`draw` gives them, like what follows.
            flippable: Candidates of each step ``(S,)``.
            fixed: Other samples of each step ``(S,)``.
            attacked: Candidates that are attacked ``(S,)``.

        Raises:
            RunStopped: The weights, or the logits of what the attack found, are not finite.
        """
        training, view = self.training, self.view
        weights = descend(
            lambda step, weights: self._training_loss(flips, flippable[step], fixed[step], weights),
            weights,
            steps=training.inner_steps,
            learning_rate=training.inner_rate,
            momentum=training.momentum,
            recompute=training.recompute,
        )
        refuse(
            not all(bool(value.isfinite().all()) for value in weights.values()),
            "Bilevel: the weights of the small network do not stay finite; lower inner_rate",
            RunStopped,
        )
        targets = view.targets[attacked].to(flips.device)
        with holding(self.network, {name: value.detach() for name, value in weights.items()}):
            found = training.attack(
                OnSamples(view.module, self.network),
                view.images(view.candidates[attacked]),
                view.labels[attacked],
                target=targets,
                bounds=view.bounds,
            ).x
        with torch.no_grad():
            inputs = view.module.encode(found) if view.module.encoded else found
        logits: Tensor = functional_call(self.network, dict(weights), (inputs,))
        return -F.cross_entropy(logits, targets)

    def _training_loss(self, flips: Tensor, flippable: Tensor, fixed: Tensor, weights: Weights) -> Tensor:
        """Return the cross entropy of one step, an estimate without bias of the whole training set's."""
        view = self.view
        inputs = view.inputs(torch.cat([view.candidates[flippable], self.fixed[fixed]]))
        share = flips[flippable].unsqueeze(1)
        given, target, others = (
            F.one_hot(labels, view.module.num_classes).to(share)
            for labels in (view.labels[flippable], view.targets[flippable], self.fixed_labels[fixed])
        )
        labels = torch.cat([given * (1 - share) + target * share, others])
        losses = F.cross_entropy(functional_call(self.network, dict(weights), (inputs,)), labels, reduction="none")
        total = len(view.candidates) + len(self.fixed)
        loss = losses[: len(flippable)].mean() * (len(view.candidates) / total)
        return loss + losses[len(flippable) :].mean() * (len(self.fixed) / total) if len(fixed) else loss


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
    taken = partial(checkpoint, step, use_reentrant=False, preserve_rng_state=False) if recompute else step
    for number in range(steps):
        state = taken(number, *state)
    return dict(zip(names, state[: len(names)], strict=True))


class OnSamples(nn.Module):
    """A network after the frozen backbone, if there is one: from samples to logits.

    Args:
        module: The clean classifier.
        network: Takes features where the classifier is ``encoded``, else samples.
    """

    def __init__(self, module: Classifier, network: nn.Module) -> None:
        super().__init__()
        self.module, self.network = module, network

    def forward(self, x: Tensor) -> Tensor:
        """Map samples ``(B, ...)`` to logits ``(B, C)``."""
        logits: Tensor = self.network(self.module.encode(x) if self.module.encoded else x)
        return logits


@contextmanager
def rehearsing(view: FlipView, training: Training, generator: torch.Generator) -> Iterator[Rehearsal]:
    """Build the network, or take the clean classifier as it was trained; afterwards the latter is as before.

    Gradients are enabled inside, whatever the caller's mode. Layers are in eval mode: nothing is dropped, and batch
    norms use the statistics that they have.

    Args:
        view: The training set.
        training: How the network is built, trained and attacked.
        generator: The only source of randomness.
    """
    module, probe = view.module, view.inputs(view.candidates[:1])
    weights: Weights | None = None
    if training.network is None:
        network: nn.Module = OnInputs(module)
        trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        weights = {name: value.detach().clone() for name, value in trained.items()}
    else:
        network = built(training.network, tuple(probe.shape[1:]), module.num_classes).to(probe)
    with torch.inference_mode(False), torch.enable_grad(), frozen(module), frozen(network):
        yield Rehearsal(view, network, weights, training, generator)


def built(build: Build, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build a network; torch's default generator, which its layers draw from, is left as it was.

    Args:
        build: Builds it, the argument ``network`` of a selector.
        shape: Shape of what it takes.
        classes: Number of classes.

    Raises:
        UserError: It cannot be built; the line names the argument.
    """
    with argument("network"), torch.random.fork_rng(devices=[]):
        return build(shape, classes)


def try_out(build: Build, shape: tuple[int, ...], outputs: int, what: str) -> None:
    """Refuse a network that cannot take a shape, or has not as many outputs as it must.

    Args:
        build: Builds it, the argument ``network`` of a selector.
        shape: Shape of what it takes.
        outputs: How many it must have.
        what: What they are, for the message.

    Raises:
        UserError: It is no such network.
    """
    found = tuple(dry_run(built(build, shape, outputs), shape, "network").shape[1:])
    refuse(found != (outputs,), f"network: must give {outputs} {what}, not {found}")
