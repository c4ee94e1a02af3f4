"""Sets of targeted poisons through the real command line: those that fool are kept, and kills cost nothing."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from aal.callbacks import TargetedSets
from aal.data.samples import ImageSamples
from aal.datamodules import CIFAR10, Digits, ImageFolder
from aal.datamodules.published import Stored
from aal.errors import UserError
from aal.networks import DigitBackbone
from tests.commands import ROOT, MadeOnce, aal, untimed
from tests.datamodules.files import FILES
from tests.report.test_pages import Page
from tests.test_resume import KILL

EXPERIMENTS = ROOT / "configs" / "experiment"
MLP = f"--config={ROOT}/configs/model/mlp.yaml"
FEW = (
    *("--query.init_args.size=100", "--query.init_args.targets=3", "--query.init_args.bases=10"),
    *("--query.init_args.max_epochs=12", "--query.init_args.patience=12", "--data.init_args.batch_size=32"),
    *("--query.init_args.opacities=[0.0, 0.3]", "--query.init_args.attack.init_args.steps=40"),
    "--model.init_args.learning_rate=2e-2",
)
FASTER = "--model.init_args.learning_rate=5e-3"
NOTHING = ("--query.init_args.attack.init_args.steps=1", "--query.init_args.opacities=[0.0]")


def build(out: Path, *arguments: str, **kill: Any) -> int:
    run = aal("fit", "--config", EXPERIMENTS / "targeted_sets.yaml", "--out", out, *FEW, *arguments, **kill)
    assert run.returncode in (0, -9), run.stderr
    return run.returncode


def rounds(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def manifests(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "sets").glob("*/manifest.json"))]


def left(run: Path) -> dict[str, Any]:
    """Return all that a run leaves, timings apart."""
    files = {
        str(path.relative_to(run)): path.read_bytes() for path in sorted((run / "sets").rglob("*")) if path.is_file()
    }
    last = {name: value for name, value in untimed(summary(run)).items() if name != "environment"}
    return {"sets": files, "rounds": [untimed(record) for record in rounds(run)], "summary": last}


def images(run: Path, k: int, kind: str) -> Tensor:
    reader = ImageSamples(torch.empty(0, 1, 8, 8, dtype=torch.uint8))
    return torch.stack([reader.read(path) for path in sorted((run / "sets" / f"{k:04d}").glob(f"*{kind}.png"))])


def digits() -> Digits:
    data = Digits(seed=0)
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def built(made_once: MadeOnce) -> Path:
    """A run that nobody killed."""
    return made_once("targeted_sets", build)


def test_sets_are_kept_where_the_target_was_fooled_and_nowhere_else(built: Path) -> None:
    _, *tries = rounds(built)
    fooling = [record for record in tries if record["fooled"]]
    kept, found = manifests(built), summary(built)
    assert [(m["target"], m["opacity"]) for m in kept] == [(r["target"], r["opacity"]) for r in fooling]
    assert 1 <= len(kept) == found["sets"] == tries[-1]["sets"]
    assert found["targets"] == tries[-1]["targets"] == len({record["target"] for record in tries}) == 3
    assert found["attack_success"] == len(kept) / 3
    assert found["ended_by"] == "targets"
    assert found["labels"] == 100
    assert found["accuracy_clean"] == pytest.approx(rounds(built)[0]["accuracy"])
    for record, following in pairwise(tries):
        again = not record["fooled"] and record["opacity"] == 0.0
        assert (following["target"] == record["target"]) == again, "the next opacity only where this one did not do"
        assert following["opacity"] == (0.3 if again else 0.0)


def test_the_report_shows_the_sets_with_their_targets_and_success(built: Path) -> None:
    page, found, kept = Page(built / "report.html"), summary(built), manifests(built)
    fooled = f"attack success {found['attack_success']:.3f} {len(kept)} of 3 targets fooled"
    for part in ("Digits, NN1, targeted poisons for 3 targets, seed 0", fooled, "Every try"):
        assert part in page.text
    for k, one in enumerate(kept):
        named = f"set {k}: test sample {one['target']}, {one['true_class']} to be taken for {one['base_class']}"
        told = f"{len(one['bases'])} poisons, opacity {one['opacity']:g}"
        assert f"{named} {told}" in page.text
    assert len(page.images) == 3 * len(kept)
    assert "no poisons" not in page.text
    assert "queried" not in page.text.split("How it was made")[0]


def test_poisons_that_are_bare_bases_fool_nobody_and_targets_come_in_order(tmp_path: Path) -> None:
    build(tmp_path / "run", *NOTHING, "--query.init_args.max_epochs=4", "--query.init_args.targets=8")
    targets, found = [record["target"] for record in rounds(tmp_path / "run")[1:]], summary(tmp_path / "run")
    assert targets == sorted(set(targets))
    assert len(targets) == found["targets"] == 8
    assert found["misclassified"] == targets[-1] + 1 - 8 > 0, "those that the baseline gets wrong are passed over"
    assert (found["sets"], found["attack_success"]) == (0, 0.0)
    assert not (tmp_path / "run" / "sets").exists()
    assert "No set was kept: no target was fooled." in Page(tmp_path / "run" / "report.html").text


def test_poisons_are_near_the_target_once_saved_and_near_their_bases(built: Path) -> None:
    data, backbone = digits(), DigitBackbone()
    for k, manifest in enumerate(manifests(built)):
        bases, poisons, target = (images(built, k, kind) for kind in ("base", "poison", "target"))
        indices = torch.tensor(manifest["bases"])
        assert torch.equal(bases, data.samples["pool"][indices])
        assert (data.labels["pool"][indices] == manifest["base_class"]).all()
        assert torch.equal(target[0], data.samples["test"][torch.tensor([manifest["target"]])][0])
        assert manifest["true_class"] == data.labels["test"][manifest["target"]] != manifest["base_class"]
        with torch.no_grad():
            before, after = ((backbone(x) - backbone(target)).norm(dim=1) for x in (bases, poisons))
        torch.testing.assert_close(before, torch.tensor(manifest["distance_before"]), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(after, torch.tensor(manifest["distance_after"]), atol=1e-3, rtol=1e-3)
        assert after.mean() < 0.3 * before.mean()
        assert (poisons - bases).flatten(1).norm(dim=1).mean() < (target - bases).flatten(1).norm(dim=1).mean()


def test_a_set_holds_the_attackers_copies_and_not_those_of_retraining(tmp_path: Path) -> None:
    retraining = f"--config={ROOT}/configs/retraining/augmentation.yaml"
    few = ("--query.init_args.sets=1", "--query.init_args.opacities=[0.3]", "--query.init_args.bases=5")
    build(tmp_path / "run", retraining, *few)
    (kept,), last = manifests(tmp_path / "run"), rounds(tmp_path / "run")[-1]
    assert last["crafted"] > len(kept["bases"]) == len(kept["distance_after"]) == 5
    assert {len(images(tmp_path / "run", 0, kind)) for kind in ("base", "poison")} == {5}


def test_a_learner_that_is_not_ours_is_fooled_too(built: Path) -> None:
    data, backbone = digits(), DigitBackbone()
    ledger = (built / "ledger.csv").read_text().splitlines()[1:]
    labelled = torch.tensor([int(row.split(",")[0]) for row in ledger])
    x, y = data.samples["pool"][labelled], data.labels["pool"][labelled]

    def predicted(x: Tensor, y: Tensor, target: Tensor) -> int:
        with torch.no_grad():
            return int(LogisticRegression(C=10, max_iter=1000).fit(backbone(x), y).predict(backbone(target))[0])

    for k, manifest in enumerate(manifests(built)):
        poisons, target = images(built, k, "poison"), images(built, k, "target")
        assert predicted(x, y, target) == manifest["true_class"]
        labels = torch.cat([y, torch.full((len(poisons),), manifest["base_class"])])
        assert predicted(torch.cat([x, poisons]), labels, target) == manifest["base_class"]


def test_the_run_ends_with_enough_sets_and_the_base_class_is_the_one_given(tmp_path: Path) -> None:
    build(
        tmp_path / "run", "--query.init_args.sets=1", "--query.init_args.base_class=3", "--query.init_args.shuffle=true"
    )
    assert summary(tmp_path / "run")["ended_by"] == "sets"
    assert [manifest["base_class"] for manifest in manifests(tmp_path / "run")] == [3]
    targets = [record["target"] for record in rounds(tmp_path / "run")[1:]]
    assert not (digits().labels["test"][targets] == 3).any()


KILLS = {
    "training": ("aal/models/classifier.py:training_step", "return", 80),
    "before the name": ("pathlib.py:rename", "call", 1),
    "written": ("aal/poisons/target_sets.py:write_set", "return", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", KILLS)
def test_a_killed_run_leaves_the_same_sets(moment: str, built: Path, tmp_path: Path) -> None:
    function, event, count = KILLS[moment]
    out, marker = tmp_path / "run", tmp_path / "killed"
    assert build(out, code=KILL, before=(function, event, str(count), str(marker))) == -9
    assert marker.read_text() == function
    (out / "sets" / "0099").mkdir(parents=True)  # one that this run does not make again
    assert build(out, "--ckpt_path=last") == 0
    assert left(out) == left(built)
    assert not list(out.rglob("*.unfinished"))


@pytest.mark.slow
def test_end_to_end_the_attacker_has_the_trained_baseline_also_after_a_kill(tmp_path: Path) -> None:
    arguments = (
        MLP,
        "--query.init_args.targets=2",
        "--query.init_args.opacities=[0.3]",
        "--model.init_args.learning_rate=5e-3",
    )
    whole, killed, marker = tmp_path / "whole", tmp_path / "killed", tmp_path / "marker"
    assert build(whole, *arguments) == 0
    function = "callbacks/targeted_crafting.py:craft"
    assert build(killed, *arguments, code=KILL, before=(function, "call", "2", str(marker))) == -9
    assert build(killed, *arguments, "--ckpt_path=last") == 0
    assert left(killed) == left(whole)
    state = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    clock = next(value for name, value in state["callbacks"].items() if name.startswith("TargetedSets"))
    first = clock["weights"]["network.1.weight"]
    assert not torch.equal(first, state["state_dict"]["network.1.weight"]), "the last round's, not the baseline's"
    hidden = digits().samples["test"][torch.arange(180)].flatten(1) @ first.T + clock["weights"]["network.1.bias"]
    logits = hidden.relu() @ clock["weights"]["last.weight"].T + clock["weights"]["last.bias"]
    assert torch.equal(logits.argmax(1), clock["clean"]), "the kept weights are those that were judged"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "files", "classes", "sets"),
    [("targeted_sets_cifar2", CIFAR10, None, 67), ("targeted_sets_cifar2_small", ImageFolder, ["boot", "shoe"], 5)],
)
def test_cifar2_is_attacked_with_its_experiments(
    name: str, files: type[Stored], classes: list[str] | None, sets: int, tmp_path: Path
) -> None:
    path = EXPERIMENTS / f"{name}.yaml"
    given = FILES[files](tmp_path / "data")
    small = (
        *(f"--data.init_args.{key}={given[key]}" for key in ("root", "checksums") if key in given),
        *(() if classes is None else (f"--data.init_args.classes={json.dumps(classes)}",)),
        *("--model.init_args.backbone.init_args.weights=none", "--model.init_args.backbone.init_args.size=32"),
        *(
            "--query.init_args.attack.init_args.steps=2",
            "--query.init_args.max_epochs=2",
            "--query.init_args.targets=1",
        ),
    )
    run = aal("fit", "--config", path, "--out", tmp_path / "run", *small)
    assert run.returncode == 0, run.stderr
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["query"]["init_args"]["sets"] == sets
    assert config["data"]["init_args"]["classes"] == (classes or ["airplane", "frog"])
    assert {record.get("base_class", 0) for record in rounds(tmp_path / "run")} <= {0, 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--query.init_args.bases=0",), "query.init_args.bases: must be at least 1, got 0"),
        (("--query.init_args.opacities=[]",), "query.init_args.opacities: must be one or more numbers"),
        (("--query.init_args.opacities=[0.2, 1.0]",), "query.init_args.opacities: must be one or more numbers"),
        (("--query.init_args.size=1439",), "query.init_args.size: 1439 training instances, but the pool has 1438"),
        (("--query.init_args.base_class=10",), "query.init_args.base_class: must be from 0 to 9, got 10"),
        (("--model.init_args.unfreeze_at=2",), "the model's unfreeze_at: rounds of targeted sets are all alike"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    run = aal("fit", "--config", EXPERIMENTS / "targeted_sets.yaml", "--out", tmp_path / "run", *FEW, *arguments)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {said}"), run.stderr
    assert run.stderr.count("\n") == 1


def test_targets_below_one_are_refused() -> None:
    with pytest.raises(UserError, match="targets"):
        TargetedSets(targets=0)
