"""Adversarial retraining: which copies are crafted, of what, when, and what becomes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aal.attacks import CollisionAttack, DeepFool, GaussianNoise, TargetedCollision
from aal.callbacks import AdversarialRetraining
from aal.datamodules import Digits
from aal.errors import UserError
from aal.extras import MAKERS
from aal.networks import DigitBackbone
from aal.runs.files import read_tensors
from tests.callbacks.test_query_rounds import ledger
from tests.commands import ROOT, MadeOnce, finished, fit, results
from tests.test_resume import KILL

CLEAN = ("--poison=null", "--query.init_args.query_size=3", "--seed_everything=3", "--query.init_args.max_epochs=30")
COPIES = "--retraining=aal.callbacks.AdversarialRetraining"
DEEPFOOL = (COPIES, '--retraining.init_args.attacks={"deepfool": {"class_path": "aal.attacks.DeepFool"}}')
BOTH = (
    COPIES,
    '--retraining.init_args.attacks={"deepfool": {"class_path": "aal.attacks.DeepFool"},'
    ' "noise": {"class_path": "aal.attacks.GaussianNoise", "init_args": {"variance": 0.04}}}',
)


@pytest.fixture(scope="module")
def run(made_once: MadeOnce) -> Path:
    """Two queries of three, with two copies of every labelled sample."""
    return made_once("retraining", lambda out: finished(out, *CLEAN, *BOTH))


@pytest.fixture(scope="module")
def data() -> Digits:
    digits = Digits(seed=3)
    digits.setup("fit")
    return digits


def rounds(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def crafted(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "crafted.safetensors")


def test_every_sample_that_was_labelled_has_a_copy_by_each_attack_and_costs_one_label(run: Path) -> None:
    rows, copies = ledger(run), crafted(run)
    assert len(rows) == 26, "copies cost no budget"
    assert set(copies["maker"].tolist()) == {MAKERS.index("retraining")}
    given = {int(row["index"]): (int(row["label"]), max(1, int(row["round"]))) for row in rows}
    made = list(zip(copies["source"].tolist(), copies["label"].tolist(), copies["round"].tolist(), strict=True))
    assert sorted(made) == sorted(2 * [(index, *rest) for index, rest in given.items()])
    assert [record.get("crafted", 0) for record in rounds(run)] == [0, 46, 52]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["copies_of"], summary["copies_by"], summary["crafted"]) == ("input", "deepfool, noise", 52)


def test_the_record_has_the_least_perturbation_of_each_sample(run: Path, data: Digits) -> None:
    copies = crafted(run)
    size = (copies["x"] - data.samples["pool"][copies["source"]]).flatten(1).norm(dim=1)
    for record in rounds(run)[1:]:
        own = copies["round"] == record["round"]
        deepfool = size[own][: own.sum() // 2]  # the first of the two attacks; noise of 1.6 changes nothing sooner
        assert deepfool.max() < size[own][own.sum() // 2 :].min()
        assert record["perturbation_mean"] == pytest.approx(float(deepfool.mean()), rel=1e-5)
        assert record["perturbation_min"] == pytest.approx(float(deepfool.min()), rel=1e-5)
    assert "perturbation_mean" not in rounds(run)[0]


def test_copies_lie_within_the_data_s_range_and_noise_is_as_strong_as_it_should_be(run: Path, data: Digits) -> None:
    copies = crafted(run)
    x = copies["x"]
    assert x.min() >= 0
    assert x.max() <= 1
    last = (copies["round"] == 2).nonzero()[:, 0]
    moved = (x - data.samples["pool"][copies["source"]])[last[len(last) // 2 :]]
    inside = (x[last[len(last) // 2 :]] > 0) & (x[last[len(last) // 2 :]] < 1)
    assert 0.1 < float(moved[inside].std()) < 0.25


def test_copies_cross_the_boundary_of_the_model_of_the_round_before(run: Path, data: Digits, tmp_path: Path) -> None:
    done = fit(tmp_path / "run", *CLEAN, *BOTH, "--query.init_args.budget=3")  # ends with the model of round 1
    assert done.returncode == 0, done.stderr
    copies = crafted(run)
    last = (copies["round"] == 2).nonzero()[:, 0][:3]  # crafted on it, by DeepFool
    assert torch.equal(copies["x"][:46], crafted(tmp_path / "run")["x"]), "the same run until then"
    weights = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    head, backbone = torch.nn.Linear(64, 10), DigitBackbone().eval()
    head.load_state_dict({"weight": weights["head.0.weight"], "bias": weights["head.0.bias"]})
    x, moved = data.samples["pool"][copies["source"][last]], copies["x"][last]
    with torch.no_grad():
        before, after = (head(backbone(part)) for part in (x, moved))
        back = head(backbone(x + 0.9 * (moved - x)))
    assert (before.argmax(1) != after.argmax(1)).all()
    assert (before.argmax(1) == back.argmax(1)).all(), "no farther than they must go"


def test_copies_change_what_is_learnt(run: Path, tmp_path: Path) -> None:
    done = fit(tmp_path / "run", *CLEAN)
    assert done.returncode == 0, done.stderr
    with_, without = rounds(run), rounds(tmp_path / "run")
    assert with_[0]["loss"] == without[0]["loss"]
    assert with_[1]["loss"] != without[1]["loss"]


@pytest.mark.parametrize(("of", "sources"), [("queried", 3), ("labelled", 26)])
def test_copies_that_are_not_kept_are_replaced(of: str, sources: int, tmp_path: Path) -> None:
    options = ("--retraining.init_args.keep=false", f"--retraining.init_args.of={of}")
    done = fit(tmp_path / "run", *CLEAN, *DEEPFOOL, *options)
    assert done.returncode == 0, done.stderr
    copies = crafted(tmp_path / "run")
    assert set(copies["round"].tolist()) == {2}
    assert len(copies["source"]) == sources
    labelled = [int(row["index"]) for row in ledger(tmp_path / "run")]
    assert set(copies["source"].tolist()) == set(labelled[-sources:])


def test_copies_in_feature_space_are_features_and_say_so(tmp_path: Path) -> None:
    done = fit(tmp_path / "run", *CLEAN, f"--config={ROOT}/configs/retraining/features.yaml")
    assert done.returncode == 0, done.stderr
    assert crafted(tmp_path / "run")["x"].shape == (26, 64)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["copies_of"] == "features"
    assert rounds(tmp_path / "run")[2]["crafted"] == 26
    assert not (tmp_path / "run" / "figures" / "crafted.png").exists()


def test_a_run_ends_when_no_copy_is_near_its_sample(tmp_path: Path) -> None:
    rule = '--query.init_args.stop=[{"column": "perturbation_min", "at_least": 1.0e-6}]'
    done = fit(tmp_path / "run", *CLEAN, *DEEPFOOL, rule)
    assert done.returncode == 0, done.stderr
    assert len(rounds(tmp_path / "run")) == 2
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ended_by"] == "perturbation_min at least 1e-06"


def test_a_rule_on_perturbations_waits_for_the_first_that_is_found(tmp_path: Path) -> None:
    weak = (
        '{"weak": {"class_path": "aal.attacks.BIM", "init_args": {"radius": 1.0e-7, "step_size": 1.0e-7, "steps": 1}}}'
    )
    rule = '--query.init_args.stop=[{"column": "perturbation_min", "at_least": 0.5}]'
    done = fit(tmp_path / "run", *CLEAN, COPIES, f"--retraining.init_args.attacks={weak}", rule)
    assert done.returncode == 0, done.stderr
    assert len(rounds(tmp_path / "run")) == 3
    assert not any("perturbation_min" in record for record in rounds(tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "event", "count"),
    [
        ("callbacks/adversarial_retraining.py:_crafted", "return", 3),
        ("callbacks/adversarial_retraining.py:on_labels_given", "return", 3),
        ("aal/models/classifier.py:training_step", "return", 60),
        ("aal/runs/records.py:write_summary", "call", 1),
    ],
    ids=["crafting", "crafted", "training", "ending"],
)
def test_a_killed_run_goes_on_with_the_same_copies(at: str, event: str, count: int, run: Path, tmp_path: Path) -> None:
    died = tmp_path / "died"
    killed = fit(tmp_path / "run", *CLEAN, *BOTH, code=KILL, before=(at, event, str(count), str(died)))
    assert died.exists()
    assert killed.returncode != 0
    done = fit(tmp_path / "run", *CLEAN, *BOTH, "--ckpt_path=last")
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "run") == results(run)
    assert (tmp_path / "run" / "crafted.safetensors").read_bytes() == (run / "crafted.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--retraining.init_args.keep=false", "--retraining.init_args.of=labelled")])
def test_two_ranks_craft_the_copies_of_one(options: tuple[str, ...], tmp_path: Path) -> None:
    cpu = ("--trainer.accelerator=cpu", "--retraining.init_args.batch_size=4")
    for name, ranks in (("one", 1), ("two", 2)):
        done = fit(tmp_path / name, *CLEAN, *BOTH, *cpu, *options, ranks=ranks)
        assert done.returncode == 0, done.stderr
    alone, shared = results(tmp_path / "one"), results(tmp_path / "two")
    assert alone["rounds"] == shared["rounds"]
    assert alone["ledger"] == shared["ledger"]
    one, two = ((tmp_path / name / "crafted.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"attacks": {}}, "attacks: must be at least 1, got 0"),
        ({"attacks": {"c": CollisionAttack()}}, "attacks.c: collisions are made of features"),
        ({"attacks": {"t": TargetedCollision()}}, "attacks.t: collisions are made of features"),
        ({"of": "all"}, "of: must be queried or labelled, got 'all'"),
        ({"space": "pixels"}, "space: must be input or features, got 'pixels'"),
        ({"of": "labelled"}, "keep: copies of all labelled samples replace the earlier ones"),
        ({"batch_size": 0}, "batch_size: must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refusal:
        AdversarialRetraining(**{"attacks": {"noise": GaussianNoise(), "deepfool": DeepFool()}} | arguments)
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model.init_args.unfreeze_at=2",), "features are those of a backbone that stays frozen"),
        ((f"--config={ROOT}/configs/query/dfal.yaml",), "the queries bring copies of samples of their own"),
    ],
)
def test_features_need_a_frozen_backbone_and_no_other_copies(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = fit(tmp_path / "run", *CLEAN, f"--config={ROOT}/configs/retraining/features.yaml", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: retraining.init_args.space: {said}")


def test_an_attack_that_cannot_take_features_is_refused_before_training(tmp_path: Path) -> None:
    features = (f"--config={ROOT}/configs/retraining/augmentation.yaml", "--retraining.init_args.space=features")
    done = fit(tmp_path / "run", *CLEAN, *features)
    assert done.returncode == 2
    refusal = (
        "error: retraining.init_args.attacks.jitter: SpatialJitter needs images (C, H, W), not samples of shape (64,)"
    )
    assert done.stderr.startswith(refusal)
    assert not (tmp_path / "run").exists()
