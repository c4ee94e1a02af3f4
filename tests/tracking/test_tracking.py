"""Weights & Biases beside a run: everything arrives, and nothing that W&B does reaches the run."""

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from jsonargparse import ActionConfigFile, Namespace
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser
from pytorch_lightning.loggers import CSVLogger, Logger
from torch.utils.data import DataLoader, TensorDataset

from aal.cli.keys import Parser, loggers_in
from aal.errors import UserError
from aal.tracking.logger import PROCESS, WandbTracker

CONFIGS = Path(__file__).parents[2] / "configs" / "logger"

# A W&B that writes down its calls, or misbehaves where FAULT says: "<place> raises", "<place> hangs", "<place> dies".
FAKE = """
import json, os, signal, sys, time, types
def call(name, /, *args, **kwargs):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([name, os.getpid(), args, kwargs]) + "\\n")
    place, _, what = os.environ.get("FAULT", "").partition(" ")
    if place == name:
        if what == "raises":
            raise RuntimeError("W&B is broken")
        if what == "hangs":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        if what == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "times out":
            raise TimeoutError("not everything was sent")
        if what == "unreachable" and kwargs["mode"] is None:
            raise errors.Error("no answer")
class errors:
    class Error(Exception):
        pass
class Table:
    MAX_ROWS = 1
    def __init__(self, columns, data):
        call("Table", columns, data)
def Image(path): call("Image", path)
def Html(text, inject): call("Html", text)
def teardown(): call("teardown")
class Artifact:
    def __init__(self, name, type):
        self.files = []
    def add_file(self, path, name, policy, skip_cache):
        self.files.append(name)
class Run:
    resumed = "STEP" in os.environ
    step = int(os.environ.get("STEP", 0))
    summary = types.SimpleNamespace(update=lambda numbers: call("summary", numbers))
    id = "id"
    def define_metric(self, *args, **kwargs): call("define_metric", *args, **kwargs)
    def log(self, row, step=None, commit=None): call("log", {k: v for k, v in row.items() if v is not None}, step)
    def log_artifact(self, artifact): call("artifact", artifact.files)
    def finish(self, exit_code): call("finish", exit_code)
def init(**options):
    call("init", **options)
    return Run()
call("import")
"""


def row(index: int, seconds: float = 0.25) -> str:
    return json.dumps({"round": index, "labels": 20 + index, "accuracy": 0.5 + index / 100, "seconds": seconds}) + "\n"


def write_end(folder: Path) -> None:
    """Write what a run leaves when it is complete, and what must not be sent."""
    (folder / "ledger.csv").write_text("index,score,strategy,base\n4,,initial,\n9,0.5,Entropy,17\n")
    (folder / "summary.json").write_text(json.dumps({"accuracy": 0.75, "environment": {"torch": "2"}}))
    (folder / "report.html").write_text("<html>the report</html>")
    for name in ("figures/curve.png", "checkpoints/last.ckpt", "run.lock", ".half.12.partial"):
        (folder / name).parent.mkdir(exist_ok=True)
        matplotlib.image.imsave(folder / name, np.zeros((8, 8)), format="png")


class Rounds(Callback):
    """Writes a run's files when the real callbacks do: the rows as it goes, the rest at the very end of the fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text("seed_everything: 3\ndata:\n  class_path: aal.datamodules.Digits\n")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with (self.folder / "rounds.jsonl").open("a") as file:
            file.write(row(trainer.current_epoch))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        write_end(self.folder)


class Noisy(LightningModule):
    """A model whose weights show any disturbance of the global random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = (self.layer(batch[0] + torch.randn_like(batch[0])) ** 2).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, *loggers: Logger) -> torch.Tensor:
    """Run three rounds and return the weights at the end."""
    torch.manual_seed(0)
    module = Noisy()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=list(loggers),
        callbacks=[Rounds(folder)],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.randn(8, 2)), batch_size=4, num_workers=0))
    return module.layer.weight.detach()


class Fake:
    """The fake W&B's calls, and how to make it misbehave."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self._monkeypatch = path, monkeypatch

    def environment(self, **environment: str) -> None:
        """Set variables that the fake reads."""
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)

    def calls(self, name: str) -> list[list[Any]]:
        """Return (arguments, keywords) of every call of ``name``."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [call[2:] for call in map(json.loads, lines) if call[0] == name]

    def pids(self) -> set[int]:
        """Return the processes that called."""
        return {json.loads(line)[1] for line in self.path.read_text().splitlines()}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "wandb.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.jsonl"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return Fake(tmp_path / "calls.jsonl", monkeypatch)


def eventually(what: Any, seconds: float = 20) -> None:  # noqa: ANN401
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "aal.tracking.logger" and r.levelno >= logging.WARNING]


def records(path: Path) -> Iterator[Any]:
    """Read the records in W&B's own file: blocks of 32 KiB of (crc, length, kind) and data, as in LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, buffer = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        buffer += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(buffer)
            buffer = b""
            yield record


def test_offline_run_arrives_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:  # noqa: ANN401
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    untracked = fit(tmp_path / "untracked", CSVLogger(tmp_path / "untracked", name="", version=""))
    folder = tmp_path / "poisoned" / "seed=3"
    loaded = set(sys.modules)
    weights = fit(folder, CSVLogger(folder, name="", version=""), WandbTracker(str(folder)))
    assert not {name for name in set(sys.modules) - loaded if name.split(".")[0] == "wandb"}
    assert torch.equal(weights, untracked)
    for name in ("metrics.csv", "rounds.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "untracked" / name).read_bytes()
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    kept = f"what it took is kept, `wandb sync {path.parent}` uploads it"
    assert warnings_of(caplog) == [f"Weights & Biases is offline: {kept}"]

    found: dict[str, list[Any]] = {}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    (run,) = found["run"]
    assert (run.project, run.run_group, run.display_name) == ("aal", "poisoned", "poisoned/seed=3")
    assert run.run_id == (folder / "wandb" / "run_id").read_text().strip()
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["data"] == {"class_path": "aal.datamodules.Digits"}
    assert [(m.name or m.glob_name, m.step_metric) for m in found["metric"]] == [("labels", ""), ("*", "labels")]

    history = [{"/".join(i.nested_key): json.loads(i.value_json) for i in h.item} for h in found["history"]]
    rows = [{key: h[key] for key in ("_step", "labels", "round", "accuracy")} for h in history if "accuracy" in h]
    assert rows == [{"_step": i, "labels": 20 + i, "round": i, "accuracy": 0.5 + i / 100} for i in range(3)]
    media = {key: value for h in history for key, value in h.items()}
    files = path.parent / "files"
    assert json.loads((files / media["ledger/path"]).read_text()) == {
        "columns": ["index", "score", "strategy", "base"],
        "data": [[4, None, "initial", None], [9, 0.5, "Entropy", 17]],
    }
    assert (files / media["figures/curve/path"]).read_bytes() == (folder / "figures" / "curve.png").read_bytes()
    assert "the report" in (files / media["report/path"]).read_text()
    summary = {u.key: json.loads(u.value_json) for s in found["summary"] for u in s.update if u.key}
    assert summary["accuracy"] == 0.75
    assert summary["environment"] == {"torch": "2"}
    (artifact,) = [a for a in found["artifact"] if a.type == "run"]
    expected = {"config.yaml", "figures/curve.png", "ledger.csv", "metrics.csv", "report.html", "rounds.jsonl"}
    assert {entry.path for entry in artifact.manifest.contents} == expected | {"summary.json"}
    assert found["exit"][0].exit_code == 0


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("import raises", "failed|stopped"),
        ("init raises", "failed|stopped"),
        ("init hangs", "did not finish in time"),
        ("log raises", "failed|stopped"),
        ("log dies", "failed|stopped"),
        ("Table raises", "did not take every part"),
        ("finish hangs", "did not finish in time"),
        ("finish dies", "failed"),
        ("finish times out", "was not reached"),
    ],
)
def test_broken_wandb_changes_nothing(fault: str, says: str, fake: Fake, tmp_path: Path, caplog: Any) -> None:  # noqa: ANN401
    fake.environment(FAULT=fault)
    untracked = fit(tmp_path / "untracked")
    begun = time.monotonic()
    wait = 1.5 if fault.endswith("hangs") else 20
    assert torch.equal(fit(tmp_path / "run", WandbTracker(str(tmp_path / "run"), wait=wait)), untracked)
    assert time.monotonic() - begun < 15, "what hangs would hang for 1000 s"
    assert (tmp_path / "run" / "rounds.jsonl").read_bytes() == (tmp_path / "untracked" / "rounds.jsonl").read_bytes()
    (warning,) = warnings_of(caplog)
    assert any(part in warning for part in says.split("|")), warning
    assert "\n" not in warning
    assert str(tmp_path / "run" / "wandb") in warning
    if "raises" in fault:
        assert "W&B is broken" in (tmp_path / "run" / "wandb" / "tracking.log").read_text()
    if fault == "Table raises":
        assert fake.calls("artifact"), "one part that is refused must not cost the others"
    if not fault.startswith("init hangs"):
        assert not any(alive(pid) for pid in fake.pids())


def test_dead_process_is_told_once_while_the_run_goes_on(fake: Fake, tmp_path: Path, caplog: Any) -> None:  # noqa: ANN401
    fake.environment(FAULT="init dies")
    (tmp_path / "run").mkdir()
    tracker = WandbTracker(str(tmp_path / "run"))
    tracker.save()
    eventually(lambda: (tracker.save(), warnings_of(caplog))[1])
    for _ in range(3):
        tracker.save()
    tracker.finalize("success")
    (warning,) = warnings_of(caplog)
    assert "the run goes on" in warning


def test_unreachable_server_means_offline(fake: Fake, tmp_path: Path, caplog: Any) -> None:  # noqa: ANN401
    fake.environment(FAULT="init unreachable")
    fit(tmp_path / "run", WandbTracker(str(tmp_path / "run")))
    assert [options["mode"] for _, options in fake.calls("init")] == [None, "offline"]
    assert len(fake.calls("teardown")) == 1, "the failed run must be let go first"
    assert [step for (_, step), _ in fake.calls("log")][:3] == [0, 1, 2]
    assert "was not reached" in warnings_of(caplog)[0]


def test_cut_and_torn_rounds_are_sent_once(fake: Fake, tmp_path: Path) -> None:
    rounds = tmp_path / "rounds.jsonl"
    rounds.write_text(row(0) + row(1) + row(2) + '{"round": 3, "lab')
    tracker = WandbTracker(str(tmp_path))
    tracker.save()
    eventually(lambda: len(fake.calls("log")) == 3)
    rounds.write_text(row(0) + row(1, seconds=111.5))  # a resumed run cuts the file and goes on
    time.sleep(1.2)
    rounds.write_text(row(0) + row(1, seconds=111.5) + row(2, seconds=7) + row(3))
    write_end(tmp_path)
    tracker.finalize("success")
    assert [step for (_, step), _ in fake.calls("log")][:4] == [0, 1, 2, 3]
    assert fake.calls("finish") == [[[0], {}]]


def test_resumed_run_continues_where_the_server_is(fake: Fake, tmp_path: Path) -> None:
    for step, expected in ((None, [0, 1]), (2, [2])):
        with (tmp_path / "rounds.jsonl").open("w") as file:
            file.writelines(row(i) for i in range(2 if step is None else 3))
        if step is not None:
            fake.path.unlink()
            fake.environment(STEP=str(step))
        tracker = WandbTracker(str(tmp_path))
        tracker.save()
        eventually(lambda: fake.calls("log"))
        tracker.finalize("failed")
        eventually(lambda: fake.calls("finish"))
        assert [step for (_, step), _ in fake.calls("log")] == expected
        assert fake.calls("finish") == [[[1], {}]]
        ((_, options),) = fake.calls("init")
        assert options["id"] == (tmp_path / "wandb" / "run_id").read_text().strip()
        assert options["resume"] == "allow"


def test_rounds_with_as_many_labels_each_arrive_along_the_axis_of_the_clock(fake: Fake, tmp_path: Path) -> None:
    records = [
        {"round": 0, "labels": 600, "accuracy": 0.9, "selector": "clean"},
        {"round": 1, "labels": 600, "accuracy": 0.8, "selector": "path_length", "position": 3.0},
    ]
    (tmp_path / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_end(tmp_path)
    tracker = WandbTracker(str(tmp_path))
    tracker.axis = "round"
    tracker.save()
    tracker.finalize("success")
    assert [arguments for arguments, _ in fake.calls("log")][:2] == [[records[0], 0], [records[1], 1]]
    assert fake.calls("define_metric") == [[["round"], {"hidden": True}], [["*"], {"step_metric": "round"}]]


@pytest.mark.parametrize("orphan", [False, True])
def test_killed_run_is_marked_as_failed(orphan: bool, fake: Fake, tmp_path: Path) -> None:
    """Also when a forked worker of the killed run lives on and keeps the pipe open."""
    (tmp_path / "wandb").mkdir()
    options = {name: None for name in ("project", "entity", "group", "name", "notes", "tags", "mode")}
    command = [
        sys.executable,
        *("-P", str(PROCESS)),
        str(tmp_path),
        json.dumps({**options, "wait": 5, "id": "x", "axis": "labels"}),
    ]
    script = f"""
import os, signal, subprocess, time
subprocess.Popen({command!r}, stdin=subprocess.PIPE)
while not os.path.exists(os.environ["CALLS"]): time.sleep(0.05)
if {orphan} and os.fork() == 0: time.sleep(10)
else: os.kill(os.getpid(), signal.SIGKILL)
"""
    quiet = subprocess.DEVNULL
    killed = subprocess.run([sys.executable, "-c", script], check=False, stdout=quiet, stderr=quiet)
    assert killed.returncode == -signal.SIGKILL
    eventually(lambda: fake.calls("finish"), seconds=10)
    assert fake.calls("finish") == [[[1], {}]]
    assert fake.calls("artifact") == []


def test_refused_run_touches_nothing(fake: Fake, tmp_path: Path) -> None:
    class Refuses(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            raise UserError("in use")

    trainer = Trainer(
        accelerator="cpu",
        logger=WandbTracker(str(tmp_path / "run")),
        callbacks=[Refuses()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    with pytest.raises(UserError, match="in use"):
        trainer.fit(Noisy(), DataLoader(TensorDataset(torch.randn(8, 2))))
    assert not (tmp_path / "run").exists()


def test_starts_only_on_rank_zero_and_when_enabled(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def track() -> None:
        tracker = WandbTracker(str(tmp_path / "run"))
        tracker.save()
        tracker.finalize("success")
        assert not (tmp_path / "run").exists()

    with monkeypatch.context() as patch:
        patch.setattr(rank_zero_only, "rank", 1)
        track()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    track()


def test_folder_that_cannot_be_written_is_one_warning(fake: Fake, tmp_path: Path, caplog: Any) -> None:  # noqa: ANN401
    (tmp_path / "wandb").write_text("a file where the folder should be")
    tracker = WandbTracker(str(tmp_path))
    tracker.save()
    tracker.save()
    tracker.finalize("success")
    (warning,) = warnings_of(caplog)
    assert "did not start" in warning


def test_bad_arguments_are_named() -> None:
    with pytest.raises(UserError, match="save_dir"):
        WandbTracker()
    with pytest.raises(UserError, match="wait"):
        WandbTracker("runs/x", wait=-1)


@pytest.mark.parametrize("name", ["csv.yaml", "wandb.yaml", None])
def test_shipped_configs_write_into_the_runs_folder(name: str | None, tmp_path: Path) -> None:
    parser = LightningArgumentParser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_lightning_class_args(Trainer, "trainer")
    config = parser.parse_args(["--config", str(CONFIGS / name)] if name else [])
    written = parser.dump(config)
    config.trainer.logger = loggers_in(tmp_path / "run", config.trainer.logger)
    loggers = parser.instantiate_classes(config).trainer.logger
    assert [type(logger) for logger in loggers] == [CSVLogger, WandbTracker][: 2 if name == "wandb.yaml" else 1]
    assert [logger.save_dir for logger in loggers] == [str(tmp_path / "run")] * len(loggers)
    assert Path(loggers[0].log_dir) == tmp_path / "run"
    assert str(tmp_path) not in written


@pytest.mark.parametrize("name", ["CSVLogger", "TensorBoardLogger", "WandbLogger"])
@pytest.mark.parametrize("several", [False, True])
def test_lightnings_own_loggers_write_into_the_runs_folder(name: str, several: bool, tmp_path: Path) -> None:
    parser = Parser()
    parser.add_lightning_class_args(Trainer, "trainer")
    config = parser.parse_args([f"--trainer.logger={[name] if several else name}"])
    (logger,) = loggers_in(tmp_path / "run", config.trainer.logger)
    told = logger.init_args
    assert told.save_dir == str(tmp_path / "run")
    assert (told.name, told.version) == ((None, None) if name == "WandbLogger" else ("", ""))
    mine = json.dumps({"class_path": name, "init_args": {"save_dir": "mine"}})
    (logger,) = loggers_in(tmp_path / "run", parser.parse_args([f"--trainer.logger={mine}"]).trainer.logger)
    theirs = None if name == "WandbLogger" else "lightning_logs"
    assert (logger.init_args.save_dir, logger.init_args.name, logger.init_args.version) == ("mine", theirs, None)


def test_so_does_one_that_has_a_folder_of_its_own(tmp_path: Path) -> None:
    name, parser = "pytorch_lightning.loggers.MLFlowLogger", Parser()
    parser.add_lightning_class_args(Trainer, "trainer")
    (logger,) = loggers_in(tmp_path / "run", parser.parse_args([f"--trainer.logger={name}"]).trainer.logger)
    assert Path(logger.init_args.save_dir) == tmp_path / "run" / "mlruns"
    mine = json.dumps({"class_path": name, "init_args": {"save_dir": "mine"}})
    (logger,) = loggers_in(tmp_path / "run", parser.parse_args([f"--trainer.logger={mine}"]).trainer.logger)
    assert logger.init_args.save_dir == "mine"


def test_logger_config_stays_as_the_user_wrote_it(tmp_path: Path) -> None:
    mine = Namespace(class_path="x.Logger", init_args=Namespace(save_dir="elsewhere"))
    empty = Namespace(class_path="y.Logger", init_args=Namespace(save_dir=""))
    filled = loggers_in(tmp_path, [mine, empty])
    assert [logger.init_args.save_dir for logger in filled] == ["elsewhere", str(tmp_path)]
    assert empty.init_args.save_dir == ""
    assert loggers_in(tmp_path, False) == []


def test_the_process_starts_without_torch() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({str(PROCESS)!r}); "
        "print(sorted({'aal', 'torch', 'pytorch_lightning', 'wandb'} & sys.modules.keys()))"
    )
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert started.stdout == "[]\n"
