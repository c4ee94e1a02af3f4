"""What a datamodule of the user's own says and loads is checked, and its class named, before anything is made of it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from aal.data.samples import ImageSamples, TensorSamples
from aal.datamodules import ActiveDataModule
from aal.errors import UserError

Splits = dict[str, Any]
NAN = float("nan")


class Mine(ActiveDataModule):
    """Two classes of gray images, and whatever a test makes of them."""

    num_classes: Any = 2
    sample_shape: Any = (1, 4, 4)

    def __init__(self, spoil: Callable[[Splits], Any] = dict) -> None:
        super().__init__()
        self.spoil = spoil

    def load(self) -> Any:  # noqa: ANN401
        """Return the splits, spoilt."""
        sizes = {"pool": 8, "craft": 4, "test": 4}
        return self.spoil({split: (images(size), torch.arange(size) % 2) for split, size in sizes.items()})


def images(size: int) -> ImageSamples:
    return ImageSamples(torch.zeros(size, 1, 4, 4, dtype=torch.uint8))


def tensors(value: float, dtype: torch.dtype = torch.float32) -> TensorSamples:
    stored = torch.zeros(8, 1, 4, 4, dtype=dtype)
    stored[7, 0, 3, 3] = value
    return TensorSamples(stored)


def pool(samples: Any = None, labels: Any = None) -> Callable[[Splits], Splits]:  # noqa: ANN401
    """Return what puts others in the place of the pool's samples or labels."""

    def spoil(splits: Splits) -> Splits:
        kept = splits["pool"]
        return {**splits, "pool": (kept[0] if samples is None else samples, kept[1] if labels is None else labels)}

    return spoil


TWO = torch.arange(8) % 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pool(labels=TWO + 1), "sample 1 of pool has the label 2 of 2 classes"),
        (pool(labels=TWO - 1), "sample 0 of pool has the label -1 of 2 classes"),
        (pool(labels=TWO[:7]), "the labels of pool must be torch.int64 (8,), one a sample, not torch.int64 (7,)"),
        (pool(labels=TWO.float()), "the labels of pool must be torch.int64 (8,), one a sample, not torch.float32 (8,)"),
        (pool(labels=TWO[:, None]), "one a sample, not torch.int64 (8, 1)"),
        (pool(labels=TWO.numpy()), "one a sample, not int64 (8,)"),
        (pool(labels=TWO.tolist()), "one a sample, not list"),
        (pool(torch.zeros(8, 1, 4, 4)), "pool must be Samples and their labels"),
        (pool(tensors(NAN)), "pool: sample 7 has a value that is not finite, or not from 0.0 to 1.0"),
        (pool(tensors(255)), "pool: sample 7 has a value that is not finite, or not from 0.0 to 1.0"),
        (pool(tensors(0, torch.float64)), "pool: samples must be torch.float32 (8, 1, 4, 4), not torch.float64"),
        (pool(ImageSamples(torch.zeros(8, 4, 4).byte())), "pool: samples must be torch.float32 (1, 1, 4, 4), not"),
        (
            pool(ImageSamples(torch.zeros(8, 1, 4, 4))),
            "pool: keeps torch.float32 (8, 1, 4, 4), but would save torch.uint8",
        ),
        (pool(TensorSamples(torch.zeros(8, 1, 4, 4), (1.0, 0.0))), "pool: bounds must be lowest and highest value"),
        (pool(images(0), TWO[:0]), "pool has no samples"),
        (lambda splits: {"pool": splits["pool"]}, "of craft, test it returned none"),
        (lambda splits: None, "must return samples and labels of pool, craft, test"),
        (lambda splits: {**splits, "test": splits["test"] * 2}, "test must be Samples and their labels"),
    ],
)
def test_what_is_loaded_keeps_the_contract(spoil: Callable[[Splits], Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        Mine(spoil).setup("fit")
    assert str(refused.value).startswith("Mine.load: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("num_classes", None, "Mine: must have num_classes"),
        ("num_classes", 2.0, "Mine: must have num_classes"),
        ("sample_shape", None, "Mine: must have sample_shape"),
        ("sample_shape", (1, 0, 4), "Mine: must have sample_shape"),
        ("classes", ("one",), "Mine.load: classes must be 2 different texts"),
        ("classes", (0, 1), "Mine.load: classes must be 2 different texts"),
        ("groups", torch.zeros(3, dtype=torch.int64), "Mine.load: groups must be one a sample of pool"),
    ],
)
def test_what_it_says_of_its_samples_is_checked(name: str, value: object, said: str) -> None:
    data = Mine()
    setattr(data, name, value)
    with pytest.raises(UserError) as refused:
        data.setup("fit")
    assert str(refused.value).startswith(said)


def test_what_keeps_the_contract_is_taken() -> None:
    data = Mine(lambda splits: {**splits, "craft": (images(0), TWO[:0])})
    data.setup("fit")
    assert len(data.pool) == 8
