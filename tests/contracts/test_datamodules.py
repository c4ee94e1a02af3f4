"""What every datamodule must hold: a new one is tested by being exported and given its files here."""

import inspect
from pathlib import Path

import pytest
import torch

import datamodules
from datamodules import ActiveDataModule

MODULES = [
    module
    for module in vars(datamodules).values()
    if inspect.isclass(module) and issubclass(module, ActiveDataModule) and module is not ActiveDataModule
]


def loaded(module: type[ActiveDataModule], seed: int = 0) -> ActiveDataModule:
    data = module(seed=seed)
    data.setup("fit")
    return data


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
class TestEveryDatamodule:
    def test_splits_are_whole(self, module: type[ActiveDataModule]) -> None:
        data = loaded(module)
        assert {"pool", "craft", "test"} <= data.samples.keys()
        shapes = set()
        for split, samples in data.samples.items():
            x, y = samples[torch.arange(len(samples))], data.labels[split]
            low, high = samples.bounds
            assert x.dtype == torch.float32
            assert torch.isfinite(x).all()
            assert low <= x.min() < x.max() <= high
            assert y.dtype == torch.int64
            assert y.shape == (len(samples),)
            assert set(y.tolist()) == set(range(data.num_classes)), f"a class is missing in {split}"
            shapes.add(x.shape[1:])
        assert len(shapes) == 1
        assert len(data.pool) == len(data.samples["pool"])
        assert len(data.pool.labelled) == 0

    def test_splits_are_disjoint(self, module: type[ActiveDataModule]) -> None:
        data = loaded(module)
        seen: set[bytes] = set()
        for samples in data.samples.values():
            own = {x.numpy().tobytes() for x in samples[torch.arange(len(samples))]}
            assert not own & seen
            seen |= own

    def test_same_seed_same_split(self, module: type[ActiveDataModule]) -> None:
        first, again, other = (loaded(module, seed).fingerprint for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_a_sample_survives_its_file(self, module: type[ActiveDataModule], tmp_path: Path) -> None:
        samples = loaded(module).samples["craft"]
        x = samples[torch.tensor([3])][0]
        samples.write(tmp_path / f"x{samples.suffix}", x)
        assert torch.equal(samples.read(tmp_path / f"x{samples.suffix}"), x)


def test_digits_are_those_of_scikit_learn() -> None:
    data = loaded(datamodules.Digits)
    assert {split: len(samples) for split, samples in data.samples.items()} == {"pool": 1438, "craft": 179, "test": 180}
    values = torch.cat([samples[torch.arange(len(samples))] for samples in data.samples.values()])
    levels = (values * 16).unique().round()
    assert levels.unique().tolist() == list(range(17)), "17 grey levels, 0 to 16"
    assert values.shape == (1797, 1, 8, 8)
