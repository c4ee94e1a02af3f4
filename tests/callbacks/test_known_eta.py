"""The beta experiment as a run: more and more training points, the best k at each, what the known eta says of it."""

import csv
import io
from pathlib import Path

import pytest
import torch

from aal.datamodules import BetaSampling
from aal.networks import NearestNeighbours
from tests.commands import ROOT, aal, results
from tests.test_resume import KILL

EXPERIMENT = ROOT / "configs" / "experiment" / "shadow_beta.yaml"
FEW = (
    "--data.init_args.n=300",
    "--data.init_args.test=500",
    "--data.init_args.validation=200",
    "--query.init_args.query_sizes=[50,100]",
)


@pytest.mark.slow
def test_a_run_of_the_beta_experiment(tmp_path: Path) -> None:
    more = ("--data.init_args.beta=1", "--query.init_args.query_size=20", "--query.init_args.rounds=3")
    run = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *FEW, *more)
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    assert [(row["labels"], row["queried"]) for row in after["rounds"]] == [(100, 0), (150, 50), (250, 100), (270, 20)]
    data = BetaSampling(eta="sine", beta=1.0, floor=0.01, n=300, test=500, validation=200)
    data.setup("fit")
    last, known = (
        after["rounds"][-1],
        [int(row["index"]) for row in csv.DictReader(io.StringIO(after["ledger"].decode()))],
    )
    assert last["chosen_k"] in (1, 3, 5, 9, 15, 25, 45, 75, 125, 225, 375)
    network = NearestNeighbours((2,), 2, last["chosen_k"])
    network.take_in(data.samples["pool"][torch.tensor(known)], data.labels["pool"][known])
    x = data.samples["test"].stored
    said, eta = network(x).argmax(1), data.eta(x)
    assert last["accuracy"] == pytest.approx(float((said == data.labels["test"]).float().mean()), abs=1e-6)
    assert last["accuracy_drawn"] == pytest.approx(float(torch.where(said == 1, eta, 1 - eta).mean()))
    assert last["accuracy_bayes"] == pytest.approx(float(torch.maximum(eta, 1 - eta).mean()))
    assert last["accuracy_drawn"] < last["accuracy_bayes"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--data=Digits", "the eta of Digits is not known; take BetaSampling"),
        ("--data.init_args.validation=0", "choices: are tried on the split val, and the data have none"),
        ("--query.init_args.query_sizes=[5,0]", "query_sizes: must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_named(argument: str, line: str, tmp_path: Path) -> None:
    few = () if argument == "--data=Digits" else FEW[:2]
    run = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *few, argument)
    assert run.returncode == 2, run.stderr
    assert line in run.stderr


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_and_two_ranks_give_the_run_of_one(tmp_path: Path) -> None:
    given = ("fit", "--config", EXPERIMENT, *FEW, "--trainer.accelerator=cpu", "--ckpt_path=last")
    whole = aal(*given, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    moment = ("callbacks/round_checkpoint.py:save_checkpoint", "return", "2", str(tmp_path / "killed"))
    killed = aal(*given, "--out", tmp_path / "run", code=KILL, before=moment)
    assert killed.returncode == -9, killed.stderr
    chosen = [row["chosen_k"] for row in results(tmp_path / "whole")["rounds"]]
    assert len(set(chosen)) > 1, "which k is chosen makes no difference to this test"
    resumed = aal(*given, "--out", tmp_path / "run")
    assert resumed.returncode == 0, resumed.stderr
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    two = aal(*given, "--out", tmp_path / "two", ranks=2)
    assert two.returncode == 0, two.stderr
    assert results(tmp_path / "two")["rounds"] == results(tmp_path / "whole")["rounds"]
