"""Runs with strategies that do more than choose: copies, pseudo-labels and figures, stop rules, and replays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aal.datamodules import Digits
from aal.runs.files import read_tensors
from tests.callbacks.test_query_rounds import ledger
from tests.commands import ROOT, MadeOnce, finished, fit, results

CLEAN = ("--poison=null", "--query.init_args.query_size=3", "--seed_everything=3", "--query.init_args.max_epochs=30")
DFAL_CEAL = (f"--config={ROOT}/configs/query/dfal_ceal.yaml", "--query.init_args.strategy.init_args.threshold=1.0")


@pytest.fixture(scope="module")
def run(made_once: MadeOnce) -> Path:
    """Two queries of three by DFAL, with pseudo-labels."""
    return made_once("dfal_ceal", lambda out: finished(out, *CLEAN, *DFAL_CEAL))


@pytest.fixture(scope="module")
def crafted(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "crafted.safetensors")


def rounds(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def test_every_query_is_trained_on_twice_and_costs_one_label(run: Path, crafted: dict[str, Tensor]) -> None:
    queried = [row for row in ledger(run) if row["strategy"] != "initial"]
    assert len(queried) == 6, "copies and pseudo-labels cost no budget"
    assert crafted["source"].tolist() == [int(row["index"]) for row in queried]
    assert crafted["label"].tolist() == [int(row["label"]) for row in queried]
    assert crafted["round"].tolist() == [int(row["round"]) for row in queried]
    assert [record.get("crafted", 0) for record in rounds(run)] == [0, 3, 6]
    data = Digits(seed=3)
    data.setup("fit")
    moved = (crafted["x"] - data.samples["pool"][crafted["source"]]).flatten(1).norm(dim=1)
    scores = torch.tensor([float(row["score"]) for row in queried])
    torch.testing.assert_close(moved, scores, rtol=1e-3, atol=1e-5)
    assert (moved > 0).all()
    for record in rounds(run)[1:]:
        own = scores[3 * record["round"] - 3 : 3 * record["round"]]
        assert record["perturbation"] == pytest.approx(float(own.mean()), rel=1e-3)


def test_copies_are_drawn_and_shown(run: Path) -> None:
    assert (run / "figures" / "crafted.png").stat().st_size > 5000
    assert "Crafted copies" in (run / "report.html").read_text()


def test_pseudo_labels_are_of_the_last_query_alone_and_not_in_the_ledger(run: Path, crafted: dict[str, Tensor]) -> None:
    labelled = {int(row["index"]) for row in ledger(run)}
    assert len(labelled) == 26
    pseudo = crafted["pseudo_source"].tolist()
    assert len(pseudo) == rounds(run)[-1]["pseudo"] > 20
    assert not labelled & set(pseudo)
    assert set(crafted["pseudo_round"].tolist()) == {2}
    data = Digits(seed=3)
    data.setup("fit")
    right = crafted["pseudo_label"] == data.labels["pool"][crafted["pseudo_source"]]
    assert right.float().mean() > 0.8, "the sure predictions are mostly right"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["crafted"], summary["pseudo"], summary["ended_by"]) == (6, len(pseudo), "budget")


def test_copies_change_what_is_learnt(run: Path, tmp_path: Path) -> None:
    without = fit(
        tmp_path / "run", *CLEAN, *DFAL_CEAL, "--query.init_args.strategy.init_args.strategy.init_args.craft=false"
    )
    assert without.returncode == 0, without.stderr
    ours, theirs = ([record["loss"] for record in rounds(folder)] for folder in (run, tmp_path / "run"))
    assert ours[0] == theirs[0]
    assert ours[1] != theirs[1]


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_copies(run: Path, tmp_path: Path) -> None:
    killed = tmp_path / "run"
    code = (
        "import os\n"
        "from aal import callbacks\n"
        "done = callbacks.RoundCheckpoint.on_train_epoch_end\n"
        "def end(self, trainer, module):\n"
        "    done(self, trainer, module)\n"
        "    if callbacks.rounds.clock_of(trainer).round == 2: os._exit(9)\n"
        "callbacks.RoundCheckpoint.on_train_epoch_end = end\n"
        "from aal.__main__ import main\n"
        "main()\n"
    )
    assert fit(killed, *CLEAN, *DFAL_CEAL, code=code).returncode == 9
    assert not (killed / "summary.json").exists()
    again = fit(killed, *CLEAN, *DFAL_CEAL, "--ckpt_path=last")
    assert again.returncode == 0, again.stderr
    assert (killed / "crafted.safetensors").read_bytes() == (run / "crafted.safetensors").read_bytes()
    assert results(killed) == results(run)


@pytest.mark.slow
def test_two_ranks_craft_and_pseudo_label_as_one_does(run: Path, tmp_path: Path) -> None:
    two = fit(tmp_path / "two", *CLEAN, *DFAL_CEAL, ranks=2)
    assert two.returncode == 0, two.stderr
    assert (tmp_path / "two" / "crafted.safetensors").read_bytes() == (run / "crafted.safetensors").read_bytes()
    assert (tmp_path / "two" / "ledger.csv").read_bytes() == (run / "ledger.csv").read_bytes()


@pytest.mark.parametrize(
    ("rule", "ended", "met"),
    [
        ("--query.init_args.rounds=1", "rounds", lambda record: record["round"] == 1),
        (
            '--query.init_args.stop=[{"column": "accuracy", "at_least": 0.1}]',
            "accuracy at least 0.1",
            lambda record: record["round"] == 0,
        ),
        (
            '--query.init_args.stop=[{"column": "perturbation", "at_least": 1e-6}]',
            "perturbation at least 1e-06",
            lambda record: record["round"] == 1,
        ),
        (
            '--query.init_args.stop=[{"column": "loss", "at_most": 100}, {"column": "accuracy", "at_least": 2}]',
            "loss at most 100",
            lambda record: record["round"] == 0,
        ),
    ],
    ids=["rounds", "accuracy", "recorded quantity", "first of two"],
)
def test_a_rule_ends_the_run(rule: str, ended: str, met: Callable[[dict[str, Any]], bool], tmp_path: Path) -> None:
    config = ROOT / "configs" / "query" / "dfal.yaml"
    done = fit(tmp_path / "run", *CLEAN, f"--config={config}", rule)
    assert done.returncode == 0, done.stderr
    records = rounds(tmp_path / "run")
    assert met(records[-1])
    assert not any(map(met, records[:-1]))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ended_by"] == ended
    assert summary["labels"] == 20 + 3 * records[-1]["round"]


def test_a_rule_for_no_column_is_named(tmp_path: Path) -> None:
    done = fit(tmp_path / "run", *CLEAN, '--query.init_args.stop=[{"column": "acuracy", "at_least": 0.9}]')
    assert done.returncode == 2
    assert (
        "query.init_args.stop: a round has no column 'acuracy'; it has round, labels, queried, accuracy" in done.stderr
    )


@pytest.mark.parametrize(
    ("bound", "named", "said"),
    [
        ("", "at_least", "needs at_least or at_most"),
        (', "at_least": .nan', "at_least", "needs a number, not nan"),
        (', "at_least": 0.9, "at_most": .inf', "at_most", "needs a number, not inf"),
    ],
)
def test_a_rule_that_would_end_nothing_is_refused(bound: str, named: str, said: str, tmp_path: Path) -> None:
    done = fit(tmp_path / "run", *CLEAN, f'--query.init_args.stop=[{{"column": "accuracy"{bound}}}]')
    assert done.returncode == 2
    assert f"query.init_args.stop.0.{named}: the rule for 'accuracy' {said}" in done.stderr


def test_a_rule_for_a_column_that_may_come_later_waits(tmp_path: Path) -> None:
    robust = f"--config={ROOT}/configs/robust/pgd.yaml"
    rule = '--query.init_args.stop=[{"column": "robust_pgd", "at_most": 1.0}]'
    every = ("--robust.init_args.every=2", "--robust.init_args.samples=20")
    done = fit(tmp_path / "run", *CLEAN, "--query.init_args.query_size=1", robust, *every, rule)
    assert done.returncode == 0, done.stderr
    assert [record["round"] for record in rounds(tmp_path / "run") if "robust_pgd" in record] == [0]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ended_by"] == "robust_pgd at most 1"


class TestReplay:
    """Another network on the ledger of ``run``."""

    @pytest.fixture(scope="class")
    @staticmethod
    def replay(run: Path, made_once: MadeOnce) -> Path:
        arguments = (*CLEAN, *replaying(run), f"--config={ROOT}/configs/model/nn2.yaml")
        return made_once("replay", lambda out: finished(out, *arguments))

    def test_labels_and_copies_come_in_the_same_rounds(self, run: Path, replay: Path) -> None:
        columns = ("index", "round", "label", "labeler")
        assert [[row[c] for c in columns] for row in ledger(replay)] == [
            [row[c] for c in columns] for row in ledger(run)
        ]
        assert [(record["labels"], record.get("crafted")) for record in rounds(replay)] == [
            (20, None),
            (23, 3),
            (26, 6),
        ]
        theirs, ours = (read_tensors(folder / "crafted.safetensors") for folder in (run, replay))
        for name in ("x", "label", "source", "round"):
            assert torch.equal(theirs[name], ours[name])
        assert len(ours["pseudo_source"]) == 0
        summary = json.loads((replay / "summary.json").read_text())
        assert (summary["strategy"], summary["budget"], summary["ended_by"]) == ("CEAL", 6, "ledger")

    def test_the_same_network_learns_the_same_without_pseudo_labels(self, run: Path, tmp_path: Path) -> None:
        dfal = f"--config={ROOT}/configs/query/dfal.yaml"
        first = fit(tmp_path / "run", *CLEAN, dfal)
        again = fit(tmp_path / "again", *CLEAN, *replaying(tmp_path / "run"))
        assert first.returncode == again.returncode == 0, first.stderr + again.stderr
        ours, theirs = rounds(tmp_path / "again"), rounds(tmp_path / "run")
        assert [record["loss"] for record in ours] == [record["loss"] for record in theirs]
        other = fit(tmp_path / "again", *CLEAN, *replaying(run), "--ckpt_path=last")
        assert other.returncode == 2
        assert other.stderr.startswith("error: the run that is replayed, its ledger.csv: the run in "), other.stderr

    def test_only_the_sizes_asked_for_are_trained_at(self, run: Path, tmp_path: Path) -> None:
        done = fit(tmp_path / "run", *CLEAN, *replaying(run), "--query.init_args.at=[22, 25]")
        assert done.returncode == 0, done.stderr
        assert [(record["labels"], record.get("crafted")) for record in rounds(tmp_path / "run")] == [(22, 2), (25, 5)]

    def test_initial_labels_stay_initial(self, run: Path, tmp_path: Path) -> None:
        done = fit(tmp_path / "run", *CLEAN, *replaying(run), "--query.init_args.at=[5, 22]")
        assert done.returncode == 0, done.stderr
        assert [row["strategy"] for row in ledger(tmp_path / "run")] == ["initial"] * 20 + ["CEAL"] * 2
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["budget"] == 2

    def test_a_run_that_lost_its_copies_or_labelled_poisons_is_refused(self, run: Path, tmp_path: Path) -> None:
        lost = shutil.copytree(run, tmp_path / "lost")
        (lost / "crafted.safetensors").unlink()
        done = fit(tmp_path / "run", *CLEAN, *replaying(lost))
        assert done.returncode == 2
        assert "crafted.safetensors: no such file" in done.stderr
        (lost / "crafted.safetensors").write_bytes((run / "crafted.safetensors").read_bytes()[:-1] + b"x")
        done = fit(tmp_path / "run", *CLEAN, *replaying(lost))
        assert done.returncode == 2
        assert "crafted.safetensors: altered since it was written" in done.stderr
        poisoned = shutil.copytree(run, tmp_path / "poisoned")
        text = (poisoned / "ledger.csv").read_text().replace("natural", "poison", 3)
        (poisoned / "ledger.csv").write_text(text)
        done = fit(tmp_path / "run", *CLEAN[1:], *replaying(poisoned))
        assert done.returncode == 2
        assert "3 of its 26 labels are of poisons" in done.stderr

    def test_every_row_that_was_altered_is_named_and_nothing_is_replayed(self, run: Path, tmp_path: Path) -> None:
        altered = shutil.copytree(run, tmp_path / "altered")
        header, *rows = (altered / "ledger.csv").read_text().splitlines()
        cells = [row.split(",") for row in rows]
        cells[1][0] = "99999"
        cells[2][0] = cells[0][0]
        cells[4][6] = "77"
        cells[5][1] = "often"
        cells[25][1] = "0"
        (altered / "ledger.csv").write_text("\n".join([header, *map(",".join, cells)]) + "\n")
        done = fit(tmp_path / "run", *CLEAN, *replaying(altered))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        for said in (
            "ledger.csv: altered since the run ended: line 3: index 99999 is outside the pool of 1438; ",
            f"line 4: index {cells[0][0]} is given twice; ",
            "line 6: there is no class 77 among 10; ",
            "line 7: lacks a whole number; ",
            "line 27: round 0 is out of order",
        ):
            assert said in done.stderr
        assert not (tmp_path / "run").exists()
        cells = [row.split(",") for row in rows]
        cells[3][6] = str((int(cells[3][6]) + 1) % 10)
        (altered / "ledger.csv").write_text("\n".join([header, *map(",".join, cells)]) + "\n")
        done = fit(tmp_path / "run", *CLEAN, *replaying(altered))
        assert done.returncode == 2
        assert "ledger.csv: altered since it was written" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--query.init_args.at=[20, 500]",), "query.init_args.at: 500 labels, but"),
            (("--query.init_args.at=[25, 22]",), "query.init_args.at: must be ascending"),
            (("--seed_everything=4",), "had other data, or another seed"),
            (("--query.init_args.run=/nowhere",), "query.init_args.run: /nowhere: no finished run there"),
        ],
    )
    def test_what_cannot_be_replayed_is_refused(
        self, run: Path, arguments: tuple[str, ...], said: str, tmp_path: Path
    ) -> None:
        done = fit(tmp_path / "run", *CLEAN, *replaying(run), *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def replaying(run: Path) -> tuple[str, ...]:
    return (f"--config={ROOT}/configs/query/replay.yaml", f"--query.init_args.run={run}")
