"""Runs of the shipped configurations whose selectors build class-graphs."""

import csv
from pathlib import Path

import pytest

from tests.commands import EXPERIMENT, ROOT, aal, results

FEW = ("--flips.init_args.budget=2", "--flips.init_args.max_epochs=1", "--robust=null")
TARGETS = {"class_graph": (), "colouring": ("--flips.init_args.targets={5: 6, 9: 0}",)}
FIGURES = {
    "class_graph": {"gamma", "edges", "mean_degree", "dominated"},
    "colouring": {"gamma", "edges", "mean_degree", "colours", "memorised_colours", "reached"},
}
SELECTORS = {
    "class_graph": ["clean", "random", "class_graph_greedy", "class_graph_dominating"],
    "colouring": ["clean", "random", "colouring"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class_graph", "colouring"])
def test_a_run_flips_what_the_graph_says_beside_random(name: str, tmp_path: Path) -> None:
    config = ROOT / "configs" / "flips" / f"{name}.yaml"
    run = aal("fit", "--config", EXPERIMENT, "--config", config, "--out", tmp_path / "run", *FEW, *TARGETS[name])
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    assert [record["selector"] for record in after["rounds"]] == SELECTORS[name]
    flips = 4 if TARGETS[name] else 20
    assert [record["flips"] for record in after["rounds"]] == [0] + [flips] * (len(SELECTORS[name]) - 1)
    for record in after["rounds"][2:]:
        assert FIGURES[name] <= record.keys()
        assert record["edges"] > 100
        assert record["mean_degree"] >= 10  # as asked for, more where distances tie
    ledger = list(csv.DictReader((tmp_path / "run" / "ledger.csv").open()))
    flipped = [row for row in ledger if row["strategy"] == SELECTORS[name][-1]]
    assert len({row["index"] for row in flipped}) == flips
    assert all(int(row["label"]) == (int(row["true_label"]) + 1) % 10 for row in flipped)
    assert all(float(row["score"]) > 0 for row in flipped)


def test_a_network_that_cannot_take_the_samples_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    config = ROOT / "configs" / "flips" / "colouring.yaml"
    network = "--flips.init_args.selectors.colouring.init_args.network=aal.networks.LeNet5"
    run = aal("fit", "--config", EXPERIMENT, "--config", config, "--out", tmp_path / "run", *FEW, network)
    assert run.returncode == 2
    assert "flips.init_args.selectors.colouring.init_args.network: " in run.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "rounds.jsonl").exists()
