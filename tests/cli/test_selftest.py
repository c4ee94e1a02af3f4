"""``aal selftest``: what it prints, writes and exits with, on the shipped experiment and on models that are broken."""

import json
from pathlib import Path

import pytest

from aal.__main__ import main
from aal.selftest import CHECKS
from tests.commands import EXPERIMENT, ROOT, aal, fit

BROKEN = """
from torch import Tensor
from aal.models import TransferClassifier


class Probabilities(TransferClassifier):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Steps(TransferClassifier):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((8 * x).round() / 8)
"""


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str, str]:
    """Run the command on the shipped experiment in this process; return exit code, output and errors."""
    monkeypatch.setattr("sys.argv", ["aal", "selftest", "--config", str(EXPERIMENT), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, printed.out, printed.err


@pytest.mark.slow
def test_the_shipped_experiment_passes(tmp_path: Path) -> None:
    report = tmp_path / "selftest.json"
    run = aal("selftest", "--config", EXPERIMENT, "--json", report)
    assert run.returncode == 0, run.stderr
    assert "TransferClassifier, trained on the true labels of 1438 samples" in run.stdout
    assert "on 180 test samples of Digits" in " ".join(run.stdout.split())
    verdicts = json.loads(report.read_text())["verdicts"]
    assert [verdict["check"] for verdict in verdicts] == list(CHECKS)
    for verdict in verdicts:
        assert any(verdict["check"] in line and verdict["status"] in line for line in run.stdout.splitlines())
        assert verdict["meaning"][:30] in run.stdout
    assert "0 failed." in run.stdout


@pytest.mark.slow
def test_points_that_were_placed_for_wrong_labels_are_not_trained_on() -> None:
    config = ROOT / "configs" / "experiment" / "noise_toy.yaml"
    run = aal("selftest", "--config", config, "--samples", "20", "--epochs", "20")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "trained on the true labels of 60 samples, epochs: " in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "check"), [("Probabilities", "logits"), ("Steps", "gradient")])
def test_a_broken_model_of_the_users_own_is_told(broken: str, check: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"model: {{class_path: mine.{broken}}}\n")
    few = ("--samples=50", "--epochs=3")
    run = aal("selftest", "--config", EXPERIMENT, "--config", overlay, *few, PYTHONPATH=str(tmp_path))
    assert run.returncode == 1, run.stderr
    assert [line for line in run.stdout.splitlines() if line.split()[:2] == [check, "failed"]], run.stdout


@pytest.mark.slow
def test_the_weights_of_a_run_are_tested(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert fit(out).returncode == 0
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    report, saved = tmp_path / "selftest.json", out / "checkpoints" / "last.ckpt"
    run = aal("selftest", "--config", out / "config.yaml", "--ckpt_path", saved, "--json", report)
    assert run.returncode == 0, run.stderr
    assert "weights of" in run.stdout
    verdicts = {verdict["check"]: verdict for verdict in json.loads(report.read_text())["verdicts"]}
    accuracy = json.loads((out / "summary.json").read_text())["accuracy"]
    assert verdicts["accuracy"]["figures"]["accuracy"] == pytest.approx(accuracy)
    assert files == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = aal("selftest", "--config", EXPERIMENT, "--model.init_args.head.hidden=5", "--ckpt_path", saved)
    assert other.returncode == 2
    assert other.stderr.startswith(f"error: ckpt_path: {saved}: not of this model")


@pytest.mark.quick
def test_weights_as_they_are_built_know_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked = ("--config", ROOT / "configs" / "logger" / "wandb.yaml")  # a test is no run: nothing is tracked
    few = ("--epochs=0", "--samples=40", "--norm=l2", "--radius=0.5", "--seed_everything=1")
    code, out, err = command(monkeypatch, capsys, *tracked, *few)
    assert code == 0, err
    assert "untrained" in out
    assert "attacks in l2 with a radius of 0.5" in " ".join(out.split())
    assert [line for line in out.splitlines() if line.split()[:2] == ["accuracy", "warned"]]


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--nope=3", "--nope=3"),
        ("--samples=0", "samples: must be at least 1"),
        ("--samples=many", '"samples"'),
        ("--epochs=-1", "epochs: must be at least 0"),
        ("--radius=0", "radius: must be above 0"),
        ("--radius=.nan", "radius: must be above 0"),
        ("--norm=l7", "norm: must be one of linf, l2, l1"),
        ("--ckpt_path=absent.ckpt", "ckpt_path: absent.ckpt: no such file"),
        (f"--ckpt_path={EXPERIMENT}", "holds more than tensors"),
        (f"--json={EXPERIMENT}/selftest.json", "json: "),
        ("--model.init_args.head.hidden=-1", "hidden"),
        ("--data.class_path=aal.datamodules.Nope", "Nope"),
        ("--trainer.precision=64-true", "trainer.precision"),
        ("--trainer.accelerator=abacus", "abacus"),
        ("--config=absent.yaml", "absent.yaml"),
    ],
)
def test_bad_values_are_named(
    argument: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(monkeypatch, capsys, argument)
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert named in err
