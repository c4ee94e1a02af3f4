"""Robust evaluation inside a run: what it adds to the run's files, what it refuses, and that nothing can disturb it."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aal.attacks import PGD
from aal.cli.study import study
from aal.datamodules import Digits
from aal.models import TransferClassifier
from aal.networks import DenseHead, DigitBackbone
from aal.robustness import Evaluation, evaluate
from tests.cli.test_fit import refusal
from tests.commands import EXPERIMENT, ROOT, ForkedCell, MadeOnce, aal, finished, fit, results, untimed
from tests.test_resume import KILL

KEY = "--robust.init_args"
ATTACKS = {
    "pgd": {"class_path": "aal.attacks.PGD", "init_args": {"radius": 0.1, "steps": 4}},
    "fgsm": {"class_path": "aal.attacks.FGSM", "init_args": {"radius": 0.1}},
}
ROBUST = (
    "--poison=null",
    "--robust=aal.callbacks.RobustEvaluation",
    f"{KEY}.attacks={json.dumps(ATTACKS)}",
    f"{KEY}.samples=60",
    f"{KEY}.batch_size=16",
    f'{KEY}.curves={{"pgd": [0.05, 0.1]}}',
)
EVERY = (*ROBUST, f"{KEY}.every=4", "--query.init_args.budget=5")  # six rounds


def evaluations(out: Path) -> dict[str, Any]:
    """Return all evaluations of a run by file, time apart, and the digest, which is of the time too."""
    found = {path.name: json.loads(path.read_text()) for path in (out / "robust").glob("*.json")}
    return {name: {**untimed(value), "sha256": None} for name, value in found.items()}


@pytest.fixture(scope="module")
def run(made_once: MadeOnce) -> Path:
    return made_once("robust", lambda out: finished(out, *EVERY, "--seed_everything=3"))


def test_every_fourth_round_and_the_last_have_columns(run: Path) -> None:
    rounds = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    columns = {"robust_natural", "robust_pgd", "robust_fgsm", "seconds_robust"}
    assert len(rounds) == 6
    for record in rounds:
        own = {name for name in record if "robust" in name}
        assert own == (columns if record["round"] in (0, 4, 5) else set()), record["round"]
    with (run / "metrics.csv").open() as file:
        logged = list(csv.DictReader(file))
    for record, line in zip(rounds, logged, strict=True):
        assert line["robust_pgd"] == ("" if "robust_pgd" not in record else str(record["robust_pgd"]))
    summary = json.loads((run / "summary.json").read_text())
    assert {name: summary[name] for name in columns - {"seconds_robust"}} == {
        name: rounds[-1][name] for name in columns - {"seconds_robust"}
    }
    assert summary["robust_pgd"] < summary["robust_natural"]


def test_the_figures_are_those_of_the_library_on_the_same_model(run: Path) -> None:
    data = Digits(seed=3)
    data.setup("fit")
    model = TransferClassifier(DigitBackbone(), DenseHead(), num_classes=10)
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    model.load_state_dict({f"backbone.{k}": v for k, v in model.backbone.state_dict().items()} | saved)
    x, y = data.samples["test"], data.labels["test"]
    found = evaluate(model, x, y, {"pgd": PGD(radius=0.1, steps=4)}, samples=60, seed=3)
    in_run = Evaluation.load(run / "robust" / "round=5.json")
    assert torch.equal(found.index, in_run.index)
    assert torch.equal(found.natural, in_run.natural)
    assert found.figures()["pgd"] == pytest.approx(in_run.figures()["pgd"], abs=1 / 60)  # in other batches


def test_the_same_samples_every_time_and_curves_in_the_end_alone(run: Path) -> None:
    found = evaluations(run)
    assert set(found) == {"round=0.json", "round=4.json", "round=5.json"}
    assert len({json.dumps(value["index"]) for value in found.values()}) == 1
    assert {name: list(value["curves"]) for name, value in found.items()} == {
        "round=0.json": [],
        "round=4.json": [],
        "round=5.json": ["pgd"],
    }
    assert all(value["complete"] for value in found.values())


def test_the_report_shows_it(run: Path) -> None:
    page = (run / "report.html").read_text()
    for part in ("adversarial accuracy, pgd", "adversarial accuracy, fgsm", "Robustness", "Examples: pgd"):
        assert part in page, part
    figures = {path.name for path in (run / "figures").iterdir()}
    own = {"robust_radii.png", "robust_rounds.png", "robust_examples_pgd.png", "robust_examples_fgsm.png"}
    assert own <= figures


@pytest.mark.parametrize("targets", ["next", '{"9": 0, "1": 7}'])
def test_targeted_columns(targets: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = (*ROBUST[:3], "--query.init_args.budget=1", f"{KEY}.targets={targets}", f"{KEY}.examples=0")
    done = fit(out, *options)
    assert done.returncode == 0, done.stderr
    last = json.loads((out / "rounds.jsonl").read_text().splitlines()[-1])
    assert last["robust_pgd"] <= last["robust_natural"]
    assert last["robust_pgd_not_target"] >= last["robust_pgd"]
    found = Evaluation.load(out / "robust" / "round=1.json")
    assert found.target is not None
    pairs = set(zip(found.label.tolist(), found.target.tolist(), strict=True))
    assert pairs == ({(c, (c + 1) % 10) for c in range(10)} if targets == "next" else {(9, 0), (1, 7)})
    assert "not target" in (out / "report.html").read_text()
    assert not list((out / "figures").glob("robust_examples*")), "none were asked for"


TARGETED = ('--robust.init_args.targets={"9": 0, "1": 7}', f"{KEY}.samples=30", f"{KEY}.every=1")
BESIDE = f'{KEY}.untargeted={{"any": {json.dumps(ATTACKS["pgd"])}}}'


@pytest.fixture(scope="module")
def beside(made_once: MadeOnce) -> Path:
    arguments = (*ROBUST, *TARGETED, BESIDE, "--query.init_args.budget=1", "--seed_everything=3")
    return made_once("robust_beside", lambda out: finished(out, *arguments))


def test_untargeted_attacks_stand_beside_targeted_ones_on_the_same_samples(beside: Path) -> None:
    rounds = [json.loads(line) for line in (beside / "rounds.jsonl").read_text().splitlines()]
    aimed = {"robust_pgd", "robust_fgsm", "robust_pgd_not_target", "robust_fgsm_not_target"}
    for record in rounds:
        own = {name for name in record if "robust" in name}
        assert own == {"robust_natural", "seconds_robust", "robust_any", *aimed}
        assert record["robust_any"] <= record["robust_pgd"], "any class but the label is easier to reach than one"
        assert record["robust_any"] < record["robust_natural"]
        at = f"round={record['round']}.json"
        ours, theirs = (Evaluation.load(beside / folder / at) for folder in ("robust", "robust/untargeted"))
        assert torch.equal(ours.index, theirs.index)
        assert torch.equal(ours.natural, theirs.natural)
        assert set(ours.label.tolist()) == {1, 9}
        assert (ours.target is None, theirs.target) == (False, None)
        assert (set(ours.attacks), set(theirs.attacks)) == ({"pgd", "fgsm"}, {"any"})
        assert record["robust_any"] == theirs.figures()["any"]
    summary = json.loads((beside / "summary.json").read_text())
    assert summary["robust_any"] == rounds[-1]["robust_any"]


def test_what_stands_beside_does_not_change_the_targeted_ones(beside: Path, tmp_path: Path) -> None:
    out = tmp_path / "alone"
    done = fit(out, *ROBUST, *TARGETED, "--query.init_args.budget=1", "--seed_everything=3")
    assert done.returncode == 0, done.stderr
    assert evaluations(out) == evaluations(beside)
    assert not (out / "robust" / "untargeted").exists()


def test_the_report_shows_both_with_their_classes(beside: Path) -> None:
    page = (beside / "report.html").read_text()
    for part in ("Robustness: targeted", "Robustness: untargeted", "adversarial accuracy, any", "Examples: any"):
        assert part in page, part
    assert page.count('<th class="number">samples</th>') == 2, "a table of classes for each"
    assert {"robust_rounds.png", "robust_rounds_untargeted.png"} <= {p.name for p in (beside / "figures").iterdir()}


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (f"{KEY}.every=0", "robust.init_args.every: must be at least 1, got 0"),
        (f"{KEY}.samples=181", "robust.init_args.samples: 181, but there are 180 to evaluate"),
        (f"{KEY}.samples=0", "robust.init_args.samples: must be at least 1"),
        (f"{KEY}.batch_size=0", "robust.init_args.batch_size: must be at least 1"),
        (f"{KEY}.examples=-1", "robust.init_args.examples: must be at least 0"),
        (f'{KEY}.curves={{"bim": [0.1]}}', "robust.init_args.curves: 'bim' is none of the attacks pgd, fgsm"),
        (f'{KEY}.curves={{"pgd": [0.2, 0.1]}}', "robust.init_args.curves.pgd: must be radii above 0, ascending"),
        (f'{KEY}.targets={{"3": 3}}', "robust.init_args.targets: must lead from a class to another"),
        (f'{KEY}.targets={{"3": 10}}', "robust.init_args.targets: must be from 0 to 9, got 10"),
        (f'{KEY}.targets={{"10": 3}}', "robust.init_args.targets: must be from 0 to 9, got 10"),
        (f"{KEY}.targets=other", "targets"),
        (f"{KEY}.attacks={{}}", "robust.init_args.attacks: there must be at least one"),
        (f'{KEY}.attacks={{"a-b": {{"class_path": "aal.attacks.FGSM"}}}}', "robust.init_args.attacks: 'a-b'"),
        (f'{KEY}.attacks={{"c": {{"class_path": "aal.attacks.CollisionAttack"}}}}', "robust.init_args.attacks.c: coll"),
        (f"{KEY}.attacks.pgd.init_args.radius=-1", "robust.init_args.attacks.pgd.init_args.radius: must be at least 0"),
        (BESIDE, "robust.init_args.untargeted: without targets all attacks are; name these under attacks"),
        (f"{KEY}.nope=1", "nope"),
    ],
)
def test_bad_values_are_named(
    argument: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    curves = () if "attacks=" in argument else ROBUST[-1:]
    said = refusal(monkeypatch, capsys, *ROBUST[:-1], *curves, argument, out=out)
    assert named in said
    assert not out.exists()


def test_an_attack_that_cannot_take_the_samples_is_refused_before_training(tmp_path: Path) -> None:
    jitter = json.dumps({"jitter": {"class_path": "aal.attacks.SpatialJitter"}})
    config = ROOT / "configs" / "experiment" / "noise_toy.yaml"
    run = aal("fit", "--config", config, f"{KEY}.attacks={jitter}", "--out", tmp_path / "run")
    assert run.returncode == 2
    line = "robust.init_args.attacks.jitter: SpatialJitter needs images (C, H, W), not samples of shape (16,)"
    assert run.stderr.splitlines()[-1] == f"error: {line}"
    assert "round 0" not in run.stdout


@pytest.mark.parametrize(
    ("untargeted", "named"),
    [
        ({}, "robust.init_args.untargeted: attacks: there must be at least one"),
        ({"pgd": ATTACKS["pgd"]}, "robust.init_args.untargeted: 'pgd' names one of attacks too; take another name"),
        ({"pgd_not_target": ATTACKS["pgd"]}, "robust.init_args.untargeted: attacks: 'pgd_not_target' cannot name"),
        ({"a-b": ATTACKS["pgd"]}, "robust.init_args.untargeted: attacks: 'a-b'"),
        ({"c": {"class_path": "aal.attacks.CollisionAttack"}}, "robust.init_args.untargeted: attacks.c: coll"),
    ],
)
def test_untargeted_attacks_that_make_no_sense_are_named(
    untargeted: dict[str, Any],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = (*ROBUST, f"{KEY}.targets=next", f"{KEY}.untargeted={json.dumps(untargeted)}")
    assert named in refusal(monkeypatch, capsys, *given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Saves the state of an evaluation after every group of batches.
OFTEN = "import aal.robustness.evaluation\naal.robustness.evaluation.SAVE_SECONDS = 0.0\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "event", "count"),
    [
        ("aal/robustness/evaluation.py:save", "return", 3),  # within round 0
        ("aal/robustness/evaluation.py:save", "return", 19),  # within the curve of the last round
        ("aal/report/pair_figures.py:examples_figure", "call", 1),
        ("aal/runs/records.py:write_summary", "call", 1),
    ],
)
def test_a_run_killed_while_it_is_evaluated_ends_as_if_it_had_not_been(
    at: str, event: str, count: int, run: Path, tmp_path: Path
) -> None:
    out, marker, options = tmp_path / "run", tmp_path / "killed", (*EVERY, "--seed_everything=3", "--ckpt_path=last")
    before = (at, event, str(count), str(marker))
    killed = fit(out, *options, code=KILL.replace("import aal.cli.fit", f"{OFTEN}import aal.cli.fit"), before=before)
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text() == at, "killed elsewhere"
    half = {path.name: json.loads(path.read_text()) for path in (out / "robust").glob("*.json")}
    resumed = fit(out, *options)
    assert resumed.returncode == 0, resumed.stderr
    assert results(out) == results(run)
    assert evaluations(out) == evaluations(run)
    for name, value in half.items():
        assert value["fingerprint"] == json.loads((out / "robust" / name).read_text())["fingerprint"], "begun anew"


@pytest.mark.slow
def test_two_processes_find_out_what_one_does(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = fit(out, *EVERY, "--seed_everything=3", ranks=2)
    assert done.returncode == 0, done.stderr
    assert results(out)["rounds"] == results(run)["rounds"]
    assert evaluations(out) == evaluations(run)


@pytest.mark.slow
def test_a_study_of_evaluated_arms_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aal.studies.execution.CellProcess", ForkedCell)
    file = tmp_path / "study.yaml"
    small = {"query": {"init_args": {"budget": 2, "max_epochs": 4}}}
    file.write_text(
        json.dumps(
            {
                "name": "robust",
                "configs": [str(EXPERIMENT), str(ROOT / "configs" / "robust" / "pgd.yaml"), small],
                "seeds": 1,
                "table": "collision",
                "arms": {"clean": [{"poison": None}], "poisoned": [{"poison": {"init_args": {"n": 8}}}]},
                "rows": [{"arm": "poisoned", "against": "clean"}],
            }
        )
    )
    assert study(["run", str(file), "--out", str(tmp_path / "out")]) == 0
    for arm in ("clean", "poisoned"):
        summary = json.loads((tmp_path / "out" / arm / "seed=0" / "summary.json").read_text())
        assert 0 <= summary["robust_pgd"] <= summary["robust_natural"]
