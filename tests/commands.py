"""Real runs of the command line for the tests: started, killed, compared."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from aal.studies.cells import Cell
from tests.server import Server

ROOT = Path(__file__).parent.parent
MadeOnce = Callable[[str, Callable[[Path], object]], Path]  # the fixture of tests/conftest.py
EXPERIMENT = ROOT / "configs" / "experiment" / "collision_digits.yaml"
SMALL = ("--query.init_args.budget=6", "--query.init_args.max_epochs=8", "--poison.init_args.n=30")
DDP = ("--trainer.accelerator=cpu", "--trainer.strategy=ddp")
# Where a process may fork after importing torch: not where it may have touched a GPU.
FORKS = sys.platform == "linux" and not torch.cuda.is_available()


@cache
def server(number: int) -> Server:
    """Return one of this process's servers, started when it is first asked for."""
    return Server({**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"})


# Two in turn, so that runs that are compared hash their strings differently, as two processes do.
SERVERS = cycle([partial(server, 0), partial(server, 1)])


def aal(
    *arguments: str | Path,
    code: str | None = None,
    before: tuple[str, ...] = (),
    ranks: int = 1,
    told: Sequence[dict[str, str]] | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``aal`` with one thread, or the script ``code``, which finds the arguments ``before`` before the others.

    Two ranks are two processes with the variables ``told`` each, or those that Lightning starts its own with; what is
    returned is of the first that failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", **variables}
    given = [*before, *map(str, arguments)]
    if ranks == 1:
        return started(next(SERVERS), given, environment, code)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    by_lightning = [{"WORLD_SIZE": str(ranks), "NODE_RANK": "0", "LOCAL_RANK": str(rank)} for rank in range(ranks)]
    given += [*DDP, f"--trainer.devices={ranks}"]
    with ThreadPoolExecutor(ranks) as pool:
        runs = [
            pool.submit(started, partial(server, rank), given, {**environment, **port, **world}, code)
            for rank, world in enumerate(told or by_lightning)
        ]
        return max((run.result() for run in runs), key=lambda done: done.returncode != 0)


def started(
    serving: Callable[[], Server], given: list[str], environment: dict[str, str], code: str | None
) -> subprocess.CompletedProcess[str]:
    """Run one process to its end."""
    if FORKS and (forking := serving()).forks:
        return forking.run(given, environment, code)
    return subprocess.run(
        [sys.executable, *(["-m", "aal"] if code is None else ["-c", code]), *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class ForkedCell:
    """In the place of a study's :class:`aal.studies.cells.CellProcess`: a run like any other of the tests.

    For studies that are no test of how their cells are started and killed.
    """

    ONE_BY_ONE = ThreadPoolExecutor(1)
    THERE = "import os, sys; os.chdir(sys.argv.pop(1)); from aal.__main__ import main; main()"

    def __init__(self, cell: Cell, command: list[str], threads: int) -> None:
        self.cell, self.started = cell, time.monotonic()
        given = [os.getcwd(), *command[command.index("aal") + 1 :]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._run = self.ONE_BY_ONE.submit(started, next(SERVERS), given, environment, self.THERE)

    def poll(self) -> int | None:
        if not self._run.done():
            return None
        run = self._run.result()
        self.cell.log.parent.mkdir(exist_ok=True)
        self.cell.log.write_text(run.stdout + run.stderr)
        return run.returncode

    def kill(self) -> None:
        self._run.result()


def fit(out: Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run the small experiment into ``out``; ``how`` is what :func:`aal` takes."""
    return aal("fit", "--config", EXPERIMENT, "--out", out, *SMALL, *arguments, **how)


def finished(out: Path, *arguments: str) -> None:
    """Run the small experiment into ``out``, to its end."""
    run = fit(out, *arguments)
    assert run.returncode == 0, run.stderr


def results(folder: Path) -> dict[str, Any]:
    """Return all that a run leaves, timings and environment apart."""
    summary = json.loads((folder / "summary.json").read_text())
    summary.pop("environment")
    manifest = json.loads((folder / "poisons" / "manifest.json").read_text()) if (folder / "poisons").exists() else {}
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    timed = {k for k, name in enumerate(header.split(",")) if name.startswith("seconds")}
    return {
        "ledger": (folder / "ledger.csv").read_bytes(),
        "rounds": [untimed(json.loads(line)) for line in (folder / "rounds.jsonl").read_text().splitlines()],
        "summary": untimed(summary),
        "poisons": [untimed(row) for row in manifest.get("poisons", [])],
        "pictures": {path.name: path.read_bytes() for path in sorted((folder / "poisons").glob("*.png"))},
        "metrics": [[f for k, f in enumerate(line.split(",")) if k not in timed] for line in lines],
        "files": sorted(path.name for path in folder.iterdir()),
    }


def untimed(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.startswith("seconds")}
