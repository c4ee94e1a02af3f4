"""A study of a run and its replay by the real command line, and its going on from another working directory."""

import csv
from pathlib import Path

import pytest
import yaml

from aal.cli.study import study
from tests.commands import EXPERIMENT, ROOT, ForkedCell

CONFIGS = ROOT / "configs"
FEW = {"query": {"init_args": {"query_size": 2, "budget": 3, "max_epochs": 4}}}
STUDY = {
    "name": "replayed",
    "configs": [str(EXPERIMENT), {"poison": None}, FEW],
    "seeds": [1],
    "arms": {
        "replay": [
            *(str(CONFIGS / name) for name in ("model/nn2.yaml", "query/replay.yaml")),
            {"query": {"init_args": {"run": "cell:source"}}},
        ],
        "source": [str(CONFIGS / "query" / "dfal.yaml")],
    },
    "table": "transfer",
    "rows": [{"arm": "replay"}],
}


def ledger(out: Path, arm: str) -> list[dict[str, str]]:
    with (out / arm / "seed=1" / "ledger.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_replay_is_given_the_labels_of_its_source_and_goes_on_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    monkeypatch.setattr("aal.studies.execution.CellProcess", ForkedCell)
    monkeypatch.chdir(tmp_path)
    assert study(["run", "study.yaml", "--out", "out", "--jobs", "1"]) == 0
    columns = ("index", "round", "label", "labeler", "strategy", "status")
    ours, theirs = ([[row[key] for key in columns] for row in ledger(out, arm)] for arm in ("replay", "source"))
    assert ours == theirs
    assert [row[4] for row in ours] == ["initial"] * 20 + ["DFAL"] * 3
    (row,) = csv.DictReader((out / "table.csv").open(newline=""))
    told = [row[key] for key in ("strategy", "source_network", "network", "labels", "data_mean")]
    assert told == ["DFAL", "DigitBackbone + NN1", "DigitBackbone + NN2", "23", "26.0"]
    replay = out / "replay" / "seed=1"
    assert yaml.safe_load((replay / "config.yaml").read_text())["query"]["init_args"]["run"] == "out/source/seed=1"
    (replay / "summary.json").unlink()  # as if it had been killed before its end
    before = (replay / "ledger.csv").read_bytes()
    monkeypatch.chdir(elsewhere)
    assert study(["run", "../study.yaml", "--out", "../out", "--jobs", "1"]) == 0, capfd.readouterr().err
    assert (replay / "summary.json").exists()
    assert (replay / "ledger.csv").read_bytes() == before
