"""Classifiers that take in their training set, with the arguments that do best on the split val."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.attacks.base import frozen
from aal.checks import argument, refuse
from aal.models.instance_classifier import InstanceClassifier
from aal.networks.instance_network import InstanceNetwork
from aal.networks.k_nearest import k_nearest
from aal.networks.nearest_neighbours import NearestNeighbours

BLOCK = 2**21  # distances that are sorted at once
CLOSE = 1 + 1e-12  # distances whose ratio is below may be the same
SEEN = 1000  # points of the training set at most that the training loss is measured at


class ChoosingClassifier(InstanceClassifier):
    """A network that classifies by its training set, its arguments chosen anew in every round.

    Once the training set is taken in, every combination of ``choices`` takes it in and is tried on the split ``val``,
    and the first of those with the highest accuracy is what classifies. What ``val`` is labelled by is what they are
    best at: labels of the Bayes classifier make an oracle's choice.

    The training loss, which nothing depends on, is measured at SEEN points of the training set at most.

    Args:
        network: Builds the network from a sample's shape and the number of classes, such as
            :class:`aal.networks.NearestNeighbours`.
        choices: Values to choose from, by the name of the network's argument: ``{k: [1, 3, 9]}``.
        num_classes: Number of classes C; the CLI takes it from the datamodule.
        sample_shape: Shape of a sample; the CLI takes it from the datamodule.

    Attributes:
        arguments: The combinations, the last argument changing first.
        chosen: Which of them it classifies by.

    Raises:
        UserError: The network is none that takes in a training set, has no such argument or refuses a value; no values;
            when a run starts, data without a split ``val``.
    """

    chosen: Tensor

    def __init__(
        self,
        network: Callable[[tuple[int, ...], int], nn.Module],
        choices: dict[str, list[int | float]],
        num_classes: int,
        sample_shape: tuple[int, ...],
    ) -> None:
        super().__init__(network, num_classes, sample_shape)
        refuse(not choices or not all(choices.values()), "choices: must have values of one argument at least")
        self.arguments = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
        with argument("choices"):
            self._candidates = [_built(network, tuple(sample_shape), num_classes, one) for one in self.arguments]
        self.register_buffer("chosen", torch.tensor(0))
        self.network = self._candidates[0]

    @property
    def figures(self) -> dict[str, float]:
        """What was chosen, as columns of a round's record."""
        return {f"chosen_{name}": value for name, value in self.arguments[int(self.chosen)].items()}

    def setup(self, stage: str) -> None:
        """Refuse data without a split ``val``."""
        refuse("val" not in self._data.samples, "choices: are tried on the split val, and the data have none")

    @property
    def train_loss(self) -> float:
        """Mean cross entropy over points of what was taken in, evenly apart, in nats."""
        points, labels = self.network.points, self.network.labels
        some = torch.linspace(0, len(labels) - 1, min(SEEN, len(labels)), device=labels.device).long()
        with torch.no_grad():
            return float(F.cross_entropy(self.classify(points[some]), labels[some]))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Take in a batch of samples ``(B, ...)`` and labels ``(B,)``, with the last one choose; return 0."""
        loss = super().training_step(batch, batch_index)
        if self.trainer.is_last_batch:
            x, labels = self._data.samples["val"], self._data.labels["val"].to(self.device)
            self._choose(x[torch.arange(len(x))].to(self.device), labels)
        return loss

    def _choose(self, x: Tensor, labels: Tensor) -> None:
        """Go on with the arguments that classify most samples ``(V, ...)`` as their labels ``(V,)`` say."""
        known = self.network.points, self.network.labels
        with torch.no_grad():
            right = self._right(x, labels, *known)
        self._switch(int(right.argmax()), *known)

    def _right(self, x: Tensor, labels: Tensor, points: Tensor, known: Tensor) -> Tensor:
        """Return how many samples each combination classifies as their labels say, int64 ``(K,)``."""
        if isinstance(self.network, NearestNeighbours) and {*self.arguments[0]} == {"k"}:
            numbers = torch.tensor([one["k"] for one in self.arguments], device=x.device)
            return right_by_neighbours(x, labels, points, known, numbers, self.num_classes)
        size, found = self._data.scoring_batch_size, []
        for candidate in self._candidates:
            candidate.to(x.device).take_in(points, known)
            with frozen(candidate):
                said = torch.cat([candidate(part).argmax(1) for part in x.split(size)])
            found.append((said == labels).sum())
            candidate.take_in(points[:0], known[:0])
        return torch.stack(found)

    def _switch(self, place: int, points: Tensor, known: Tensor) -> None:
        """Classify by one of the combinations, and what it is to know."""
        self.network.take_in(points[:0], known[:0])
        self.network = self._candidates[place].to(points.device)
        self.network.take_in(points, known)
        self.chosen.fill_(place)

    @property
    def _data(self) -> Any:  # noqa: ANN401 - the datamodule, whose room is above
        return self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning's connector sets it

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load into the network that was chosen."""
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.network = self._candidates[int(self.chosen)].to(self.chosen.device)


def right_by_neighbours(
    x: Tensor, labels: Tensor, points: Tensor, known: Tensor, numbers: Tensor, num_classes: int
) -> Tensor:
    """Return how many samples k-NN classifies as their labels say with each of some k, by one search for all.

    Where points at one distance compete for the last votes of a k, they are those of :func:`k_nearest`.

    Args:
        x: Samples ``(V, ...)``.
        labels: Their labels ``(V,)``.
        points: Training points ``(N, ...)``, at least one.
        known: Their labels ``(N,)``.
        numbers: The k ``(K,)``, from 1; all points where there are fewer.
        num_classes: Number of classes C.

    Returns:
        The counts, int64 ``(K,)``. Between classes with equal votes the lower is taken.
    """
    flat, among = x.flatten(1).double(), points.flatten(1).double()
    right = torch.zeros(len(numbers), dtype=torch.int64, device=x.device)
    places = numbers.clamp_max(len(points)) - 1
    for part, own in zip(*(tensor.split(max(1, BLOCK // len(points))) for tensor in (flat, labels)), strict=True):
        far, order = torch.cdist(part, among, compute_mode="donot_use_mm_for_euclid_dist").sort(dim=1)
        near = known[order[:, : int(places.max()) + 1]]
        said = torch.stack([(near == label).cumsum(1)[:, places] for label in range(num_classes)], 2).argmax(2)
        tied = far[:, (places + 1).clamp_max(len(points) - 1)] <= far[:, places] * CLOSE
        tied &= places + 1 < len(points)
        for number, k in enumerate((places + 1).tolist()):
            rows = tied[:, number].nonzero()[:, 0]
            votes = F.one_hot(known[k_nearest(part[rows], among, k)], num_classes).sum(1)
            said[rows, number] = votes.argmax(1)
        right += (said == own[:, None]).sum(0)
    return right


def _built(
    network: Callable[[tuple[int, ...], int], nn.Module],
    shape: tuple[int, ...],
    num_classes: int,
    arguments: Mapping[str, float],
) -> InstanceNetwork:
    """Build a network with some arguments in the place of its own."""
    try:
        built = cast(Callable[..., nn.Module], network)(shape, num_classes, **arguments)
    except TypeError as error:
        refuse(True, f"the network cannot be given {', '.join(arguments)} ({error})")
        raise
    assert isinstance(built, InstanceNetwork)
    return built
