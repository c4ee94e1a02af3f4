"""The classifier that chooses its arguments: the best on val, by brute force, and kept in a checkpoint."""

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aal.data.samples import TensorSamples
from aal.errors import UserError
from aal.models import ChoosingClassifier
from aal.models.choosing_classifier import right_by_neighbours
from aal.networks import MLP, KernelRidge, NadarayaWatson, NearestNeighbours, SoftKNN
from aal.seeds import generator

KS = [1, 3, 9, 27, 81, 500]


class Drawn(pl.LightningDataModule):
    """Noisy labels of a half-plane, and a split ``val`` without noise."""

    scoring_batch_size = 64

    def __init__(self, n: int = 300, validation: int = 200) -> None:
        super().__init__()
        draw = generator(0, "data", n)
        self.x, x = torch.rand(n, 2, generator=draw), torch.rand(validation, 2, generator=draw)
        self.y = (torch.rand(n, generator=draw) < 0.2 + 0.6 * (self.x[:, 0] > 0.5)).long()
        self.samples = {"val": TensorSamples(x)} if validation else {}
        self.labels = {"val": (x[:, 0] > 0.5).long()} if validation else {}

    def train_dataloader(self) -> Any:  # noqa: ANN401 - of Lightning's
        return DataLoader(TensorDataset(self.x, self.y), batch_size=128)


def trained(module: ChoosingClassifier, data: Drawn) -> ChoosingClassifier:
    options: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    pl.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **options).fit(module, datamodule=data)
    return module


def right(network: Any, data: Drawn) -> int:  # noqa: ANN401 - any network that takes in a training set
    network.take_in(data.x, data.y)
    return int((network(data.samples["val"].stored).argmax(1) == data.labels["val"]).sum())


def test_k_is_the_best_on_val() -> None:
    data = Drawn()
    module = trained(ChoosingClassifier(NearestNeighbours, {"k": KS}, 2, (2,)), data)
    counts = [right(NearestNeighbours((2,), 2, k), data) for k in KS]
    best = KS[counts.index(max(counts))]
    assert best not in (1, 500), "noise wants several, and all of them know nothing"
    assert module.figures == {"chosen_k": best}
    assert module.network.k == best
    assert torch.equal(module.network.points, data.x)
    assert torch.equal(module.network.labels, data.y)


@pytest.mark.parametrize(
    ("network", "choices"),
    [
        (NadarayaWatson, {"h": [0.001, 0.1, 3.0]}),
        (partial(KernelRidge, kernel="rbf"), {"gamma": [0.1, 300.0], "alpha": [1e-3, 1.0]}),
    ],
    ids=["nadaraya_watson", "kernel_ridge"],
)
def test_every_combination_is_tried(network: Any, choices: dict[str, list[int | float]]) -> None:  # noqa: ANN401
    data = Drawn()
    module = trained(ChoosingClassifier(network, choices, 2, (2,)), data)
    counts = [right(network((2,), 2, **one), data) for one in module.arguments]
    assert len(counts) == 3 + ("alpha" in choices)
    assert int(module.chosen) == counts.index(max(counts))
    assert min(counts) < max(counts), "there is nothing to choose"
    assert 0 < module.train_loss < 10


def test_one_search_for_all_k_counts_as_each_alone() -> None:
    draw = generator(1, "votes")
    x, points = torch.rand(70, 3, generator=draw), torch.rand(40, 3, generator=draw)
    labels, known = torch.randint(3, (70,), generator=draw), torch.randint(3, (40,), generator=draw)
    numbers = torch.tensor([1, 2, 4, 7, 40, 90])
    wanted = []
    for k in numbers.tolist():
        network = NearestNeighbours((3,), 3, k)
        network.take_in(points, known)
        wanted.append(int((network(x).argmax(1) == labels).sum()))
    assert right_by_neighbours(x, labels, points, known, numbers, 3).tolist() == wanted


def test_on_a_lattice_the_votes_are_those_of_the_network_too() -> None:
    draw, (points, x) = generator(0, "lattice"), (torch.rand(n, 3, generator=generator(0, "x", n)) for n in (200, 100))
    points, x = (points * 2).round() / 2, (x * 4).round() / 4
    known, labels = (torch.randint(3, (n,), generator=draw) for n in (200, 100))
    numbers, wanted = torch.tensor([1, 2, 3, 9, 40, 199, 200, 500]), []
    for k in numbers.tolist():
        network = NearestNeighbours((3,), 3, k)
        network.take_in(points, known)
        wanted.append(int((network(x).argmax(1) == labels).sum()))
    assert right_by_neighbours(x, labels, points, known, numbers, 3).tolist() == wanted


def test_a_checkpoint_knows_what_was_chosen() -> None:
    data = Drawn()
    module = trained(ChoosingClassifier(NearestNeighbours, {"k": KS}, 2, (2,)), data)
    other = ChoosingClassifier(NearestNeighbours, {"k": KS}, 2, (2,))
    other.load_state_dict(module.state_dict())
    x = torch.rand(50, 2, generator=generator(2, "x"))
    assert torch.equal(other(x), module(x))
    assert other.figures == module.figures
    other.renew(generator(0, "weights"))
    assert torch.equal(other(x), torch.zeros(50, 2))


@pytest.mark.parametrize(
    ("network", "choices", "line"),
    [
        (NearestNeighbours, {}, "choices: must have values of one argument at least"),
        (NearestNeighbours, {"k": []}, "choices: must have values of one argument at least"),
        (NearestNeighbours, {"k": [3, 0]}, "choices: k: must be at least 1, got 0"),
        (NearestNeighbours, {"k": [2.5]}, "choices: k: must be a whole number, got 2.5"),
        (SoftKNN, {"k": [2.5]}, "choices: k: must be a whole number, got 2.5"),
        (KernelRidge, {"degree": [2, 2.5]}, "choices: degree: must be a whole number, got 2.5"),
        (NearestNeighbours, {"h": [1.0]}, "choices: the network cannot be given h ("),
        (MLP, {"widths": [1]}, "network: a MLP takes in no training set"),
    ],
)
def test_choices_that_make_no_sense_are_named(network: type[nn.Module], choices: Any, line: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError) as caught:
        ChoosingClassifier(network, choices, 2, (2,))
    assert str(caught.value).startswith(line)


def test_data_without_a_split_val_are_refused() -> None:
    with pytest.raises(UserError, match="choices: are tried on the split val, and the data have none"):
        trained(ChoosingClassifier(NearestNeighbours, {"k": [1]}, 2, (2,)), Drawn(validation=0))


def test_ties_go_to_the_first() -> None:
    x, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    counts: Tensor = right_by_neighbours(x, labels, x, labels, torch.tensor([1, 1, 1]), 2)
    assert counts.tolist() == [2, 2, 2]
    assert int(counts.argmax()) == 0
