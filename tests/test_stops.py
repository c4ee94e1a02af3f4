"""Runs that have to stop: exit code 3, the reason in one line, all that was saved whole."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.commands import ROOT, MadeOnce, finished, fit, results

# A limit on the size of a file is met like a full disk: the write fails with the file half written.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from aal.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def uninterrupted(made_once: MadeOnce) -> Callable[[tuple[str, ...]], dict[str, Any]]:
    """Gives the results of a run that nothing stopped."""

    @cache
    def run(options: tuple[str, ...]) -> dict[str, Any]:
        return results(made_once("-".join(("small", *options)), lambda out: finished(out, *options)))

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "file", "options"),
    [
        (100, "config.yaml", ()),
        (4_000, "manifest.json", ()),
        (24_000, "features.png", ()),
        (16_000, "last.ckpt", ("--poison=null",)),
        (200_000, "report.html", ()),
    ],
)
def test_without_space_the_run_stops_and_goes_on_later(
    limit: int,
    file: str,
    options: tuple[str, ...],
    uninterrupted: Callable[[tuple[str, ...]], dict[str, Any]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    stopped = fit(out, *options, "--ckpt_path=last", code=LIMITED, before=(str(limit),))
    assert stopped.returncode == 3, stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("stopped: no space left to write"), last
    assert file in last
    assert "Traceback" not in stopped.stderr
    assert not list(out.rglob("*.partial"))
    resumed = fit(out, *options, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == uninterrupted(options)


@pytest.mark.parametrize(("epochs", "loss"), [(8, "training"), (1, "test")])
def test_a_loss_that_is_not_finite_stops_the_run_with_round_and_reason(epochs: int, loss: str, tmp_path: Path) -> None:
    options = ("--poison=null", f"--query.init_args.max_epochs={epochs}", "--model.init_args.learning_rate=3e37")
    run = fit(tmp_path / "run", *options)
    assert run.returncode == 3, run.stderr
    assert run.stderr.splitlines()[-1].startswith(f"stopped: round 0, epoch 1: the {loss} loss is ")
    assert "nan" not in (tmp_path / "run" / "ledger.csv").read_text().lower()


@pytest.mark.parametrize("poison", [(), ("--poison=null",)], ids=["crafting", "encoding"])
def test_features_that_are_not_finite_stop_the_run(poison: tuple[str, ...], tmp_path: Path) -> None:
    weights = load_file(ROOT / "aal" / "networks" / "weights" / "digit_backbone.safetensors")
    save_file({name: tensor * 1e30 for name, tensor in weights.items()}, tmp_path / "w.safetensors")
    run = fit(tmp_path / "run", *poison, f"--model.init_args.backbone.init_args.weights={tmp_path}/w.safetensors")
    assert run.returncode == 3, run.stderr
    assert "not finite" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("cut", ["--trainer.max_epochs=12", "--trainer.max_epochs=0"])
def test_a_run_that_the_trainer_cuts_short_is_not_finished(cut: str, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", cut)
    assert run.returncode == 3, run.stderr
    assert "cut short by a key of the trainer; the same command with --ckpt_path last goes on" in run.stderr
    assert not (tmp_path / "run" / "summary.json").exists()


STRATEGY = """
from dataclasses import dataclass
from aal.strategies import Selection, Strategy

@dataclass(frozen=True)
class Wrong(Strategy):
    def select(self, view, n, *, generator):
        scores = view.probabilities[:n + 1, 0]
        return Selection(view.candidates[:n + 1], scores) if FAULT == "many" else Selection(
            view.candidates[:n], scores[:n] * float("nan"))
"""


@pytest.mark.parametrize(
    ("fault", "said"), [("many", "Wrong selected 2 samples, asked for 1"), ("nan", "score is NaN")]
)
def test_a_strategy_that_breaks_its_contract_stops_the_run(fault: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(STRATEGY.replace("FAULT", repr(fault)))
    own = "--query.init_args.strategy=wrong.Wrong"
    run = fit(tmp_path / "run", own, "--poison=null", PYTHONPATH=str(tmp_path))
    assert run.returncode == 3, run.stderr
    assert f"stopped: round 0: {said}" in run.stderr or said in run.stderr
    assert len((tmp_path / "run" / "ledger.csv").read_text().splitlines()) == 21, "nothing was labelled"


def test_the_end_of_the_pool_is_an_ordinary_end(tmp_path: Path) -> None:
    run = fit(
        tmp_path / "run",
        "--query.init_args.budget=null",
        "--query.init_args.query_size=400",
        "--query.init_args.max_epochs=1",
    )
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    assert [row["labels"] for row in after["rounds"]] == [20, 420, 820, 1220, 1468]
    assert after["summary"]["poisons_queried"] == 30
    indices = [int(line.split(",")[0]) for line in after["ledger"].decode().splitlines()[1:]]
    assert sorted(indices) == list(range(1468)), "every sample was labelled once"
