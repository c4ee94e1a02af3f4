"""A rehearsal of the victim's training: a small network trained on soft labels, then attacked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from aal.attacks.base import frozen
from aal.attacks.pgd import PGD
from aal.errors import RunStopped, UserError
from aal.flips.unrolled import Weights, descend
from aal.flips.view import FlipView
from aal.models.classifier import Classifier, OnInputs, holding, reset_parameters

Build = Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True)
class Training:
    """How the network of a rehearsal is trained and attacked; what each is stands in :class:`aal.flips.Bilevel`."""

    attack: PGD
    steps: int
    learning_rate: float
    momentum: float
    subset: int
    recompute: bool


@dataclass(frozen=True)
class Draw:
    """All that is random about one rehearsal.

    Attributes:
        weights: Initial weights by name.
        flippable: Which candidates each step looks at ``(S,)``, by where they stand in the view.
        fixed: Which of the other samples each step looks at ``(S,)``.
        attacked: Which candidates are attacked in the end ``(S,)``.
    """

    weights: Weights
    flippable: list[Tensor]
    fixed: list[Tensor]
    attacked: Tensor


class Turns:
    """Numbers 0 to ``count - 1`` in random order, some at a time; all get their turn before one has its second.

    Args:
        count: How many numbers.
        size: How many at a time, or all if there are fewer.
        generator: The source of the order.
    """

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self.count, self.size, self.generator = count, min(count, size), generator
        self.left = torch.empty(0, dtype=torch.int64)

    def next(self) -> Tensor:
        """Return the next numbers, int64 ``(size,)``; one may be among them twice where an order ends."""
        if len(self.left) < self.size:
            self.left = torch.cat([self.left, torch.randperm(self.count, generator=self.generator)])
        taken, self.left = self.left[: self.size], self.left[self.size :]
        return taken


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
        self.classes = view.module.num_classes
        self.dtype = next(network.parameters()).dtype
        flippable = len(view.candidates)
        self._flippable = Turns(flippable, training.subset, generator)
        self._fixed = Turns(len(self.fixed), training.subset, generator)
        self._attacked = Turns(flippable, training.subset, generator)

    def draw(self) -> Draw:
        """Draw fresh weights, where they are fresh, the samples of each step, and what is attacked."""
        weights = self.weights
        if weights is None:
            reset_parameters(self.network, self.generator)
            weights = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        steps = range(self.training.steps)
        flippable, fixed = [self._flippable.next() for _ in steps], [self._fixed.next() for _ in steps]
        return Draw(weights, flippable, fixed, self._attacked.next())

    def loss(self, flips: Tensor, draw: Draw) -> Tensor:
        """Return the adversarial loss of the network trained on flipped labels, differentiable by the flips.

        It is the mean log probability of the targets for attacked candidates. What the attack found is kept fixed in
        the backward pass: at a maximum its own change does not matter (Danskin's theorem).

        Args:
            flips: How far each candidate's label is flipped to its target, ``(U,)`` from 0 to 1.
            draw: All that is random.

        Raises:
            RunStopped: The weights, or the logits of what the attack found, are not finite.
        """
        training, view, chosen = self.training, self.view, draw.attacked
        weights = descend(
            lambda step, weights: self._training_loss(flips, draw.flippable[step], draw.fixed[step], weights),
            draw.weights,
            steps=training.steps,
            learning_rate=training.learning_rate,
            momentum=training.momentum,
            recompute=training.recompute,
        )
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise RunStopped("Bilevel: the weights of the small network do not stay finite; lower inner_rate")
        targets = view.targets[chosen].to(flips.device)
        with holding(self.network, {name: value.detach() for name, value in weights.items()}):
            model = OnSamples(view.module, self.network)
            images = view.images(view.candidates[chosen])
            found = training.attack(model, images, view.labels[chosen], target=targets, bounds=view.bounds).x
        with torch.no_grad():
            inputs = view.module.encode(found) if view.module.encoded else found
        logits: Tensor = functional_call(self.network, dict(weights), (inputs,))
        return -F.cross_entropy(logits, targets)

    def _training_loss(self, flips: Tensor, flippable: Tensor, fixed: Tensor, weights: Weights) -> Tensor:
        """Return the cross entropy of one step, an estimate without bias of the whole training set's."""
        view = self.view
        inputs = view.inputs(torch.cat([view.candidates[flippable], self.fixed[fixed]]))
        share = flips[flippable].unsqueeze(1)
        soft = self._one_hot(view.labels[flippable], share) * (1 - share)
        soft = soft + self._one_hot(view.targets[flippable], share) * share
        labels = torch.cat([soft, self._one_hot(self.fixed_labels[fixed], share)])
        losses = F.cross_entropy(functional_call(self.network, dict(weights), (inputs,)), labels, reduction="none")
        total = len(view.candidates) + len(self.fixed)
        loss = losses[: len(flippable)].mean() * (len(view.candidates) / total)
        return loss + losses[len(flippable) :].mean() * (len(self.fixed) / total) if len(fixed) else loss

    def _one_hot(self, labels: Tensor, like: Tensor) -> Tensor:
        return F.one_hot(labels, self.classes).to(like)


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
def rehearsing(
    view: FlipView, build: Build | None, training: Training, generator: torch.Generator
) -> Iterator[Rehearsal]:
    """Build the network, or take the clean classifier as it was trained; afterwards the latter is as before.

    Gradients are enabled inside, whatever the caller's mode. Layers are in eval mode: nothing is dropped, and batch
    norms use the statistics that they have.

    Args:
        view: The training set.
        build: Builds the network from the shape of an input and the number of classes; ``None``: the clean classifier.
        training: How it is trained and attacked.
        generator: The only source of randomness.
    """
    module, probe = view.module, view.inputs(view.candidates[:1])
    weights: Weights | None = None
    network: nn.Module
    if build is None:
        network = OnInputs(module)
        trained = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
        weights = {name: value.detach().clone() for name, value in trained}
    else:
        network = built(build, tuple(probe.shape[1:]), module.num_classes).to(probe)
    with torch.inference_mode(False), torch.enable_grad(), frozen(module), frozen(network):
        yield Rehearsal(view, network, weights, training, generator)


def built(build: Build, shape: tuple[int, ...], classes: int, key: str = "network") -> nn.Module:
    """Build a network; torch's default generator, which its layers draw from, is left as it was.

    Args:
        build: Builds it.
        shape: Shape of what it takes.
        classes: Number of classes.
        key: The network's key in the configuration.

    Raises:
        UserError: It cannot be built; the line names the key.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return build(shape, classes)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
