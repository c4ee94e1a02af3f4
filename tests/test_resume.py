"""Runs killed at any moment end as if they had not been killed."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands import ROOT, MadeOnce, finished, fit, results

# Kills its own process, with the signal that cannot be caught, at the COUNT-th time that a function is entered or
# left; says so in a file first.
KILL = """
import os, signal, sys
from tests.moments import when
at, event, count, marker = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1)), sys.argv.pop(1)
def kill():
    with open(marker, "w") as file:
        file.write(at)
    os.kill(os.getpid(), signal.SIGKILL)
import aal.cli.fit
from aal.__main__ import main
when(*at.split(":"), event, count, kill)
main()
"""


@dataclass(frozen=True)
class Moment:
    """Where a run is killed: when ``function`` is entered (``call``) or left (``return``) for one of ``times``."""

    phase: str
    function: str
    event: str
    times: range

    def __str__(self) -> str:
        return self.phase


MOMENTS = [
    Moment("writing the configuration", "aal/runs/folder.py:write_config", "call", range(1, 2)),
    Moment("making a file whole", "pathlib.py:replace", "call", range(1, 80)),
    Moment("crafting", "aal/attacks/feature_collision.py:attack", "return", range(1, 4)),
    Moment("saving a poison", "aal/data/samples.py:write", "return", range(1, 60)),
    Moment("poisons saved", "aal/poisons/poison_folder.py:record", "return", range(1, 4)),
    Moment("training", "aal/models/classifier.py:training_step", "return", range(10, 50)),
    Moment("scoring", "aal/strategies/entropy.py:select", "call", range(1, 7)),
    Moment("scored", "aal/strategies/entropy.py:select", "return", range(1, 7)),
    Moment("writing the record", "aal/runs/files.py:append_line", "return", range(2, 7)),
    Moment("writing labels", "aal/runs/records.py:write_ledger", "call", range(2, 7)),
    Moment("labels written", "aal/runs/records.py:write_ledger", "return", range(2, 7)),
    Moment("saving", "callbacks/round_checkpoint.py:save_checkpoint", "call", range(1, 7)),
    Moment("saved", "callbacks/round_checkpoint.py:save_checkpoint", "return", range(1, 8)),
    Moment("writing the summary", "aal/runs/records.py:write_summary", "call", range(1, 2)),
]
FROZEN = ("--poison.init_args.batch_size=10", "--ckpt_path=last")  # with nothing saved yet: from the beginning
# Dropout, a backbone that is trained from round 3 on, and a checkpoint after every epoch.
UNFROZEN = (
    *FROZEN,
    f"--config={ROOT}/configs/model/nn2.yaml",
    "--model.init_args.unfreeze_at=3",
    "--checkpoint.interval=0",
)


@pytest.fixture(scope="module")
def uninterrupted(made_once: MadeOnce) -> Callable[[tuple[str, ...]], dict[str, Any]]:
    """Gives the results of a run that nobody killed."""

    @cache
    def run(options: tuple[str, ...]) -> dict[str, Any]:
        out = made_once(f"resume-{len(options)}", lambda out: finished(out, *options))
        return {**results(out), "weights": weights(out)}

    return run


# With workers, moments on both sides of a checkpoint; before the first round there are none.
WITH_WORKERS = ("making a file whole", "training", "scored", "saving", "saved")
KILLED = [(moment, 0) for moment in MOMENTS] + [(moment, 2) for moment in MOMENTS if moment.phase in WITH_WORKERS]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "workers"), KILLED, ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(
    moment: Moment, workers: int, uninterrupted: Callable[[tuple[str, ...]], dict[str, Any]], tmp_path: Path
) -> None:
    check(moment, workers, FROZEN, uninterrupted(FROZEN), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("times", [range(10, 20), range(28, 36), range(44, 52)], ids=["frozen", "round 3", "last"])
def test_a_run_killed_within_a_round_goes_on_from_its_last_epoch(
    times: range, workers: int, uninterrupted: Callable[[tuple[str, ...]], dict[str, Any]], tmp_path: Path
) -> None:
    moment = Moment(f"epoch in {times}", "aal/models/classifier.py:training_step", "return", times)
    check(moment, workers, UNFROZEN, uninterrupted(UNFROZEN), tmp_path)


def check(moment: Moment, workers: int, options: tuple[str, ...], whole: dict[str, Any], folder: Path) -> None:
    """Kill a run at a moment chosen by its seed, let it go on, and compare all that it leaves."""
    out, marker = folder / "run", folder / "killed"
    count = random.Random(f"{moment} {workers}").choice(moment.times)
    same = (*options, f"--data.init_args.num_workers={workers}")
    killed = fit(out, *same, code=KILL, before=(moment.function, moment.event, str(count), str(marker)))
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text() == moment.function, "killed elsewhere"
    resumed = fit(out, *same)
    assert resumed.returncode == 0, resumed.stderr
    after = results(out)
    timings = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    assert all(0 <= row["seconds_train"] <= row["seconds"] < 100 for row in timings)
    for part, value in whole.items():
        assert value == (weights(out) if part == "weights" else after[part]), part


def weights(folder: Path) -> dict[str, list[float]]:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {name: tensor.flatten().tolist() for name, tensor in checkpoint["state_dict"].items()}
