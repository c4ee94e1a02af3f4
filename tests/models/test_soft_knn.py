"""The soft k-NN classifier: it takes its training set in, once, and a run of it resumes exactly."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from aal.models import SoftKNNClassifier
from aal.seeds import generator
from tests.commands import ROOT, aal, results
from tests.test_resume import KILL, weights

EXPERIMENT = ROOT / "configs" / "experiment" / "noise_soft_knn.yaml"
FEW = ("--data.init_args.test=200", "--model.init_args.k=3", "--data.init_args.distances=[0.0, 0.5]")


def trained(epochs: int, batch_size: int = 3) -> tuple[SoftKNNClassifier, TensorDataset]:
    module = SoftKNNClassifier(num_classes=3, sample_shape=(2,), k=2)
    data = TensorDataset(torch.randn(10, 2, generator=generator(0, "x")), torch.arange(10) % 3)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, batch_size=batch_size))
    return module, data


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_takes_in_the_training_set_and_no_other_epoch_adds_to_it(epochs: int) -> None:
    module, data = trained(epochs)
    x, labels = data.tensors
    assert torch.equal(module.network.points, x)
    assert torch.equal(module.network.labels, labels)
    assert torch.equal(module(x).argmax(1), labels)
    assert 0 <= module.train_loss < 1e-6
    assert [parameter.item() for parameter in module.parameters()] == [0.0], "nothing is descended"


def test_fresh_weights_know_nothing() -> None:
    module, data = trained(1)
    x = data.tensors[0]
    assert module.features(x).shape == (10, 2)
    module.renew(generator(0, "weights"))
    assert torch.equal(module(x), torch.zeros(10, 3))


def test_it_loads_into_one_that_has_learnt_something_else() -> None:
    module, _ = trained(1)
    other = SoftKNNClassifier(num_classes=3, sample_shape=(2,), k=2)
    other.network.take_in(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64))
    other.load_state_dict(module.state_dict())
    x = torch.randn(20, 2)
    assert torch.equal(other(x), module(x))


@pytest.mark.slow
def test_a_run_trains_on_clean_and_on_mislabelled_points_and_draws_both(tmp_path: Path) -> None:
    whole = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "whole", *FEW)
    assert whole.returncode == 0, whole.stderr
    after = results(tmp_path / "whole")
    assert [row["labels"] for row in after["rounds"]] == [30, 32, 32]
    assert all(row["memorised"] == 1 and row["epochs"] == 1 for row in after["rounds"])
    clean, *placed = after["rounds"]
    assert all(row["robust_pgd"] < clean["robust_pgd"] for row in placed)
    figures = {path.name for path in (tmp_path / "whole" / "figures").iterdir()}
    assert {f"regions_round={number}.png" for number in range(3)} <= figures
    report = (tmp_path / "whole" / "report.html").read_text()
    assert "Decision regions" in report
    assert all(caption in report for caption in ("round 0: clean", "round 1: placed at 0", "round 2: placed at 0.5"))
    small = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "small", *FEW, "--data.init_args.batch_size=7")
    assert small.returncode == 0, small.stderr
    columns = ("accuracy", "loss", "robust_pgd", "memorised")
    for one, other in zip(after["rounds"], results(tmp_path / "small")["rounds"], strict=True):
        assert [one[name] for name in columns] == pytest.approx([other[name] for name in columns])


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_run_ends_as_if_it_had_not_been(count: int, tmp_path: Path) -> None:
    whole = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "whole", *FEW, "--ckpt_path=last")
    assert whole.returncode == 0, whole.stderr
    out, marker = tmp_path / "run", tmp_path / "killed"
    moment = ("callbacks/round_checkpoint.py:save_checkpoint", "return", str(count), str(marker))
    killed = aal("fit", "--config", EXPERIMENT, "--out", out, *FEW, "--ckpt_path=last", code=KILL, before=moment)
    assert killed.returncode == -9, killed.stderr
    assert marker.exists()
    assert len(weights(out)["network.labels"]) == (30 if count == 1 else 32), "the training set is in the checkpoint"
    resumed = aal("fit", "--config", EXPERIMENT, "--out", out, *FEW, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(tmp_path / "whole")
    assert weights(out) == weights(tmp_path / "whole")


@pytest.mark.slow
def test_two_ranks_give_the_run_of_one(tmp_path: Path) -> None:
    cpu = ("--trainer.accelerator=cpu",)
    one = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "one", *FEW, *cpu)
    assert one.returncode == 0, one.stderr
    two = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "two", *FEW, *cpu, ranks=2)
    assert two.returncode == 0, two.stderr
    alone, shared = results(tmp_path / "one"), results(tmp_path / "two")
    assert alone["ledger"] == shared["ledger"]
    assert alone["rounds"] == shared["rounds"]
