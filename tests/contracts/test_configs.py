"""Every shipped configuration runs through the real command line."""

from pathlib import Path

import pytest
import yaml

from aal.studies.study import read_study
from aal.studies.tables import TABLES
from tests.runs import ROOT, SMALL, aal, results

CONFIGS = ROOT / "configs"
EXPERIMENTS = sorted((CONFIGS / "experiment").glob("*.yaml"))
# Laid under an overlay that says what the experiment says already, so that it has something to change back.
DISTURBED = {
    "nn1": "--model.init_args.head.hidden=5",
    "entropy": "--query.init_args.strategy=aal.strategies.Random",
    "collision": "--poison.init_args.screen=false",
    "csv": "--trainer.logger=false",
}
# Folders whose files are laid over an experiment.
OVERLAYS = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.parent.name not in ("experiment", "study"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_runs(path: Path, tmp_path: Path) -> None:
    run = aal("fit", "--config", path, "--out", tmp_path / "run", *SMALL)
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    assert after["summary"]["labels"] == 26
    assert len(after["rounds"]) == 7
    assert {"config.yaml", "figures", "ledger.csv", "metrics.csv", "report.html", "rounds.jsonl"} <= set(after["files"])


@pytest.mark.slow
@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_overlay_runs_on_every_experiment(path: Path, tmp_path: Path) -> None:
    for experiment in EXPERIMENTS:
        out = tmp_path / experiment.stem
        small = [argument for argument in SMALL if not ("poison." in argument and path.parent.name == "poison")]
        under = [DISTURBED[path.stem]] if path.stem in DISTURBED else []
        run = aal("fit", "--config", experiment, *under, "--config", path, "--out", out, *small)
        assert run.returncode == 0, run.stderr
        resolved, wanted = yaml.safe_load((out / "config.yaml").read_text()), yaml.safe_load(path.read_text())
        assert laid_over(wanted, resolved), "the file changed nothing"
        assert results(out)["summary"]["labels"] == 26


@pytest.mark.parametrize("path", sorted((CONFIGS / "study").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_is_sound(path: Path) -> None:
    study = read_study(path, TABLES)
    assert study.arms


def laid_over(wanted: object, resolved: object) -> bool:
    """Whether ``resolved`` has everything that ``wanted`` says."""
    if isinstance(wanted, dict):
        return isinstance(resolved, dict) and all(laid_over(wanted[key], resolved.get(key)) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(resolved, list) and all(map(laid_over, wanted, resolved))
    return wanted == resolved
