"""Classifiers that take in their training set: under the Trainer, under the clock and in a plain loop."""

import copy
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from aal.errors import UserError
from aal.models import InstanceClassifier, SoftKNNClassifier
from aal.networks import MLP, KernelRidge, NadarayaWatson, NearestNeighbours
from aal.seeds import generator
from tests.commands import EXPERIMENT, ROOT, aal, results
from tests.test_resume import KILL, weights

NETWORKS = {
    "knn": NearestNeighbours,
    "nadaraya_watson": partial(NadarayaWatson, h=0.5),
    "kernel_ridge": partial(KernelRidge, kernel="rbf"),
}
every = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
MODELS = ROOT / "configs" / "model"
QUERIES = {"budget": 2, "initial": 20, "query_size": 1}
FEW = ("--poison=null", *(f"--query.init_args.{name}={value}" for name, value in QUERIES.items()))


def points(n: int = 23) -> tuple[Tensor, Tensor]:
    draw = generator(0, "points", n)
    return torch.randn(n, 2, 2, generator=draw), torch.randint(3, (n,), generator=draw)


def built(network: type[NearestNeighbours]) -> InstanceClassifier:
    return InstanceClassifier(network, num_classes=3, sample_shape=(2, 2))


def plain_epoch(module: InstanceClassifier, x: Tensor, labels: Tensor, size: int = 5) -> None:
    (optimizer,) = [module.configure_optimizers()]
    module.on_train_epoch_start()
    for number, batch in enumerate(zip(x.split(size), labels.split(size), strict=True)):
        optimizer.zero_grad()
        module.training_step(batch, number).backward()
        optimizer.step()


@every
def test_a_plain_loop_trains_it(network: type[NearestNeighbours]) -> None:
    module, (x, labels) = built(network), points()
    for _ in range(2):  # the second epoch adds nothing
        plain_epoch(module, x, labels)
        assert torch.equal(module.network.points, x)
        assert torch.equal(module.network.labels, labels)
    direct = network((2, 2), 3)
    direct.take_in(x, labels)
    probes = points(9)[0]
    torch.testing.assert_close(module(probes), direct(probes))
    assert module.train_loss == pytest.approx(float(cross_entropy(direct(x), labels)))
    assert [parameter.item() for parameter in module.parameters()] == [0.0], "nothing is descended"
    plain_epoch(module, x[:4], labels[:4])
    assert torch.equal(module.network.points, x[:4])
    assert module.features(x).shape == (23, 4)
    module.renew(generator(0, "weights"))
    assert torch.equal(module(probes), torch.zeros(9, 3))
    assert module.train_loss == 0.0


@every
def test_the_trainer_trains_it_and_a_checkpoint_has_all_of_it(network: type[NearestNeighbours], tmp_path: Path) -> None:
    module, (x, labels) = built(network), points()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, labels), batch_size=6))
    assert torch.equal(module.network.points, x)
    before = module(x)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    other = built(network)
    plain_epoch(other, x[:3], labels[:3])
    other.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    assert torch.equal(other(x), before)
    assert torch.equal(copy.deepcopy(module)(x), before)


def test_a_network_that_takes_nothing_in_is_refused() -> None:
    with pytest.raises(UserError, match=r"^network: a MLP takes in no training set; ConvClassifier trains it$"):
        built(MLP)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^k: must be at least 1, got 0$"):
        SoftKNNClassifier(3, (2, 2), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_round_is_one_epoch_and_a_killed_run_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    command = ("fit", "--config", EXPERIMENT, "--config", MODELS / f"{name}.yaml", *FEW, "--ckpt_path=last")
    whole = aal(*command, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    rounds = results(tmp_path / "whole")["rounds"]
    assert [(row["labels"], row["epochs"]) for row in rounds] == [(20, 1), (21, 1), (22, 1)]
    assert all(row["accuracy"] > 0.3 for row in rounds)
    out, marker = tmp_path / "run", tmp_path / "killed"
    moment = ("callbacks/round_checkpoint.py:save_checkpoint", "return", "2", str(marker))
    killed = aal(*command, "--out", out, code=KILL, before=moment)
    assert killed.returncode == -9, killed.stderr
    assert len(weights(out)["network.labels"]) == 21, "the training set is in the checkpoint"
    resumed = aal(*command, "--out", out)
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(tmp_path / "whole")
    assert weights(out) == weights(tmp_path / "whole")


@pytest.mark.slow
def test_two_ranks_give_the_run_of_one(tmp_path: Path) -> None:
    command = ("fit", "--config", EXPERIMENT, "--config", MODELS / "knn.yaml", *FEW, "--trainer.accelerator=cpu")
    runs = [aal(*command, "--out", tmp_path / str(ranks), ranks=ranks) for ranks in (1, 2)]
    assert [run.returncode for run in runs] == [0, 0], runs[-1].stderr
    alone, shared = results(tmp_path / "1"), results(tmp_path / "2")
    assert alone["ledger"] == shared["ledger"]
    assert alone["rounds"] == shared["rounds"]
