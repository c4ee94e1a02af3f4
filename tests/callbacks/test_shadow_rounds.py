"""Runs that steal a model: what is trained on, what is counted, kills, ranks, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aal.__main__ import main
from aal.attacks import RegionBased
from aal.callbacks.shadow_rounds import remedy
from aal.datamodules import HalfMoons
from aal.models import ConvClassifier
from aal.networks import MLP
from tests.commands import MadeOnce, aal, results
from tests.test_resume import KILL

SIZES = {"victim": 120, "adversary": 80, "test": 60, "craft": 5}
NETWORK = {
    "class_path": "ConvClassifier",
    "init_args": {"network": {"class_path": "MLP", "init_args": {"widths": [8]}}, "learning_rate": 0.05},
}
MOONS: dict[str, Any] = {
    "data": {"class_path": "HalfMoons", "init_args": {**SIZES, "noise": 0.1}},
    "victim": NETWORK,
    "model": NETWORK,
}


def experiment(path: Path, synthesis: dict[str, Any] | None = None, **more: Any) -> tuple[str, ...]:
    arguments = {"synthesis": {"attack": {"class_path": "DeepFool"}} if synthesis is None else synthesis}
    shadow = {"class_path": "ShadowRounds", "init_args": {**arguments, "budgets": [10, 30], "max_epochs": 12}}
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({**MOONS, "shadow": shadow, **more}))
    return ("fit", "--config", str(path))


def run(folder: Path, synthesis: dict[str, Any] | None = None, *arguments: str, **more: Any) -> Path:
    done = aal(*experiment(folder / "config.json", synthesis, **more), "--out", folder / "run", *arguments)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def rounds(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def ledger(folder: Path) -> list[dict[str, str]]:
    return [*csv.DictReader((folder / "ledger.csv").read_text().splitlines())]


def victim_of(folder: Path) -> ConvClassifier:
    module = ConvClassifier(lambda shape, classes: MLP(shape, classes, (8,)), 2, (2,))
    module.load_state_dict(load_file(folder / "victim.safetensors"))
    return module.eval()


def data() -> HalfMoons:
    moons = HalfMoons(**SIZES, noise=0.1)
    moons.setup("fit")
    return moons


@pytest.fixture(scope="module")
def replaced(made_once: MadeOnce) -> Path:
    return made_once("shadow-replaced", lambda folder: run(folder)) / "run"


def test_adversarial_examples_are_labelled_by_the_victim_and_all_is_counted(replaced: Path) -> None:
    first, last = rounds(replaced)
    assert [(one["budget"], one["synthetic"], one["labels"]) for one in (first, last)] == [(10, 10, 0), (30, 30, 0)]
    assert [(one["queries_labels"], one["queries_attack"]) for one in (first, last)] == [(10, 10), (30, 30)]
    assert ledger(replaced) == [], "no sample of the pool itself"
    saved, victim = load_file(replaced / "crafted.safetensors"), victim_of(replaced)
    x, labels = saved["synthetic"], saved["synthetic_labels"]
    with torch.no_grad():
        assert torch.equal(victim(x).argmax(1), labels)
    assert saved["synthetic_rounds"].tolist() == [0] * 10 + [1] * 20
    summary = json.loads((replaced / "summary.json").read_text())
    assert summary["victim_accuracy"] > 0.8
    assert summary["knows"] == ["the victim's network and weights"]
    assert summary["boundary_distance"] < 0.01 < summary["perturbation_l2"], "near the boundary"
    assert {"fidelity.png", "shadow_round=0.png", "shadow_round=1.png"} <= {
        path.name for path in (replaced / "figures").iterdir()
    }
    page = (replaced / "report.html").read_text()
    assert "shadow of MLP" in page
    assert "the victim&#39;s network and weights" in page


def test_a_shadow_agrees_with_its_victim_as_often_as_the_fidelity_says(tmp_path: Path) -> None:
    out = run(tmp_path, {"of": "pool"})
    rows, moons, victim = ledger(out), data(), victim_of(out)
    assert [row["round"] for row in rows] == ["0"] * 10 + ["1"] * 20
    asked = torch.tensor([int(row["index"]) for row in rows])
    with torch.no_grad():
        answers = victim(moons.samples["pool"][asked]).argmax(1)
        wanted = victim(moons.samples["test"][torch.arange(60)]).argmax(1)
    assert [int(row["label"]) for row in rows] == answers.tolist()
    assert [int(row["true_label"]) for row in rows] == moons.labels["pool"][asked].tolist()
    checkpoint = torch.load(next((out / "checkpoints").glob("*.ckpt")), weights_only=True)
    shadow = victim_of(out)
    shadow.load_state_dict(checkpoint["state_dict"])
    with torch.no_grad():
        agree = shadow(moons.samples["test"][torch.arange(60)]).argmax(1) == wanted
    assert rounds(out)[-1]["fidelity"] == pytest.approx(float(agree.double().mean()))
    assert rounds(out)[-1]["queries_labels"] == 30


@pytest.mark.parametrize(
    ("synthesis", "synthetic", "labelled", "queries"),
    [
        ({"of": "victim", "labels": "source"}, 10, 0, (0, 0)),
        ({"of": "victim", "keep": "victim", "labels": "source", "attack": {"class_path": "DeepFool"}}, 10, 0, (0, 0)),
        ({"of": "pool", "keep": "sources", "attack": {"class_path": "DeepFool"}}, 5, 5, (10, 0)),
        ({"of": "pool", "order": "least_confident"}, 0, 10, (80, 0)),
        ({"of": "pool", "order": "least_confident", "attack": {"class_path": "DeepFool"}}, 10, 0, (80, 80)),
    ],
    ids=["training set", "augmented", "both", "least confident", "least confident adversarial"],
)
def test_what_is_trained_on_and_what_it_costs(
    synthesis: dict[str, Any], synthetic: int, labelled: int, queries: tuple[int, int], tmp_path: Path
) -> None:
    first = rounds(run(tmp_path, synthesis, "--shadow.init_args.max_epochs=2"))[0]
    assert (first.get("synthetic", 0), first["labels"]) == (synthetic, labelled)
    assert (first["queries_labels"], first["queries_attack"]) == queries


def test_the_victims_training_set_is_kept_once_and_trained_on_in_every_round(tmp_path: Path) -> None:
    nearest = {"class_path": "InstanceClassifier", "init_args": {"network": "NearestNeighbours"}}
    kept = {"of": "victim", "keep": "victim", "labels": "source", "attack": {"class_path": "DeepFool"}}
    out = run(tmp_path, kept, model=nearest)
    checkpoint = torch.load(next((out / "checkpoints").glob("*.ckpt")), weights_only=True)
    known, moons, saved = checkpoint["state_dict"], data(), load_file(out / "crafted.safetensors")
    x = torch.cat([moons.samples["victim"][torch.arange(120)], saved["synthetic"]])
    labels = torch.cat([moons.labels["victim"], saved["synthetic_labels"]])
    rows = sorted([*point, label] for point, label in zip(x.tolist(), labels.tolist(), strict=True))
    taken_in = zip(known["network.points"].tolist(), known["network.labels"].tolist(), strict=True)
    assert sorted([*point, label] for point, label in taken_in) == rows
    assert [one["synthetic"] for one in rounds(out)] == [10, 30], "the victim's own are in no file"


def test_any_strategy_of_queries_steals_a_model(tmp_path: Path) -> None:
    query = {"strategy": {"class_path": "Margin"}, "initial": 10, "query_size": 5, "budget": 10, "max_epochs": 10}
    out = run(tmp_path, shadow=None, query={"class_path": "QueryRounds", "init_args": query})
    rows, moons = ledger(out), data()
    asked = torch.tensor([int(row["index"]) for row in rows])
    with torch.no_grad():
        answers = victim_of(out)(moons.samples["pool"][asked]).argmax(1)
    assert [int(row["label"]) for row in rows] == answers.tolist()
    assert [one["queries_labels"] for one in rounds(out)] == [10, 15, 20]
    assert all(0 <= one["fidelity"] <= 1 for one in rounds(out))


def test_true_labels_that_are_held_out_of_the_pool_are_told(tmp_path: Path) -> None:
    query = {"strategy": {"class_path": "Random"}, "initial": 10, "query_size": 5, "budget": 5, "max_epochs": 2}
    moons = {"class_path": "HalfMoons", "init_args": {**SIZES, "val": 10}}
    out = run(tmp_path, shadow=None, query={"class_path": "QueryRounds", "init_args": query}, data=moons)
    assert json.loads((out / "summary.json").read_text())["knows"] == ["the true labels of the split val"]
    page = (out / "report.html").read_text()
    assert "the true labels of the split val" in page
    assert "nothing but the victim" not in page


def test_the_page_says_how_many_samples_there_were_where_there_are_fewer_sources(tmp_path: Path) -> None:
    out = run(tmp_path, {"of": "test", "labels": "source"}, "--shadow.init_args.budgets=[60]")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["made"] == rounds(out)[0]["synthetic"] == round(60 * summary["victim_accuracy"])
    assert summary["made"] < summary["budget"]
    assert f'made</td><td class="number">{summary["made"]}</td>' in (out / "report.html").read_text()


def test_probabilities_of_a_victim_are_learned(tmp_path: Path) -> None:
    query = {"strategy": {"class_path": "Margin"}, "initial": 10, "query_size": 5, "budget": 10, "max_epochs": 60}
    unsure = {**NETWORK, "init_args": {**NETWORK["init_args"], "learning_rate": 0.005}}
    more = {"shadow": None, "query": {"class_path": "QueryRounds", "init_args": query}, "victim": unsure}
    told = {answers: run(tmp_path / answers, **more, victim_answers=answers) for answers in ("labels", "probabilities")}
    assert not (told["labels"] / "crafted.safetensors").exists()
    saved, moons = load_file(told["probabilities"] / "crafted.safetensors"), data()
    with torch.no_grad():
        wanted = victim_of(told["probabilities"])(moons.samples["pool"][saved["softened"]]).softmax(1)
    torch.testing.assert_close(saved["soft"], wanted)
    assert sorted(saved["softened"].tolist()) == sorted(int(row["index"]) for row in ledger(told["probabilities"]))
    entropy = float(-(wanted * wanted.log()).sum(1).mean())
    losses = {answers: rounds(folder)[-1]["train_loss"] for answers, folder in told.items()}
    assert losses["labels"] < entropy <= losses["probabilities"], "no network has less cross entropy"
    assert rounds(told["probabilities"])[-1]["queries_labels"] == 20
    assert "nothing but the victim&#39;s probabilities" in (told["probabilities"] / "report.html").read_text()


@pytest.mark.parametrize(
    ("synthesis", "queries"),
    [({"keep": "sources", "attack": {"class_path": "DeepFool"}}, 30), ({"order": "least_confident"}, 80)],
    ids=["both", "least confident"],
)
def test_probabilities_of_what_a_synthesis_makes(synthesis: dict[str, Any], queries: int, tmp_path: Path) -> None:
    out = run(tmp_path, synthesis, victim_answers="probabilities")
    saved, moons, victim = load_file(out / "crafted.safetensors"), data(), victim_of(out)
    with torch.no_grad():
        torch.testing.assert_close(saved["soft"], victim(moons.samples["pool"][saved["softened"]]).softmax(1))
        if len(saved["synthetic"]):
            torch.testing.assert_close(saved["synthetic_soft"], victim(saved["synthetic"]).softmax(1))
    assert len(saved["soft"]) + len(saved["synthetic_soft"]) == 30
    assert rounds(out)[-1]["queries_labels"] == queries


def test_a_synthesis_that_makes_nothing_stops_with_what_it_lacks(tmp_path: Path) -> None:
    nearest = {"class_path": "InstanceClassifier", "init_args": {"network": "NearestNeighbours"}}
    config = experiment(tmp_path / "config.json", {"attack": {"class_path": "FGSM"}}, victim=nearest, model=nearest)
    done = aal(*config, "--out", tmp_path / "run")
    assert done.returncode == 3
    said = done.stderr.splitlines()[-1]
    assert "round 0: FGSM made none of 10 samples" in said
    assert said.endswith("of a classifier without gradients it needs a substitute")
    assert remedy(RegionBased()) == "is the attack told what the victim is, such as its k?"


@pytest.mark.parametrize("whose", ["victim", "substitute"])
def test_a_loss_that_is_not_finite_says_whose_it_is(whose: str, tmp_path: Path) -> None:
    network = {"class_path": "MLP", "init_args": {"widths": [8]}}
    rates = dict.fromkeys(("victim", "substitute"), 0.05) | {whose: 1e30}
    synthesis = {"attack": {"class_path": "FGSM"}, "substitute": network, "substitute_rate": rates["substitute"]}
    victim = {"class_path": "ConvClassifier", "init_args": {"network": network, "learning_rate": rates["victim"]}}
    done = aal(*experiment(tmp_path / "config.json", synthesis, victim=victim), "--out", tmp_path / "run")
    assert done.returncode == 3
    assert f"stopped: {whose}: epoch 0: the training loss is nan" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [
        ("aal/models/fitting.py:train", "return", 1),
        ("aal/synthesis/synthesis.py:make", "return", 1),
        ("aal/synthesis/synthesis.py:make", "return", 2),
        ("callbacks/round_checkpoint.py:save_checkpoint", "return", 1),
    ],
    ids=["victim trained", "first samples", "further samples", "saved"],
)
def test_a_killed_run_ends_as_if_it_had_not_been(at: tuple[str, str, int], replaced: Path, tmp_path: Path) -> None:
    config = experiment(tmp_path / "config.json")
    where, event, count = at
    marker = tmp_path / "killed"
    killed = aal(*config, "--out", tmp_path / "run", code=KILL, before=(where, event, str(count), str(marker)))
    assert killed.returncode != 0
    assert marker.exists()
    went_on = aal(*config, "--out", tmp_path / "run", "--ckpt_path=last")
    assert went_on.returncode == 0, went_on.stderr
    assert results(tmp_path / "run") == results(replaced)
    for name in ("crafted.safetensors", "victim.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (replaced / name).read_bytes()


@pytest.mark.slow
def test_two_ranks_give_the_run_of_one(replaced: Path, tmp_path: Path) -> None:
    done = aal(*experiment(tmp_path / "config.json"), "--out", tmp_path / "run", ranks=2)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "run") == results(replaced)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"victim": None}, "victim: a shadow is one of a victim"),
        (
            {"query": {"class_path": "QueryRounds", "init_args": {"strategy": "Random"}}},
            "query: a run has one clock, and shadow is another; set query: null, or shadow: null",
        ),
        ({"shadow": None}, "query: an experiment needs a clock"),
        ({"shadow": None, "flips": {"class_path": "LabelFlip"}}, "victim: LabelFlip asks nobody for labels"),
        (
            {"data": {"class_path": "HalfMoons", "init_args": {**SIZES, "victim": 0}}},
            "victim: HalfMoons has no split victim",
        ),
        ({"victim": None, "victim_answers": "probabilities"}, "victim_answers: there is no victim"),
        ({"victim_answers": None}, "victim_answers: must be one of labels, probabilities"),
        (
            {
                "victim_answers": "probabilities",
                "model": {"class_path": "InstanceClassifier", "init_args": {"network": "NearestNeighbours"}},
            },
            "victim_answers: InstanceClassifier takes in labels, not probabilities",
        ),
        ({"budgets": [30, 10]}, "shadow.init_args.budgets: must be ascending"),
        ({"budgets": [0, 10]}, "shadow.init_args.budgets: must be at least 1"),
        ({"budgets": []}, "shadow.init_args.budgets: name at least one, such as [100]"),
        ({"budgets": [10, 81]}, "shadow.init_args.budgets: 81 samples, but HalfMoons gives 80 at most"),
        (
            {"synthesis": {"of": "pool", "labels": "source"}},
            "shadow.init_args.synthesis.init_args.labels: the adversary does not",
        ),
        (
            {"synthesis": {"attack": {"class_path": "FGSM"}, "substitute": "MLP", "substitute_labels": 81}},
            "shadow.init_args.synthesis: substitute_labels: 81 samples, but the pool has 80",
        ),
        (
            {"synthesis": {"attack": {"class_path": "CarliniWagner"}}},
            "shadow.init_args.synthesis: CarliniWagner needs bounds, and HalfMoons has none; give the data a box",
        ),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_a_line(
    more: dict[str, Any],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "config.json"
    experiment(path, **{key: value for key, value in more.items() if key not in ("budgets", "synthesis")})
    config = json.loads(path.read_text())
    for key in ("budgets", "synthesis"):
        if key in more:
            config["shadow"]["init_args"][key] = more[key]
    path.write_text(json.dumps(config))
    monkeypatch.setattr("sys.argv", ["aal", "fit", "--config", str(path), "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1
    assert not (tmp_path / "run" / "rounds.jsonl").exists()
