"""Samples held out of the pool: the split ``val``, whose loss ends a round, and the split ``secured``."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from aal.datamodules import Digits
from aal.errors import UserError
from aal.networks import DigitBackbone
from tests.commands import fit, results


class FalseVal(Digits):
    """Digits whose labels in ``val`` are wrong, so that what is learned raises the loss there."""

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.labels["val"] = (self.labels["val"] + 1) % 10


def test_they_are_of_the_pool_and_stratified() -> None:
    data, whole = Digits(seed=3, val=100, secured=50), Digits(seed=3)
    data.setup("fit")
    whole.setup("fit")
    assert {split: len(samples) for split, samples in data.samples.items()} == {
        "pool": 1288,
        "craft": 179,
        "test": 180,
        "val": 100,
        "secured": 50,
    }
    assert len(data.pool) == 1288
    for split, size in (("val", 100), ("secured", 50)):
        counts = data.labels[split].bincount(minlength=10) - whole.labels["pool"].bincount() * size / 1438
        assert counts.abs().max() <= 1.5
    truth = {
        x.numpy().tobytes(): int(y) for x, y in zip(whole.samples["pool"].stored, whole.labels["pool"], strict=True)
    }
    found = [
        (x.numpy().tobytes(), int(y))
        for split in ("pool", "val", "secured")
        for x, y in zip(data.samples[split].stored, data.labels[split], strict=True)
    ]
    assert len(found) == len(truth) == 1438
    assert dict(found) == truth
    assert torch.equal(data.samples["craft"].stored, whole.samples["craft"].stored)


@pytest.mark.parametrize(("arguments", "size"), [({"val": 9}, 9), ({"secured": 1429}, 1429), ({"val": 1500}, 1500)])
def test_more_than_the_pool_can_give_is_refused(arguments: dict[str, int], size: int) -> None:
    with pytest.raises(UserError, match=rf"^{next(iter(arguments))}: must be from 10 .* got {size}"):
        Digits(**arguments).setup("fit")  # type: ignore[arg-type]


def last_loss(run: Path, data: Digits) -> float:
    """Return the mean cross entropy on ``val`` of the model of a run's last checkpoint."""
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    head = {name.removeprefix("head.0."): tensor for name, tensor in weights.items() if name.startswith("head.")}
    with torch.no_grad():
        features = DigitBackbone()(data.samples["val"][torch.arange(100)])
        return float(cross_entropy(features @ head["weight"].T + head["bias"], data.labels["val"]))


@pytest.mark.slow
def test_the_loss_on_val_ends_a_round(tmp_path: Path) -> None:
    few = ("--poison=null", "--query.init_args.budget=1", "--query.init_args.max_epochs=20")
    patience = "--query.init_args.patience=4"
    runs = {
        "none": (),
        "true": ("--data.init_args.val=100", "--data.init_args.secured=20"),
        "false": ("--data=tests.callbacks.test_held_out.FalseVal", "--data.init_args.val=100"),
    }
    rounds = {}
    for name, arguments in runs.items():
        run = fit(tmp_path / name, *arguments, *few, patience)
        assert run.returncode == 0, run.stderr
        rounds[name] = results(tmp_path / name)
    assert "val_loss" not in rounds["none"]["rounds"][0]
    epochs = {name: [record["epochs"] for record in found["rounds"]] for name, found in rounds.items()}
    assert epochs["none"] == [20, 20], "the training loss falls to the end"
    assert max(epochs["false"]) < 20, "what is learned raises this loss, not the training loss"
    summary = rounds["true"]["summary"]
    assert (summary["val"], summary["secured"], summary["pool"]) == (100, 20, 1438 - 120 - 20)
    assert 0 < rounds["true"]["rounds"][-1]["val_loss"] < rounds["false"]["rounds"][-1]["val_loss"]
    for name, kind in (("true", Digits), ("false", FalseVal)):
        record, data = rounds[name]["rounds"][-1], kind(val=100, secured=20 if name == "true" else 0)
        data.setup("fit")
        assert record["val_loss"] == pytest.approx(last_loss(tmp_path / name, data), rel=1e-4)
