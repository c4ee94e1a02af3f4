"""Targeted poisons in the pool, through the real command line: whose they are, what became of the target, kills."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aal.data.samples import ImageSamples
from aal.datamodules import Digits
from aal.networks import DigitBackbone
from aal.poisons.target_sets import KIND
from aal.runs.files import write_sealed
from tests.commands import EXPERIMENT, ROOT, MadeOnce, aal, untimed
from tests.report.test_pages import Page
from tests.test_resume import KILL

TARGETED = ROOT / "configs" / "poison" / "targeted.yaml"
RECRAFT = ROOT / "configs" / "poison" / "targeted_recraft.yaml"
FASTER = "--model.init_args.learning_rate=2e-2"
# Random queries of many labels find poisons soon.
FEW = (
    *("--query.init_args.strategy=aal.strategies.Random", "--query.init_args.initial=40"),
    *("--query.init_args.query_size=300", "--query.init_args.budget=600", "--query.init_args.max_epochs=2"),
    *("--poison.init_args.bases=20", "--poison.init_args.attack.init_args.steps=40"),
)

NN2 = (f"--config={ROOT}/configs/model/nn2.yaml", "--model.init_args.head.dropout=0", "--query.init_args.max_epochs=6")
# Runs the command line, and keeps in a file what the pool and the model are after each recrafting.
PROBE = """
import sys
import torch
from aal.callbacks import TargetedPoison
file, recraft, seen = sys.argv.pop(1), TargetedPoison._recraft, []
def watched(self, trainer, module):
    record, data = recraft(self, trainer, module), trainer.datamodule
    head = {name: tensor.clone() for name, tensor in module.head.state_dict().items()}
    pool = {"samples": data.samples["pool"][self.indices], "inputs": data.inputs("pool", self.indices)}
    seen.append({**pool, "head": head})
    torch.save(seen, file)
    return record
TargetedPoison._recraft = watched
from aal.__main__ import main
main()
"""


def fit(out: Path, *arguments: str | Path, **kill: Any) -> Any:  # noqa: ANN401
    return aal("fit", "--config", EXPERIMENT, *arguments, "--out", out, **kill)


def poison(out: Path, *arguments: str | Path, overlay: Path = TARGETED, **code: Any) -> Path:
    run = fit(out, "--config", overlay, *FEW, *arguments, **code)
    assert run.returncode == 0, run.stderr
    return out


def rounds(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def rows(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / "poisons" / "manifest.json").read_text())["poisons"]


def ledger(run: Path) -> list[dict[str, str]]:
    header, *lines = (run / "ledger.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def images(folder: Path, pattern: str) -> dict[int, Tensor]:
    reader = ImageSamples(torch.empty(0, 1, 8, 8, dtype=torch.uint8))
    return {int(path.name[:5]): reader.read(path) for path in sorted(folder.glob(pattern))}


def logits_of(run: Path, x: Tensor) -> Tensor:
    """Return what the last round's classifier, one dense layer on the backbone, makes of samples."""
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    with torch.no_grad():
        return DigitBackbone()(x) @ state["head.0.weight"].T + state["head.0.bias"]


@pytest.fixture(scope="module")
def sets(made_once: MadeOnce) -> Path:
    """A run that kept sets."""
    experiment = ROOT / "configs" / "experiment" / "targeted_sets.yaml"
    few = (
        "size=100",
        "sets=1",
        "targets=9",
        "bases=8",
        "max_epochs=12",
        "opacities=[0.3]",
        "attack.init_args.steps=40",
    )
    given = (*(f"--query.init_args.{value}" for value in few), "--data.init_args.batch_size=32", FASTER)

    def make(out: Path) -> None:
        run = aal("fit", "--config", experiment, "--out", out, *given)
        assert run.returncode == 0, run.stderr

    return made_once("poison_sets", make)


@pytest.fixture(scope="module")
def crafted(made_once: MadeOnce) -> Path:
    """A run that crafted its own poisons."""
    return made_once("targeted_poison", poison)


def test_poisons_of_a_set_are_in_the_pool_with_the_label_of_their_base(sets: Path, tmp_path: Path) -> None:
    kept = json.loads((sets / "sets" / "0000" / "manifest.json").read_text())
    copied = shutil.copytree(sets, tmp_path / "copied")
    far = {name: [9.0] * len(kept["bases"]) for name in ("distance_before", "distance_after")}
    sealed = {name: value for name, value in kept.items() if name != "sha256"}
    write_sealed(copied / "sets" / "0000" / "manifest.json", KIND, sealed | far)
    run = poison(tmp_path / "run", "--poison.init_args.sets", copied)
    found, asked = summary(run), [row for row in ledger(run) if row["origin"] == "poison"]
    assert images(run / "poisons", "*_poison.png").keys() == set(range(n := len(kept["bases"])))
    for kind in ("base", "poison"):
        theirs = images(sets / "sets" / "0000", f"*_{kind}.png")
        assert all(torch.equal(x, theirs[k]) for k, x in images(run / "poisons", f"*_{kind}.png").items())
    assert (found["target"], found["target_set"]) == (kept["target"], 0), "seed 0 takes the first set"
    assert found["opacity"] == 0.3
    assert len(asked) == found["poisons_queried"] > 0
    assert found["poison_success"] == len(asked) / n
    assert {row["label"] for row in asked} == {row["true_label"] for row in asked} == {str(kept["base_class"])}
    queried = [sum(row["round"] == str(k) for row in asked) for k in (1, 2)]
    assert [record["poison_queried"] for record in rounds(run)] == [0, queried[0], sum(queried)]
    assert [record.get("poison_share") for record in rounds(run)] == [None, *(m / 300 for m in queried)]
    for figure, distance in (("norm_initial", "before"), ("norm_crafted", "after"), ("norm_saved", "after")):
        own = [row[figure] for row in rows(run)]
        assert own == pytest.approx(kept[f"distance_{distance}"], rel=1e-3), "its own backbone's, not the manifest's"


def test_poisons_of_bases_that_are_held_out_here_stay_out_of_the_pool(sets: Path, tmp_path: Path) -> None:
    held_out = ("--data.init_args.secured=700", "--data.init_args.val=300")
    run = poison(tmp_path / "run", "--poison.init_args.sets", sets, *held_out, "--query.init_args.budget=300")
    data = Digits(seed=0, secured=700, val=300)
    data.setup("fit")
    held = torch.cat([data.samples[split][torch.arange(n)] for split, n in (("secured", 700), ("val", 300))])
    theirs = images(sets / "sets" / "0000", "*_base.png")
    left = [k for k, base in theirs.items() if not (held == base).flatten(1).all(1).any()]
    assert 0 < len(left) < len(theirs)
    for kind in ("base", "poison"):
        given = images(sets / "sets" / "0000", f"*_{kind}.png")
        own = images(run / "poisons", f"*_{kind}.png")
        assert len(own) == len(left)
        assert all(torch.equal(own[row], given[k]) for row, k in enumerate(left))
    kept = json.loads((sets / "sets" / "0000" / "manifest.json").read_text())
    assert summary(run)["poisons"] == len(left)
    assert [row["base"] for row in rows(run)] == [kept["bases"][k] for k in left]
    assert [row["norm_initial"] for row in rows(run)] == pytest.approx(
        [kept["distance_before"][k] for k in left], rel=1e-3
    )


def test_a_set_of_bases_that_are_all_held_out_is_refused(sets: Path, tmp_path: Path) -> None:
    given = (f"--poison.init_args.sets={sets}", "--data.init_args.secured=1428")
    said = f"poison.init_args.sets: {sets}/sets/0000: all of its bases are held out here"
    refused(tmp_path, said, *given, "--query.init_args.initial=5", "--query.init_args.query_size=2")


def test_what_became_of_the_target_is_what_the_classifier_takes_it_for(crafted: Path) -> None:
    data, found = Digits(seed=0), summary(crafted)
    data.setup("fit")
    target, base_class = torch.tensor([found["target"]]), rows(crafted)[0]["label"]
    predicted = int(logits_of(crafted, data.samples["test"][target]).argmax())
    assert found["target_fooled"] == rounds(crafted)[-1]["target_fooled"] == int(predicted == base_class)
    assert (
        found["target_correct"]
        == rounds(crafted)[-1]["target_correct"]
        == int(predicted == data.labels["test"][target])
    )
    assert base_class != data.labels["test"][target]
    page, fooled = Page(crafted / "report.html"), sum(record["target_fooled"] for record in rounds(crafted))
    assert (crafted / "poisons" / "target.png").read_bytes() in page.images
    assert torch.equal(data.samples["test"].read(crafted / "poisons" / "target.png"), data.samples["test"][target][0])
    told = f"test sample {found['target']} its class {int(data.labels['test'][target])} to be taken for {base_class}"
    assert f"{told} taken for it after {fooled} of {len(rounds(crafted))} rounds" in page.text
    assert f"opacity of its watermark in the bases {found['opacity']:g}" in page.text
    assert "features.png" not in page.text, "that figure is of collisions on one vector"


def test_a_set_of_its_own_is_crafted_on_the_backbone(crafted: Path) -> None:
    data, backbone = Digits(seed=0), DigitBackbone()
    data.setup("fit")
    listed = rows(crafted)
    label = listed[0]["label"]
    assert [row["base"] for row in listed] == (data.labels["pool"] == label).nonzero()[:20, 0].tolist()
    aim = backbone(data.samples["test"][torch.tensor([summary(crafted)["target"]])])
    after = {k: float((backbone(x[None]) - aim).norm()) for k, x in images(crafted / "poisons", "*_poison.png").items()}
    assert [row["norm_saved"] for row in listed] == pytest.approx([after[k] for k in range(20)], rel=1e-3)
    assert sum(after.values()) < 0.3 * sum(row["norm_initial"] for row in listed)


def test_poisons_that_were_not_queried_are_recrafted_against_the_model_of_each_round(tmp_path: Path) -> None:
    run = poison(tmp_path / "run", *NN2, overlay=RECRAFT, code=PROBE, before=(str(tmp_path / "seen"),))
    queried = [int(row["index"]) for row in ledger(run) if row["round"] == "1" and row["origin"] == "poison"]
    places = {row["index"]: k for k, row in enumerate(rows(run))}
    first, second = (images(run / "poisons" / f"round={k:04d}", "*.png") for k in (0, 1))
    assert first.keys() == set(range(20)), "all of them before the first query"
    assert second.keys() == set(range(20)) - {places[index] for index in queried}, "those queried stay as they are"
    assert not (run / "poisons" / "round=0002").exists(), "nobody queries after the last round"
    assert [record.get("recrafted") for record in rounds(run)] == [20, len(second), None]
    original = images(run / "poisons", "*_poison.png")
    bases = images(run / "poisons", "*_base.png")
    changes = [(second.get(k, first[k]).double() - bases[k].double()).norm() for k in range(20)]
    assert summary(run)["perturbation_l2"] == pytest.approx(float(torch.stack(changes).mean()))
    page = (run / "report.html").read_text()
    assert "crafted anew after a round are in its folder, poisons/round=*" in page
    assert "target fooled" in page
    assert all(not torch.equal(first[k], original[k]) for k in first)
    assert all(not torch.equal(second[k], first[k]) for k in second), "another model, other poisons"
    callbacks = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    now = next(state for name, state in callbacks.items() if name.startswith("TargetedPoison"))["recrafted"]
    assert all(torch.equal(now[k], second.get(k, first[k])) for k in range(20))
    seen, data, backbone = torch.load(tmp_path / "seen", weights_only=True), Digits(seed=0), DigitBackbone()
    data.setup("fit")
    target, bases = data.samples["test"][torch.tensor([summary(run)["target"]])], images(run / "poisons", "*_base.png")
    distances = []
    for pool, crafted in zip(seen, (first, second), strict=True):
        assert all(torch.equal(pool["samples"][k], x) for k, x in crafted.items()), "the pool has them as they are now"
        with torch.no_grad():
            torch.testing.assert_close(pool["inputs"], backbone(pool["samples"]), msg="and what is scored is theirs")

            def distance(x: Tensor, head: dict[str, Tensor] = pool["head"]) -> Tensor:
                features = [(backbone(y) @ head["0.weight"].T + head["0.bias"]).relu() for y in (x, target)]
                return (features[0] - features[1]).norm(dim=1).mean()

            new = distance(torch.stack(list(crafted.values())))
            assert new < 0.3 * distance(torch.stack([bases[k] for k in crafted])), "near under the round's model"
            distances.append(float(new))
    assert [record["poison_distance"] for record in rounds(run)[:2]] == pytest.approx(distances, rel=1e-3)


def test_a_head_of_one_layer_on_a_frozen_backbone_leaves_nothing_to_recraft(crafted: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "--config", RECRAFT, *FEW, "--poison.init_args.attack.init_args.steps=40")
    assert run.returncode == 0, run.stderr
    assert "recraft: a head of one layer on a frozen backbone" in run.stderr
    assert not list((tmp_path / "run" / "poisons").glob("round=*"))
    assert [untimed(record) for record in rounds(tmp_path / "run")] == [untimed(record) for record in rounds(crafted)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "event", "count"),
    [
        ("callbacks/targeted_crafting.py:craft", "return", 1),
        ("aal/poisons/poison_folder.py:record", "return", 1),
        ("callbacks/targeted_crafting.py:craft", "return", 3),
        ("datamodules/base.py:replace_samples", "return", 1),
        ("aal/models/classifier.py:training_step", "return", 40),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(function: str, event: str, count: int, tmp_path: Path) -> None:
    arguments = ("--config", RECRAFT, *FEW, *NN2)
    whole, killed, marker = tmp_path / "whole", tmp_path / "killed", tmp_path / "marker"
    assert fit(whole, *arguments).returncode == 0
    assert fit(killed, *arguments, code=KILL, before=(function, event, str(count), str(marker))).returncode == -9
    resumed = fit(killed, *arguments, "--ckpt_path=last")
    assert resumed.returncode == 0, resumed.stderr
    assert [untimed(record) for record in rounds(killed)] == [untimed(record) for record in rounds(whole)]
    assert ledger(killed) == ledger(whole)
    pictures = [path.relative_to(whole) for path in sorted((whole / "poisons").rglob("*.png"))]
    assert [path.relative_to(killed) for path in sorted((killed / "poisons").rglob("*.png"))] == pictures
    assert all((killed / path).read_bytes() == (whole / path).read_bytes() for path in pictures)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sets=nowhere",), "poison.init_args.sets: nowhere: no such folder"),
        (("sets=configs",), "poison.init_args.sets: configs: has no sets of targeted poisons"),
        (("bases=0",), "poison.init_args.bases: must be at least 1, got 0"),
        (("opacity=1.0",), "poison.init_args.opacity: must be in [0, 1), got 1.0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    refused(tmp_path, said, *(f"--poison.init_args.{value}" for value in arguments))


def test_sets_for_other_samples_are_refused(sets: Path, tmp_path: Path) -> None:
    given = f"--poison.init_args.sets={sets}"
    refused(tmp_path, f"poison.init_args.sets: {sets}: has sets 0 to", given, "--poison.init_args.set=99")
    said = f"poison.init_args.sets: {sets}/sets/0000: made for other test samples"
    refused(tmp_path, said, given, "--seed_everything=7", "--poison.init_args.set=0")


def test_without_a_number_a_run_that_goes_on_gives_no_set(tmp_path: Path) -> None:
    made = tmp_path / "made" / "sets" / "0000"
    made.mkdir(parents=True)
    (made / "manifest.json").write_text("{}")
    given = f"--poison.init_args.sets={tmp_path}/made"
    said = f"poison.init_args.sets: {tmp_path}/made is not finished; name one of its sets with the argument set"
    refused(tmp_path, said, given)
    damaged = f"poison.init_args.sets: {made}/manifest.json: altered since it was written, or not the manifest of a set"
    refused(tmp_path, damaged, given, "--poison.init_args.set=0")


def test_a_network_without_features_before_round_0_needs_sets(tmp_path: Path) -> None:
    mlp = f"--config={ROOT}/configs/model/mlp.yaml"
    refused(tmp_path, "poison.init_args.sets: a network trained end to end has no features yet", mlp)


def refused(folder: Path, said: str, *arguments: str) -> None:
    run = fit(folder / "run", "--config", TARGETED, *FEW, *arguments)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {said}"), run.stderr
    assert run.stderr.count("\n") == 1
