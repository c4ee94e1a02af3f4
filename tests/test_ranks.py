"""Two processes query what one queries; one is the first, whatever the environment says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aal.cli.trainer import is_alone
from aal.runs.ranks import READ_ON_IMPORT
from tests.commands import DDP, EXPERIMENT, ROOT, SMALL, MadeOnce, aal, finished, fit, results

CPU = ("--trainer.accelerator=cpu", "--poison.init_args.batch_size=8")
UNFROZEN = (f"--config={ROOT}/configs/model/nn2.yaml", "--model.init_args.unfreeze_at=3")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), UNFROZEN], ids=["frozen", "dropout and unfreezing"])
def test_two_ranks_give_the_run_of_one(options: tuple[str, ...], tmp_path: Path) -> None:
    one = fit(tmp_path / "one", *CPU, *options)
    assert one.returncode == 0, one.stderr
    launched = () if options else (*DDP, "--trainer.devices=2")  # then Lightning starts the other rank
    two = fit(tmp_path / "two", *CPU, *options, *launched, ranks=2 if options else 1)
    assert two.returncode == 0, two.stderr
    alone, shared = results(tmp_path / "one"), results(tmp_path / "two")
    assert alone["ledger"] == shared["ledger"]
    assert alone["rounds"] == shared["rounds"]
    assert alone["poisons"] == shared["poisons"]
    assert alone["pictures"] == shared["pictures"]


STALE = {  # what is left of worlds that this process is not of
    "srun": {"SLURM_PROCID": "1"},
    "srun, whole": {
        **{"SLURM_JOB_NAME": "x", "SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "3", "SLURM_NODEID": "0"},
    },
    "torchrun": {
        **{"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "GROUP_RANK": "1"},
    },
}


@pytest.mark.parametrize("options", [(), DDP], ids=["alone", "ddp of one"])
@pytest.mark.parametrize("world", STALE)
def test_one_process_is_the_first_whatever_the_environment_says(
    world: str, options: tuple[str, ...], made_once: MadeOnce, tmp_path: Path
) -> None:
    without = ("--poison=null",)
    told = fit(tmp_path / "told", *without, *options, **STALE[world])
    assert told.returncode == 0, told.stderr
    assert "round 0: 20/26 labels" in told.stderr, "progress"
    assert results(tmp_path / "told") == results(made_once("small---poison=null", lambda out: finished(out, *without)))
    again = fit(tmp_path / "told", *without, *options, **STALE[world])
    assert (again.returncode, "is in use (it holds checkpoints)" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        *(("fit --config=nope.yaml", variables) for variables in (*STALE.values(), {"JSM_NAMESPACE_RANK": "2"})),
        ("selftest --config=nope.yaml", {"RANK": "1"}),
        ("study run nope.yaml --out=z", {"SLURM_PROCID": "1"}),
        ("nope", {"LOCAL_RANK": "1"}),
    ],
)
def test_what_is_refused_is_said_whatever_the_environment_says(command: str, variables: dict[str, str]) -> None:
    run = aal(*command.split(), **variables)
    assert (run.returncode, run.stderr[:11], run.stderr.count("\n")) == (2, "error: nope", 1)


def test_a_rank_that_is_no_number_is_none() -> None:
    command = [sys.executable, "-m", "aal", "fit", "--config", "nope.yaml"]
    variables = {**os.environ, **dict(zip(READ_ON_IMPORT, ("", "abc", "-1"), strict=False))}
    run = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, "error: nope.yaml: no such file\n")


@pytest.mark.parametrize(
    ("gpus", "accelerator", "devices", "alone"),
    [
        (0, "auto", "auto", True),
        (0, "auto", -1, True),
        (4, "cpu", "auto", True),
        (1, "auto", "auto", True),
        (4, "gpu", "auto", False),
        (4, "auto", "-1", False),
        *((4, "auto", devices, True) for devices in (1, "1", [3], "3,")),
        *((4, "auto", devices, False) for devices in (2, "2", [0, 1], "0,1", "0, 1,")),
    ],
)
def test_what_asks_for_one_process(
    gpus: int, accelerator: str, devices: object, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpus > 0)
    asked = {"devices": devices, "accelerator": accelerator, "num_nodes": 1}
    assert is_alone(asked) is alone
    assert not is_alone({**asked, "num_nodes": 2})


def test_what_a_scheduler_says_of_several_processes_must_fit_together(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", *DDP, "--trainer.devices=4", SLURM_JOB_NAME="x", SLURM_NTASKS="4")
    assert run.returncode == 2
    assert run.stderr.startswith("error: trainer: You set `--ntasks=4` in your SLURM bash script"), run.stderr


@pytest.mark.slow
def test_two_ranks_of_torchrun_give_the_run_of_one(made_once: MadeOnce, tmp_path: Path) -> None:
    world = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "aal", "fit"]
    own = ["--config", str(EXPERIMENT), "--out", str(tmp_path / "run"), *SMALL, "--poison=null", *DDP]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*world, *own, "--trainer.devices=2"]
    run = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=250)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("round 0: 20/26 labels") == 1, "the first rank alone shows it"
    one = results(made_once("small---poison=null", lambda out: finished(out, "--poison=null")))
    assert results(tmp_path / "run")["ledger"] == one["ledger"]
    refused = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert refused.stderr.count("is in use (it holds checkpoints)") == 1


def test_two_tasks_of_srun_give_the_run_of_one(made_once: MadeOnce, tmp_path: Path) -> None:
    tasks = {**{f"SLURM_NTASKS{of}": "2" for of in ("", "_PER_NODE")}, "SLURM_JOB_NAME": "x", "SLURM_NODEID": "0"}
    told = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
    run = fit(tmp_path / "run", "--poison=null", ranks=2, told=told, **tasks)
    assert run.returncode == 0, run.stderr
    one = results(made_once("small---poison=null", lambda out: finished(out, "--poison=null")))
    assert results(tmp_path / "run")["ledger"] == one["ledger"]
