"""The base: every split encoded once, added samples alone; ranks that end together; the order of an epoch."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from aal.datamodules import MNIST, Digits
from aal.datamodules.batches import EpochBatches
from aal.errors import UserError
from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from aal.sharding import LINE, Shard


class Counting(Backbone):
    """A backbone that counts the samples it was given."""

    feature_size = 64

    def __init__(self) -> None:
        super().__init__()
        self.samples = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.samples += len(x)
        return x.flatten(1)


def test_each_split_is_encoded_once_and_then_only_what_was_added() -> None:
    data, backbone = Digits(scoring_batch_size=100), Counting()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.datamodule = data  # type: ignore[attr-defined]
    data.trainer = trainer
    trainer.strategy.connect(TransferClassifier(backbone, DenseHead(), 10))
    data.setup("fit")
    everything = torch.arange(1438)
    first = data.inputs("pool", everything)
    assert backbone.samples == 1438
    assert torch.equal(first, data.samples["pool"][everything].flatten(1))
    assert torch.equal(data.inputs("pool", everything), first)
    assert backbone.samples == 1438, "encoded again"
    x = data.samples["craft"][torch.arange(5)]
    added = data.add_samples(x, data.labels["craft"][:5], torch.arange(5), "poison")
    assert added.tolist() == [1438, 1439, 1440, 1441, 1442] == data.pool.of_origin("poison").tolist()
    assert len(data.pool) == len(data.samples["pool"]) == len(data.labels["pool"]) == len(data.bases) == 1443
    assert torch.equal(data.inputs("pool", torch.arange(1438, 1443)), x.flatten(1))
    assert backbone.samples == 1443


@pytest.mark.parametrize("other", [True, False])
def test_a_rank_that_cannot_load_ends_all_of_them(other: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = torch.zeros(LINE, dtype=torch.int64)
    line[:9] = torch.tensor(list(b"elsewhere"))
    answers = iter([torch.tensor([0, int(other)]), line * other])
    said: list[torch.Tensor] = []

    def add_up(tensor: torch.Tensor) -> torch.Tensor:
        said.append(tensor)
        return tensor + next(answers)

    shard = Shard(0, 2, add_up)
    monkeypatch.setattr(Shard, "of", lambda _: shard)
    data = Digits() if other else MNIST(root=str(tmp_path))  # Digits load; the files of MNIST are missing
    data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(UserError, match="^elsewhere$" if other else r"^root: "):
        data.setup("fit")
    assert said[0].tolist() == [int(not other), 0], "what this rank tells the others"


def test_epochs_are_shuffled_anew_and_alike() -> None:
    def epoch(number: int, seed: int = 0) -> list[int]:
        batches = EpochBatches(70, 32, seed)
        batches.set_epoch(number)
        assert [len(batch) for batch in batches] == [32, 32, 6]
        assert len(batches) == 3
        return torch.cat(list(batches)).tolist()

    assert sorted(epoch(0)) == list(range(70))
    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)
