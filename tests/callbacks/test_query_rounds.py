"""What a run did, read from the files it left."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aal.datamodules import Digits
from aal.networks import DigitBackbone
from aal.runs.records import LEDGER_COLUMNS
from tests.commands import fit

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small poisoned run with queries of three."""
    out = tmp_path_factory.mktemp("runs") / "run"
    done = fit(out, "--query.init_args.query_size=3", "--query.init_args.budget=50", "--seed_everything=3")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def data() -> Digits:
    digits = Digits(seed=3)
    digits.setup("fit")
    return digits


def ledger(run: Path) -> list[dict[str, str]]:
    with (run / "ledger.csv").open() as file:
        return list(csv.DictReader(file))


def poisons(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / "poisons" / "manifest.json").read_text())["poisons"]


@pytest.mark.slow
def test_ledger_has_every_label_given(run: Path, data: Digits) -> None:
    rows = ledger(run)
    assert tuple(rows[0]) == LEDGER_COLUMNS
    assert len(rows) == 70
    assert len({row["index"] for row in rows}) == 70
    initial = [row for row in rows if row["strategy"] == "initial"]
    assert len(initial) == 20
    assert {(row["round"], row["origin"], row["score"]) for row in initial} == {("0", "natural", "")}
    queried = rows[20:]
    assert [int(row["round"]) for row in queried] == [1 + k // 3 for k in range(50)]
    assert [int(row["rank"]) for row in queried] == [k % 3 for k in range(50)]
    assert {row["strategy"] for row in queried} == {"Entropy"}
    for _round in {row["round"] for row in queried}:
        scores = [float(row["score"]) for row in queried if row["round"] == _round]
        assert scores == sorted(scores, reverse=True)
    for row in rows:
        assert row["label"] == row["true_label"]
        assert row["status"] == "kept"
        if row["origin"] == "natural":
            assert int(row["label"]) == data.labels["pool"][int(row["index"])]


def test_poisons_have_their_bases_labels_and_come_from_craft_alone(run: Path, data: Digits) -> None:
    listed = {row["index"]: row for row in poisons(run)}
    assert sorted(listed) == list(range(1438, 1468))
    assert len({row["base"] for row in listed.values()}) == 30
    labels = data.labels["craft"][torch.tensor([row["base"] for row in listed.values()])]
    assert labels.bincount().tolist() == [3] * 10, "three of each class"
    queried = [row for row in ledger(run) if row["origin"] == "poison"]
    assert queried
    for row in queried:
        poison = listed[int(row["index"])]
        assert int(row["base"]) == poison["base"]
        assert int(row["label"]) == poison["label"] == data.labels["craft"][poison["base"]]


def test_figures_are_of_the_poisons_as_saved(run: Path, data: Digits) -> None:
    craft, backbone, rows = data.samples["craft"], DigitBackbone(), poisons(run)
    base = torch.stack([craft.read(run / "poisons" / row["base_file"]) for row in rows])
    poison = torch.stack([craft.read(run / "poisons" / row["poison_file"]) for row in rows])
    assert torch.equal(base, craft[torch.tensor([row["base"] for row in rows])])
    with torch.no_grad():
        before, after = backbone(base).norm(dim=1), backbone(poison).norm(dim=1)
    for name, column in (
        ("norm_initial", before),
        ("norm_saved", after),
        ("perturbation_l2", (poison - base).flatten(1).norm(dim=1)),
        ("perturbation_linf", (poison - base).flatten(1).abs().amax(1)),
        ("psnr", -10 * (poison - base).flatten(1).square().mean(1).log10()),
    ):
        torch.testing.assert_close(torch.tensor([row[name] for row in rows]), column, rtol=1e-4, atol=1e-5)
    assert (after < 0.09 * before).all(), "the collision did not survive 8 bits"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["squared_saved"] == pytest.approx(float((after.double() ** 2).mean()), rel=1e-3)
    assert summary["norm_initial"] == pytest.approx(float(before.mean()), rel=1e-5)
    for name in ("perturbation_l2", "perturbation_linf", "psnr"):
        assert summary[name] == pytest.approx(sum(row[name] for row in rows) / len(rows))
    assert "snr" not in summary


def test_rounds_and_summary_agree_with_the_ledger(run: Path) -> None:
    rounds = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    rows, summary = ledger(run), json.loads((run / "summary.json").read_text())
    assert [row["round"] for row in rounds] == list(range(18))
    assert [row["labels"] for row in rounds] == [20 + 3 * k for k in range(17)] + [70]
    for record in rounds:
        until = [row for row in rows if int(row["round"]) <= record["round"]]
        assert record["poison_queried"] == sum(row["origin"] == "poison" for row in until)
        last = [row["origin"] == "poison" for row in rows if int(row["round"]) == record["round"]]
        if record["round"]:
            assert record["poison_share"] == pytest.approx(sum(last) / len(last))
    found = sum(row["origin"] == "poison" for row in rows)
    assert (summary["poisons"], summary["poisons_queried"], summary["poison_success"]) == (30, found, found / 30)
    assert found >= 28, "the attack did not capture the queries"
    assert summary["pool"] == 1418
    assert summary["random_success"] == pytest.approx(30 / 1418)
    assert summary["random_success_expected"] == pytest.approx(50 / 1448)
    assert summary["accuracy"] == rounds[-1]["accuracy"]
