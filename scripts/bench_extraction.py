"""Model extraction beside ART's CopycatCNN and KnockoffNets: fidelity at one number of queries of the same victims.

Victim, pool and network are those of ``configs/experiment/shadow_digits.yaml``, a victim a seed. Ours are runs of that
experiment. ART's take the victim's file and the pool of our run, and train a network of the same kind from fresh
weights, for as many epochs as ours may take, with the same step size and batches. KnockoffNets' adaptive choice is told
the true labels of the pool besides, whose classes it chooses among, and learns labels alone.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import bench_peers as peers
import torch
from bench_attacks import judge
from torch import nn

from aal.cli.fit import fit
from aal.datamodules import Digits
from aal.models import ConvClassifier
from aal.networks import MLP
from aal.runs.files import read_tensors
from aal.studies.paired import paired_values

QUERIES, RATE, EPOCHS, BATCH = 400, 3e-3, 100, 32
SETTING: Mapping[str, Any] = {"queries": QUERIES, "rate": RATE, "epochs": EPOCHS, "batch": BATCH}
EXPERIMENT = Path(__file__).parents[1] / "configs" / "experiment" / "shadow_digits.yaml"
OURS = {
    "random, labels": ("--query", "random"),
    "margin, labels": ("--query", "margin"),
    "random, probabilities": ("--query", "random", "--victim_answers", "probabilities"),
    "margin, probabilities": ("--query", "margin", "--victim_answers", "probabilities"),
}
PAIRS = {  # ours, and which of ART's is told as much
    "random, labels": "CopycatCNN",
    "margin, labels": "KnockoffNets, adaptive",
    "random, probabilities": "KnockoffNets, random",
    "margin, probabilities": "KnockoffNets, random",
}


def bench_extraction(slow: bool) -> None:
    """Print the fidelity of every attack over seeds, three or with ``slow`` ten."""
    missing = peers.fault("ART")
    if missing:
        print(f"  ART: not installed ({missing})")
    found: dict[str, dict[int, float]] = {}
    for seed in range(10 if slow else 3):
        with tempfile.TemporaryDirectory() as folder:
            for name, arguments in OURS.items():
                out = Path(folder) / name.replace(", ", "-")
                found.setdefault(name, {})[seed] = _ours(out, seed, arguments)
            if missing is None:
                for name, fidelity in _arts(out, seed).items():
                    found.setdefault(name, {})[seed] = fidelity
    print(f"extraction: fidelity with {QUERIES} queries, {len(found['random, labels'])} victims, mean and deviation")
    for name, each in found.items():
        print(f"  {name:24} {fmean(each.values()):.4f} +- {stdev(each.values()):.4f}")
    for ours, theirs in PAIRS.items():
        if theirs in found:
            test = paired_values(ours, theirs, found[ours], found[theirs], digits=4)
            print(f"  {ours} minus {theirs}: {test.difference} ({test.outcome})")
            judge(
                f"{ours}: fidelity at least that of {theirs}",
                fmean(found[theirs].values()),
                fmean(found[ours].values()),
            )


def _ours(out: Path, seed: int, arguments: tuple[str, ...]) -> float:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fit(["--config", str(EXPERIMENT), "--out", str(out), "--seed_everything", str(seed), *arguments])
    last = json.loads((out / "rounds.jsonl").read_text().splitlines()[-1])
    assert last["queries_labels"] == QUERIES
    return float(last["fidelity"])


def _arts(out: Path, seed: int) -> dict[str, float]:
    """Run ART's attacks on the victim of a run of ours."""
    data = Digits(seed=seed, victim=500)
    data.setup("fit")
    pool, test = (data.samples[split][torch.arange(len(data.samples[split]))] for split in ("pool", "test"))
    victim = _network(seed)
    victim.load_state_dict(read_tensors(out / "victim.safetensors"))
    with torch.no_grad():
        wanted = victim.eval()(test).argmax(1)
    found = {}
    for name in ("CopycatCNN", "KnockoffNets, random", "KnockoffNets, adaptive"):
        stolen = peers.art_stolen(name, victim, _network(seed), (pool, data.labels["pool"]), {**SETTING, "seed": seed})
        with torch.no_grad():
            found[name] = float((stolen.eval()(test).argmax(1) == wanted).double().mean())
    return found


def _network(seed: int) -> nn.Module:
    """Return a network of the experiment's kind."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ConvClassifier(lambda shape, classes: MLP(shape, classes, (100,), dropout=0.2), 10, (1, 8, 8))
