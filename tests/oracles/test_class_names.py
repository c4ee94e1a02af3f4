"""Names of classes that look like numbers stay names, in configurations and in what a run leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aal.checks import class_map, class_number
from aal.errors import UserError
from aal.tracking.process import log_ledger
from tests.commands import aal

NAMES = sorted(map(str, range(1, 13)))  # 1, 10, 11, 12, 2, ...


def test_a_text_is_a_name_and_a_number_counts_from_zero() -> None:
    assert [class_number(given, 12, NAMES, "source") for given in ("2", 2, "12")] == [4, 2, 3]
    with pytest.raises(UserError, match=r"^source: there is no class '0'; the classes are 1, 10"):
        class_number("0", 12, NAMES, "source")
    assert [class_number(given, 2, ("cat", "dog"), "source") for given in ("1", "cat")] == [1, 0], "the command line"
    assert class_number("7", 10, None, "source") == 7
    for quoted in ("'2'", '"2"'):
        assert class_number(quoted, 12, NAMES, "source") == 4, "the command line, where the shell left the quotes"
        with pytest.raises(UserError, match=r"^source: there is no class '2'; the classes are cat"):
            class_number(quoted, 3, ("cat", "cow", "dog"), "source")
    assert class_number('"x"', 2, ("x", '"x"'), "source") == 1, "a class of that very name"


def test_a_map_of_classes_has_names_and_numbers_each_class_once() -> None:
    assert class_map({"2": "3", 3: 0, "1": "new"}, 12, NAMES, "targets", {"new": 12}) == {4: 5, 3: 0, 0: 12}
    assert class_map({"cat": 1}, 2, ("cat", "dog"), "targets") == {0: 1}
    for wrong, line in (
        ({"2": 4}, "must lead from a class to another, got '2' to 4"),
        ({"2": 1, 4: 2}, "class 4 is named twice"),
        ({"cow": 1}, "there is no class 'cow'"),
        ({2: 12}, "must be from 0 to 11, got 12"),
    ):
        with pytest.raises(UserError, match=f"^targets: {line}"):
            class_map(wrong, 12, NAMES, "targets")


class Tables:
    """What the tracker asks of W&B, and of its run."""

    class Table:
        """A table."""

        MAX_ROWS = 10

        def __init__(self, columns: list[str], data: list[list[object]]) -> None:
            self.rows = [dict(zip(columns, row, strict=True)) for row in data]

    def log(self, values: dict[str, Table]) -> None:
        """Keep what is logged."""
        self.logged = values["ledger"].rows


def test_a_liar_flips_the_class_that_is_named(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(14):
            pixels = np.clip(int(name) * 20 + draws.integers(-20, 20, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{k}.png")
    config = {
        "data": {"class_path": "ImageFolder", "init_args": {"root": str(tmp_path / "data"), "size": 8, "gray": True}},
        "model": {
            "class_path": "TransferClassifier",
            "init_args": {"backbone": "DigitBackbone", "head": {"hidden": 0}},
        },
        "robust": {
            "class_path": "RobustEvaluation",
            "init_args": {"attacks": {"fgsm": {"class_path": "FGSM"}}, "targets": {"5": "7", "9": "10"}},
        },
        "query": {
            "class_path": "QueryRounds",
            "init_args": {
                **{"strategy": {"class_path": "Random"}, "initial": 120, "budget": 5, "query_size": 5, "max_epochs": 2},
                "oracle": {"class_path": "Malicious", "init_args": {"source": "2", "target": "3"}},
            },
        },
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    run = aal("fit", "--config", tmp_path / "run.yaml", "--out", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    with (tmp_path / "run" / "ledger.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    flipped = {(row["true_class"], row["class"]) for row in rows if row["label"] != row["true_label"]}
    assert flipped == {("2", "3")}
    assert all(NAMES[int(row["true_label"])] == row["true_class"] for row in rows)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["classes"] == NAMES
    assert "<td>4</td><td>2</td>" in (tmp_path / "run" / "report.html").read_text().replace("\n", "").replace(" ", "")
    evaluation = json.loads(next((tmp_path / "run" / "robust").glob("round=*.json")).read_text())
    assert {(NAMES[a], NAMES[b]) for a, b in zip(evaluation["label"], evaluation["target"], strict=True)} == {
        ("5", "7"),
        ("9", "10"),
    }
    wandb = Tables()
    log_ledger(Tables, wandb, tmp_path / "run")
    assert {type(row["true_class"]) for row in wandb.logged} == {str}
    assert {type(row["label"]) for row in wandb.logged} == {int}
