"""The benchmark of the attacks: it says what it lacks before it measures anything, and judges as it says."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from tests.commands import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module with the attacks' part of the benchmark, which measures everything once."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import bench_attacks

    monkeypatch.setattr(bench_attacks, "LONG_ENOUGH", 0.0)
    return bench_attacks


def test_missing_data_are_named(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), "gradient", "collisions"]
    environment = {**os.environ, "AAL_DATA": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: AAL_DATA names no folder with MNIST/raw/train-images")
    assert ended.stderr.count("\n") == 1


def test_missing_peers_are_named_and_left_out(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(bench.peers.MODULES, "foolbox", "no_such_module")
    found = bench.present({"foolbox": 1, "naive loop": 2})
    assert found == [("naive loop", 2)]
    assert capsys.readouterr().out == "  foolbox left out: No module named 'no_such_module'\n"


@pytest.mark.parametrize(
    ("ours", "most", "unmet"),
    [
        (0.6, 1e9, []),
        (0.6, 0.0, ["time at most 0.0 x adv-lib"]),
        (0.81, 1e9, ["mean L2 at most 1.001 x adv-lib"]),
        (0.4, 1e9, ["no image that only adv-lib fools", "mean L2 at most 1.001 x adv-lib"]),
    ],
)
def test_targets_are_judged_beside_the_peer(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], ours: float, most: float, unmet: list[str]
) -> None:
    """Pixels above one half are of class 1; the peer moves each sample from 0 to 0.8."""
    network = nn.Linear(1, 2)
    nn.init.constant_(network.weight, 0.0)
    with torch.no_grad():
        network.weight[1], network.bias[0], network.bias[1] = 1.0, 0.5, 0.0
    x = torch.zeros(4, 1)
    on = bench.Subject("a pixel", network, x, torch.zeros(4, dtype=torch.int64))
    works = {bench.OURS: lambda: x + ours, "adv-lib": lambda: x + 0.8}
    bench.compare(bench.Setting(tmp_path, torch.device("cpu"), 1, False), on, works, "adv-lib", most)
    verdicts = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  target: ")]
    assert len(verdicts) == 3
    assert [line.removeprefix("  target: ").split(":")[0] for line in verdicts if "NOT MET" in line] == unmet


def test_a_set_of_targeted_collisions_is_judged_beside_bare_passes(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With random features for ResNet-50's: the poisons come nearer to the target, and the passes are counted."""
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), torch.rand(6, 3, 2, 2)
    monkeypatch.setattr(bench, "features", lambda n, device: (network, x[:n]))
    bench.bench_targeted(bench.Setting(tmp_path, torch.device("cpu"), 1, False), n=5, steps=10)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("a set of 5 at once, 10 steps")
    before, after = (float(words.split()[-1]) for words in lines[3].split(", then"))
    assert after < 0.5 * before
    assert lines[4].startswith("  target: at most 1.2 fb a step")


def test_a_target_without_its_peer_is_none(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on = bench.Subject("a pixel", nn.Linear(1, 2), torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))
    setting = bench.Setting(tmp_path, torch.device("cpu"), 1, False)
    bench.compare(setting, on, {bench.OURS: lambda: on.x}, "adv-lib", 0.5)
    assert capsys.readouterr().out.endswith("  no target without adv-lib\n")


@pytest.mark.slow
def test_the_clock_is_measured_beside_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import bench_rounds

    bench_rounds.bench_rounds(2, 1)
    assert "rounds: 2 of one query" in capsys.readouterr().out


@pytest.mark.parametrize(("module", "name"), [("bench_rounds", "TwoClasses"), ("bench_data", "RandomImages")])
def test_data_of_benchmarks_are_data(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    data = getattr(import_module(module), name)()
    data.setup("fit")
    assert len(data.pool) > 0
