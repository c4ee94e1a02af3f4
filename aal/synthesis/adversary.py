"""The adversary: a victim that answers queries, samples of its own, and what else it may know."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aal.checks import argument
from aal.models.conv_classifier import ConvClassifier
from aal.models.fitting import train
from aal.oracles.victim import ATTACK, Victim
from aal.seeds import key

STARTS = 10  # of its own samples that a hard-label attack is offered as first points; about half are of another class
# Epochs without a lower loss after which a substitute has converged, and what is lower, in nats: networks of sigmoids
# rest where they are linear, for dozens of epochs, before they learn more.
PLATEAU, LESS = 100, 1e-4
Labelled = tuple[Tensor, Tensor]  # samples (N, ...) and their labels (N,)


@dataclass(frozen=True)
class Adversary:
    """What the adversary has, on one device.

    Attributes:
        victim: Answers, and counts.
        own: Gives samples ``(n, ...)`` of the adversary's pool by their indices ``(n,)``.
        own_labels: Their true labels ``(P,)``, for what only a diagnosis may know.
        victim_set: The victim's training set.
        test_set: Test samples.
        bounds: The data's range (low, high).
        num_classes: Number of classes C.
        seed: The run's seed.
        batch_size: Samples that are attacked together.
        advance: Told the number of samples done.
    """

    victim: Victim
    own: Callable[[Tensor], Tensor]
    own_labels: Tensor
    victim_set: Labelled
    test_set: Labelled
    bounds: tuple[float, float]
    num_classes: int
    seed: int
    batch_size: int = 256
    advance: Callable[[int], None] = lambda done: None

    def substitute(
        self, network: Callable[[tuple[int, ...], int], nn.Module], learning_rate: float, epochs: int, asked: int
    ) -> ConvClassifier:
        """Train a network of the adversary's own, to attack it instead of the victim.

        Args:
            network: Builds it from a sample's shape and the number of classes.
            learning_rate: Adam's step size.
            epochs: Most epochs.
            asked: Samples of the pool, drawn at random, that it is trained on with the victim's labels, which are
                counted as queries of an attack; 0: it is trained on the victim's training set.

        Returns:
            The trained network.
        """
        x, labels = self.victim_set
        if asked:
            drawn = torch.randperm(len(self.own_labels), generator=self.generator("substitute"))[:asked]
            x = self.own(drawn)
            labels = self.victim.predict(x, ATTACK)
        with torch.random.fork_rng(devices=[]):
            module = ConvClassifier(network, self.num_classes, tuple(x.shape[1:]), learning_rate)
        seed = key(self.seed, "substitute")
        with argument("substitute"):
            train(module.to(x.device), x, labels, seed=seed, max_epochs=epochs, patience=PLATEAU, min_delta=LESS)
        return module

    def starts(self, places: Tensor) -> Tensor:
        """Return samples of its own ``(N, STARTS, ...)`` for hard-label attacks on sources ``(N,)`` to begin from."""
        drawn = torch.randperm(len(self.own_labels), generator=self.generator("starts"))[:STARTS]
        samples = self.own(drawn)
        return samples.expand(len(places), *samples.shape)

    @property
    def device(self) -> torch.device:
        """Where the victim is."""
        return self.victim.model.device

    def generator(self, purpose: str) -> torch.Generator:
        """Return the generator of one purpose of synthesis."""
        return torch.Generator().manual_seed(key(self.seed, "synthesis", purpose))
