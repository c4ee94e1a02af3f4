"""Encoding: every split once, added samples alone."""

import pytorch_lightning as pl
import torch

from aal.models import TransferClassifier
from aal.networks import Backbone, DenseHead
from datamodules import Digits
from datamodules.batches import EpochBatches


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
    data.add_samples(x, data.labels["craft"][:5], torch.arange(5))
    assert torch.equal(data.inputs("pool", torch.arange(1438, 1443)), x.flatten(1))
    assert backbone.samples == 1443


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
