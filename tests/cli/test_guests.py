"""Classes of the user's own that break a contract, and Lightning's that the rounds cannot serve: one line each."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import callbacks
from torch import nn

from aal.callbacks import RoundCallback
from aal.callbacks.round_callback import Record, refuse_columns
from aal.cli.trainer import NOT_SERVED
from aal.datamodules import ActiveDataModule
from aal.errors import RunStopped
from aal.models.classifier import dry_run
from aal.oracles import Oracle
from aal.strategies import Selection, Strategy, View
from tests.cli.test_fit import refusal
from tests.commands import EXPERIMENT, ROOT, SMALL, aal

HERE = Path(__file__).relative_to(ROOT)


class Failing(Strategy):
    """Has a fault of its own in the second round."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose, once."""
        return Selection(view.candidates[:n] if view.record["round"] == 0 else {}["candidates"])


class Old(Strategy):
    """Takes no generator."""

    def select(self, view: View, n: int) -> Selection:  # type: ignore[override]
        """Choose."""
        return Selection(view.candidates[:n])


class Unprepared(Oracle):
    """Forgets what it is told."""

    def prepare(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def label(self, indices: torch.Tensor, *, round: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Ask for what it was not told."""
        return self.truth(indices), torch.zeros_like(indices)


class Absent(ActiveDataModule):
    """Reads a file that there is not."""

    num_classes, sample_shape = 10, (1, 8, 8)

    def load(self) -> Any:  # noqa: ANN401
        """Read it."""
        return open("absent.bin")


class Seedless(Absent):
    """Takes no seed."""

    def __init__(self, bank: str | None = None) -> None:
        super().__init__(bank=bank)


class Bare(ActiveDataModule):
    """Does not say of how many classes its samples are."""

    def load(self) -> Any:  # noqa: ANN401
        """Load nothing."""


class Writing(Strategy):
    """Chooses what it made of its candidates, which are all labelled."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose."""
        view.candidates[:n] = view.labelled[:n]
        return Selection(view.candidates[:n])


class Stopping(Strategy):
    """Has no more to choose."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Choose nothing."""
        return Selection(next(iter([])))


class Leaving(Strategy):
    """Leaves the program."""

    def select(self, view: View, n: int, *, generator: torch.Generator) -> Selection:
        """Leave."""
        raise SystemExit("enough")


class Keeping(pl.Callback):
    """Has state that no checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Return it."""
        return {"rule": [lambda loss: loss < 1]}


class Ending(pl.Callback):
    """Ends the run."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """End it."""
        trainer.should_stop = True


class Late(pl.Callback):
    """Fails when everything else is ready."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Fail."""
        raise KeyError("late")


class Raising(nn.Module):
    """Cannot be built."""

    def __init__(self) -> None:
        super().__init__()
        raise KeyError("weights")


@pytest.mark.parametrize(
    ("key", "name", "said"),
    [
        ("data", "Absent", "Absent: FileNotFoundError: [Errno 2] No such file or directory: 'absent.bin' ("),
        ("data", "Seedless", "error: Seedless: must take the argument seed"),
        ("data", "Bare", "error: Bare: must have num_classes"),
        (
            "query.init_args.oracle",
            "Unprepared",
            "Unprepared: AttributeError: 'Unprepared' object has no attribute 'truth'",
        ),
        ("trainer.callbacks", "Late", "Late: KeyError: 'late' ("),
        ("model.init_args.backbone", "Raising", "Raising: KeyError: 'weights' ("),
    ],
)
def test_a_class_that_fails_before_training_is_named_with_its_line(
    key: str, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--poison=null", f"--{key}={__name__}.{name}"]
    line = refusal(monkeypatch, capsys, *arguments, out=tmp_path / "run")
    assert said in line
    if " (" in said:
        assert f"{HERE}, line " in line
    assert not (tmp_path / "run").exists(), "the mended command takes the same folder"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Failing", f"Failing: KeyError: 'candidates' ({ROOT / HERE}, line "),
        ("Old", "Old: TypeError: Old.select() got an unexpected keyword argument 'generator' ("),
        ("Stopping", f"Stopping: StopIteration ({ROOT / HERE}, line "),
        ("Leaving", f"Leaving: SystemExit: enough ({ROOT / HERE}, line "),
        ("Writing", "round 0: Writing selected a sample twice, or one that is no candidate"),
        (
            "Keeping",
            "a checkpoint takes numbers, texts and tensors, no others: callbacks: Keeping: rule: builtins.function",
        ),
        ("Ending", f"interrupted, or cut short by a key of the trainer, or by {__name__}.Ending; the same command"),
    ],
)
def test_a_class_that_fails_in_a_round_stops_the_run_and_is_named(name: str, said: str, tmp_path: Path) -> None:
    key = "query.init_args.strategy" if issubclass(globals()[name], Strategy) else "trainer.callbacks"
    chosen = (f"--{key}={__name__}.{name}", "--query.init_args.max_epochs=2")
    run = aal("fit", "--config", EXPERIMENT, "--out", tmp_path / "run", *SMALL, "--poison=null", *chosen)
    assert run.returncode == 3, run.stderr
    assert run.stderr.splitlines()[-1].removeprefix("stopped: ").removeprefix(f"{__name__}.").startswith(said)
    assert "Traceback" not in run.stderr


ARGUMENTS: dict[str, dict[str, Any]] = {
    "EarlyStopping": {"monitor": "loss"},
    "GradientAccumulationScheduler": {"scheduling": {0: 2}},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "."},
    "StochasticWeightAveraging": {"swa_lrs": 0.1},
    "ThroughputMonitor": {"batch_size_fn": "builtins.len"},
    "Timer": {"duration": "00:00:01:00"},
}
# What looks on, or is a base for the user's own.
SERVED = {"BasePredictionWriter", "Callback", "LambdaCallback", "ModelSummary", "RichModelSummary"}
REFUSED = sorted({*callbacks.__all__} - SERVED)


def test_each_callback_of_lightning_is_served_or_refused_with_what_serves_instead() -> None:
    for name in callbacks.__all__:
        kind = getattr(callbacks, name)
        assert issubclass(kind, tuple(NOT_SERVED)) == (name not in SERVED), name
    assert all(NOT_SERVED.values())


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_that_the_rounds_cannot_serve_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"class_path": f"pytorch_lightning.callbacks.{name}", "init_args": ARGUMENTS.get(name, {})}
    line = refusal(monkeypatch, capsys, f"--trainer.callbacks={json.dumps([given])}", out=tmp_path / "run")
    assert line.startswith(f"error: trainer.callbacks: {name}: ")


class Stops(callbacks.EarlyStopping):
    """A kind of the user's own."""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{__name__}.Stops", "Stops: it would end the run, not a round; query.init_args.patience ends a round"),
        ("RunRecords", "RunRecords: a run has one of its own"),
        ("RoundCheckpoint", "RoundCheckpoint: a run has one of its own; checkpoint.interval says"),
        ("PoisonInjection", "PoisonInjection: a run has at most one"),
    ],
)
def test_so_are_kinds_of_them_and_second_ones(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = name if "." in name else f"aal.callbacks.{name}"
    given = {"class_path": path, "init_args": {"monitor": "loss"} if "Stops" in name else {}}
    line = refusal(monkeypatch, capsys, f"--trainer.callbacks={json.dumps([given])}", out=tmp_path / "run")
    assert line.startswith(f"error: trainer.callbacks: {said}")


class Adds(RoundCallback):
    """Adds whatever it is told to."""

    def __init__(self, columns: Record) -> None:
        self.added = columns

    def on_round_end(self, trainer: pl.Trainer, module: Any, record: Record) -> None:  # noqa: ANN401
        """Add it."""
        record.update(self.added)


@pytest.mark.parametrize(
    "columns",
    [{"mine": torch.ones(())}, {"mine": float("nan")}, {"mine": None}, {"mine": [1]}, {3: 1}, {"accuracy": 2}],
)
def test_a_record_has_texts_and_finite_numbers_and_no_column_changes(columns: Record) -> None:
    record: Record = {"accuracy": 0.5}
    Adds(columns).on_round_end(None, None, record)  # type: ignore[arg-type]
    column = next(iter(columns))
    with pytest.raises(RunStopped, match=rf"^round 0: Adds: (the|changed the) column {column}"):
        refuse_columns(record, {"accuracy": 0.5}, "round 0: Adds")
    refuse_columns({"accuracy": 0.5, "mine": 1, "by": "me"}, {"accuracy": 0.5}, "Adds")


@pytest.mark.parametrize("made", [None, torch.zeros(1, 3), torch.zeros(2, 3).double(), (torch.zeros(2, 3),)])
def test_a_network_gives_a_row_a_sample(made: Any) -> None:  # noqa: ANN401
    class Mine(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401
            return made

    with pytest.raises(ValueError, match=r"^network: Mine must give torch\.float32 \(2, \.\.\.\) of two samples, not"):
        dry_run(Mine(), (1, 8, 8), "network")
