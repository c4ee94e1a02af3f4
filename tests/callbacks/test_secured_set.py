"""The secured set in real runs: liars are found, labels corrected, nothing leaks, every odd crowd has its outcome."""

import csv
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from aal.callbacks import SecuredSet
from aal.data.samples import ImageSamples
from aal.datamodules import Digits
from tests.commands import ROOT, MadeOnce, fit, results
from tests.test_resume import KILL

LIAR = 10
ORACLE = "--query.init_args.oracle.init_args"
GUARDED = (
    *(f"--config={ROOT}/configs/{name}.yaml" for name in ("query/random", "oracle/crowd", "secured/secured_set")),
    *("--query.init_args.initial=60", "--query.init_args.query_size=40", "--query.init_args.max_epochs=15"),
    *("--secured.init_args.per_class=true", "--secured.init_args.epsilon=0.1", f"{ORACLE}.malicious_share=0.5"),
)
# Two labelers or three, whose every drop of a class is looked into.
FEW = (
    *GUARDED[:3],
    *("--query.init_args.query_size=30", "--query.init_args.budget=60", "--secured.init_args.epsilon=0"),
    *("--secured.init_args.per_class=true", "--poison=null"),
)


class Elsewhere(Digits):
    """Digits whose splits ``secured`` and ``test`` are noise with labels at random; the others are as they were."""

    def _hold_out(self) -> None:
        super()._hold_out()
        chance = torch.Generator().manual_seed(5)
        for split in ("secured", "test"):
            stored = self.samples[split].stored
            noise = torch.randint(256, stored.shape, generator=chance).to(torch.uint8)
            self.samples[split] = ImageSamples(noise)
            self.labels[split] = self.labels[split][torch.randperm(len(stored), generator=chance)]


def run(out: Path, *arguments: str, budget: int = 200, ranks: int = 1) -> Path:
    done = fit(out, *GUARDED, f"--query.init_args.budget={budget}", *arguments, ranks=ranks)
    assert done.returncode == 0, done.stderr
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def records(out: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rounds = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    return rounds, json.loads((out / "summary.json").read_text())


@pytest.fixture(scope="module")
def guarded(made_once: MadeOnce) -> Path:
    """A run in which a liar answers half of the queries."""
    return made_once("guarded", lambda out: run(out, "--poison=null"))


def test_a_liar_is_found_dismissed_and_its_labels_corrected(guarded: Path) -> None:
    rounds, summary = records(guarded)
    ledger, labelers = table(guarded / "ledger.csv"), summary["labelers"]
    assert [row["distrusted_since"] for row in labelers] == [None] * LIAR + [labelers[LIAR]["distrusted_since"]]
    since = labelers[LIAR]["distrusted_since"]
    assert 0 < since < 5
    before, after = (
        {row["labeler"] for row in ledger if row["strategy"] == "Random" and (int(row["round"]) > since) == later}
        for later in (False, True)
    )
    assert str(LIAR) in before
    assert str(LIAR) not in after
    assert len(after) > 5, "the others are asked"
    lies = [row for row in ledger if row["labeler"] == str(LIAR) and row["label"] != row["true_label"]]
    assert len(lies) > 5
    assert {(row["label"], row["true_label"]) for row in lies} == {("7", "1")}
    assert all(row["status"] != "kept" for row in lies)
    corrected = [row for row in ledger if row["strategy"] == "SecuredSet"]
    assert all(row["label"] == row["true_label"] and row["round"] == str(since + 1) for row in corrected)
    assert {row["index"] for row in corrected} == {row["index"] for row in ledger if row["status"] == "replaced"}
    liar = labelers[LIAR]
    assert liar["error_contradicted"] > 2 * max(row["error_contradicted"] or 0 for row in labelers[:LIAR])
    assert liar["error_dawid_skene"] == pytest.approx(liar["error_true"], abs=0.05)
    assert [record["distrusted"] for record in rounds] == [0] * since + [1] * (len(rounds) - since)


def test_the_budget_is_of_queries_and_what_examiners_say_is_counted_beside_it(guarded: Path) -> None:
    rounds, summary = records(guarded)
    ledger, answers = table(guarded / "ledger.csv"), table(guarded / "answers.csv")
    kinds = Counter(row["kind"] for row in answers)
    assert summary["budget"] == 200
    assert summary["labels"] == 260 == kinds["given"] == len({row["index"] for row in ledger})
    assert [record["labels"] for record in rounds] == [60, 100, 140, 180, 220, 260]
    assert summary["extra_labels"] == kinds["examined"] + kinds["audited"] == rounds[-1]["extra_labels"]
    assert min(kinds.values()) > 30
    status = Counter(row["status"] for row in ledger)
    assert (status["replaced"], status["discarded"]) == (summary["relabelled"], summary["discarded"])
    assert min(status.values()) > 3
    given = {row["index"]: row for row in answers if row["kind"] == "given"}
    asked = {row["index"]: row for row in reversed(ledger)}  # the first row of each
    assert {i: (row["labeler"], row["label"], row["true_label"]) for i, row in given.items()} == {
        i: (row["labeler"], row["label"], row["true_label"]) for i, row in asked.items()
    }
    examined = [row for row in answers if row["kind"] != "given"]
    assert all(row["labeler"] != given[row["index"]]["labeler"] for row in examined)
    assert set(Counter(row["index"] for row in examined).values()) == {3}, "each is examined once, by three"
    assert sum(row["given"] for row in summary["labelers"]) == 260
    assert (summary["secured"], summary["secured_size"], summary["secured_cost"]) == (200, 200, 200)


def test_labels_changed_in_the_last_round_are_trained_on_once_more(guarded: Path, tmp_path: Path) -> None:
    rounds, summary = records(guarded)
    since = summary["labelers"][LIAR]["distrusted_since"]
    short = run(tmp_path / "run", "--poison=null", budget=40 * since)
    again, found = records(short)
    assert [record["queried"] for record in again] == [0, *[40] * since, 0]
    for before, after in zip(rounds[: since + 1], again, strict=False):
        assert before["accuracy"] == after["accuracy"]
    assert found["ended_by"] == "budget"
    assert found["rounds"] == since + 2
    assert again[-1]["secured_accuracy"] > again[-2]["secured_accuracy"]
    assert found["accuracy"] == again[-1]["accuracy"]


def test_the_report_shows_the_labelers(guarded: Path) -> None:
    page = (guarded / "report.html").read_text()
    assert "<h2>Labelers</h2>" in page
    assert "labelers distrusted</span><b>1</b><span>of 11" in page
    shown = page.split("Labelers</h2>")[1].split("</table>")[0]
    assert "nan" not in shown.lower()
    liar = records(guarded)[1]["labelers"][LIAR]
    for name in ("contradicted", "dawid_skene", "true"):
        assert liar[f"error_{name}"] > 0
        assert f">{liar[f'error_{name}']:.3f}<" in shown, name
    assert all(f"error, {name}" in shown for name in ("contradicted", "Dawid-Skene", "true"))
    assert (guarded / "figures" / "secured_accuracy.png").is_file()


def test_label_stays_and_labeler_is_asked_on_where_switched_off(guarded: Path, tmp_path: Path) -> None:
    off = ("--poison=null", "--secured.init_args.replace=false", "--secured.init_args.dismiss=false")
    rounds, summary = records(run(tmp_path / "run", *off))
    since = summary["labelers"][LIAR]["distrusted_since"]
    assert since == records(guarded)[1]["labelers"][LIAR]["distrusted_since"]
    assert summary["relabelled"] == 0 < summary["discarded"]
    ledger = table(tmp_path / "run" / "ledger.csv")
    assert {row["status"] for row in ledger} == {"kept", "discarded"}
    assert any(row["labeler"] == str(LIAR) and int(row["round"]) > since for row in ledger)
    assert rounds[since]["distrusted"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("query", ["entropy", "cluster_max_min"])
def test_secured_set_and_test_set_leak_into_nothing(query: str, tmp_path: Path) -> None:
    """With nothing examined, other secured and test samples leave labels, weights, poisons and copies as they were."""
    options = (
        *(f"--config={ROOT}/configs/query/{query}.yaml", "--secured.init_args.epsilon=1", "--poison.init_args.n=5"),
        "--retraining=aal.callbacks.AdversarialRetraining",
        '--retraining.init_args.attacks={"deepfool": {"class_path": "aal.attacks.DeepFool"}}',
    )
    left = {}
    for name in ("Digits", "Elsewhere"):
        own = () if name == "Digits" else ("--data=tests.callbacks.test_secured_set.Elsewhere",)
        out = run(tmp_path / name, *own, *options, budget=80)
        left[name] = results(out)
        left[name] |= {path: (out / path).read_bytes() for path in ("crafted.safetensors", "answers.csv")}
        left[name]["losses"] = [record["train_loss"] for record in left[name].pop("rounds")]
        left[name]["weights"] = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    here, there = left.values()
    for part in ("ledger", "crafted.safetensors", "answers.csv", "pictures", "poisons", "losses"):
        assert here[part] == there[part], part
    assert here["weights"].keys() == there["weights"].keys()
    assert all(torch.equal(value, there["weights"][name]) for name, value in here["weights"].items())
    assert here["pictures"]
    assert here["summary"]["crafted"] > 50
    assert here["summary"]["secured_accuracy"] > 0.5 > there["summary"]["secured_accuracy"], "the other set was used"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "event", "time"),
    [
        ("aal/oracles/trust.py:condemn", "return", 1),
        ("aal/runs/records.py:write_ledger", "return", 5),
        ("callbacks/round_checkpoint.py:save_checkpoint", "return", 5),
    ],
    ids=["at a dismissal", "labels written", "saved"],
)
def test_trust_secured_set_and_discarded_labels_survive_a_kill(
    place: str, event: str, time: int, guarded: Path, tmp_path: Path
) -> None:
    same = (*GUARDED, "--query.init_args.budget=200", "--poison=null", "--ckpt_path=last")
    out, marker = tmp_path / "run", tmp_path / "killed"
    killed = fit(out, *same, code=KILL, before=(place, event, str(time), str(marker)))
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text() == place
    resumed = fit(out, *same)
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(guarded)
    assert (out / "answers.csv").read_bytes() == (guarded / "answers.csv").read_bytes()
    states = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (out, guarded)]
    mine, whole = (state["callbacks"]["SecuredSet"] for state in states)
    assert not whole["trust"]["trusted"][LIAR]
    for name, value in whole["trust"].items():
        assert torch.equal(mine["trust"][name], value), name
    assert torch.equal(mine["in_use"], whole["in_use"])


@pytest.mark.slow
def test_two_ranks_trust_and_label_as_one(guarded: Path, tmp_path: Path) -> None:
    shared = run(tmp_path / "run", "--poison=null", ranks=2)
    for name in ("ledger.csv", "answers.csv"):
        assert (shared / name).read_bytes() == (guarded / name).read_bytes(), name
    assert results(shared)["rounds"] == results(guarded)["rounds"]


def test_a_poison_that_was_discarded_counts_as_queried(tmp_path: Path) -> None:
    out = tmp_path / "run"
    strategy = f"--config={ROOT}/configs/query/entropy.yaml"
    done = fit(out, *FEW[:-1], strategy, "--poison.init_args.n=20", f"{ORACLE}.error=0.5", f"{ORACLE}.honest=10")
    assert done.returncode == 0, done.stderr
    rounds, summary = records(out)
    ledger = table(out / "ledger.csv")
    poisons = {row["index"] for row in ledger if row["origin"] == "poison"}
    assert {row["index"] for row in ledger if row["origin"] == "poison" and row["status"] == "discarded"}
    assert summary["poisons_queried"] == rounds[-1]["poison_queried"] == len(poisons)
    assert summary["budget"] == 60 == sum(record["queried"] for record in rounds)
    assert all(0 <= record.get("poison_share", 0) <= 1 for record in rounds)


def test_all_malicious_nothing_changes_and_the_draws_of_the_secured_set_are_counted(tmp_path: Path) -> None:
    own = (f"{ORACLE}.honest=0", f"{ORACLE}.malicious=3", "--secured.init_args.size=8", "--secured.init_args.refresh=2")
    done = fit(tmp_path / "run", *FEW, *own, "--query.init_args.budget=120")
    assert done.returncode == 0, done.stderr
    assert "the secured set in use has no sample of the classes [" in done.stderr
    rounds, summary = records(tmp_path / "run")
    assert summary["extra_labels"] > 0, "a drop was seen and the batch examined"
    assert (summary["discarded"], summary["relabelled"], summary["distrusted"], summary["trust"]) == (0, 0, 0, 1.0)
    assert min(summary["labelers"], key=lambda row: row["error_true"])["error_true"] > 0.05
    assert {row["error_contradicted"] for row in summary["labelers"]} <= {0.0, None}
    assert len(rounds) == 5
    assert summary["secured_size"] == 8
    assert summary["secured_cost"] == 3 * 8, "drawn at first, after round 2 and after round 4"


def test_a_class_missing_from_the_secured_set_is_no_drop_and_hides_none() -> None:
    guard = SecuredSet(epsilon=0.1, per_class=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    data: Any = SimpleNamespace(labels={"secured": labels}, num_classes=3)

    def dropped(before: tuple[list[int], list[bool]], now: tuple[list[int], list[bool]]) -> list[bool]:
        shares = []
        for guard.in_use, right in ((torch.tensor(used), torch.tensor(right)) for used, right in (before, now)):
            shares.append(guard._compared(data, right))
        return (shares[0] - shares[1] > guard.epsilon).tolist()

    without_two, all_of_them = [0, 1, 2, 3], list(range(6))
    assert dropped((without_two, [True] * 4), (without_two, [True, True, True, False])) == [False, True, False]
    assert dropped((all_of_them, [True] * 6), (without_two, [True] * 4)) == [False] * 3, "it left with a refresh"
    assert dropped((without_two, [True] * 4), (all_of_them, [True] * 4 + [False] * 2)) == [False] * 3, "it came back"
    assert dropped((all_of_them, [True] * 6), (all_of_them, [True] * 4 + [False] * 2)) == [False, False, True]
    guard.per_class = False
    assert dropped((without_two, [True] * 4), (without_two, [True, True, True, False])) == [True]


def test_all_distrusted_ends_the_run(tmp_path: Path) -> None:
    own = (f"{ORACLE}.honest=2", f"{ORACLE}.malicious=0", f"{ORACLE}.error=0.9")
    strict = ("--secured.init_args.h=1", "--secured.init_args.level=1")
    done = fit(tmp_path / "run", *FEW, *own, *strict, "--query.init_args.budget=300")
    assert done.returncode == 0, done.stderr
    rounds, summary = records(tmp_path / "run")
    assert summary["ended_by"] == "labelers"
    assert summary["distrusted"] == 2
    assert summary["budget"] < 300
    assert rounds[-1]["queried"] == 0, "what was relabelled is trained on once more"


def test_with_one_labeler_left_labels_stay_unexamined(tmp_path: Path) -> None:
    own = (f"{ORACLE}.honest=1", f"{ORACLE}.malicious_share=1", "--secured.init_args.h=1")
    done = fit(tmp_path / "run", *FEW, *own, "--query.init_args.budget=120")
    assert done.returncode == 0, done.stderr
    rounds, summary = records(tmp_path / "run")
    assert summary["distrusted"] == 1
    assert summary["ended_by"] == "budget"
    assert summary["unexamined"] > 0
    assert rounds[-1]["extra_labels"] == rounds[-2]["extra_labels"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--query.init_args.oracle=aal.oracles.Noisy",),
            "secured.init_args.h: labels are examined by other labelers",
        ),
        (
            ("--query.init_args.oracle=aal.oracles.Perfect",),
            "secured.init_args.h: labels are examined by other labelers",
        ),
        (("--data.init_args.secured=0",), "secured.init_args.size: the datamodule's secured is 0"),
        (("--secured.init_args.size=201",), "secured.init_args.size: 201 samples, but the secured set has 200"),
        ((f"{ORACLE}.source=11",), "query.init_args.oracle.init_args.source: must be from 0 to 9, got 11"),
    ],
)
def test_what_cannot_be_examined_is_refused_before_anything_is_done(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = fit(tmp_path / "run", *FEW, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 1.1}, "epsilon: must be from 0 to 1, got 1.1"),
        ({"sure": -0.1}, "sure: must be from 0 to 1, got -0.1"),
        ({"h": 0}, "h: must be at least 1, got 0"),
        ({"size": 0}, "size: must be at least 1, got 0"),
        ({"audit": -1}, "audit: must be at least 0, got -1"),
        ({"p_one": 1.0}, "p_one: must be above 0 and below 1, got 1.0"),
        ({"refresh": 2}, "refresh: all of the secured set is in use"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        SecuredSet(**arguments)
