"""Label flips in real runs: exact budgets, labels that return, kills, ranks, and what is refused."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from aal.callbacks.round_callback import data_of
from aal.callbacks.rounds import clock_of
from aal.data.samples import Samples
from aal.datamodules import Digits
from aal.seeds import generator
from tests.cli.test_fit import refusal
from tests.commands import EXPERIMENT, ROOT, MadeOnce, aal, results
from tests.test_resume import KILL

FLIPS = ROOT / "configs" / "flips"
NETWORK = (
    "--model=aal.models.ConvClassifier",
    '--model.init_args.network={"class_path": "aal.networks.MLP", "init_args": {"widths": [64]}}',
    *("--model.init_args.learning_rate=0.01", "--data.init_args.batch_size=128"),
)
SHORT = ("--flips.init_args.max_epochs=6", "--flips.init_args.budget=2", "--robust.init_args.samples=40")
ALL_OF_THEM = "--robust.init_args.samples=null"  # of the classes flipped, there are fewer
BACKBONE = (
    '--model={"class_path": "aal.models.TransferClassifier", "init_args": {"backbone": "aal.networks.DigitBackbone"}}'
)
OTHERS = {  # what trains networks of its own, or keeps what it measured
    "both": {"class_path": "aal.flips.ClassGraph", "init_args": {"space": "both", "selection": "dominating"}},
    "pca": {"class_path": "aal.flips.ClassGraph", "init_args": {"space": "pca", "norm": "linf", "components": 10}},
    "colouring": {"class_path": "aal.flips.Colouring", "init_args": {"neighbours": 3, "max_epochs": 5, "steps": 3}},
    "bilevel": {"class_path": "aal.flips.Bilevel", "init_args": {"outer_steps": 3, "inner_steps": 3, "subset": 20}},
}
BUCKETS = "--flips.init_args.selectors.path_length.init_args.buckets=2"


class Changed(Digits):
    """Digits whose test labels are others, and whose test images are noise."""

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        splits = super().load()
        samples, labels = splits["test"]
        noise = torch.rand(samples.stored.shape, generator=generator(0, "noise")) * 255
        return splits | {"test": (type(samples)(noise.to(torch.uint8)), (labels + 1) % 10)}


class Mislabelled(Digits):
    """Digits of which thirty in the pool have a wrong label."""

    WRONG = 30

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        splits = super().load()
        samples, labels = splits["pool"]
        wrong = self.wrong(len(labels))
        labels = labels.clone()
        labels[wrong] = (labels[wrong] + 3) % 10
        return splits | {"pool": (samples, labels)}

    @classmethod
    def wrong(cls, size: int) -> Tensor:
        return torch.randperm(size, generator=generator(0, "wrong"))[: cls.WRONG]


def flip(out: Path, *arguments: str | Path, config: str = "path_length", **more: Any) -> Any:  # noqa: ANN401
    given = ("--config", FLIPS / f"{config}.yaml", *NETWORK, *(() if config == "suspects" else SHORT))
    return aal("fit", "--config", EXPERIMENT, *given, "--out", out, *arguments, **more)


def done(out: Path, *arguments: str | Path, config: str = "path_length", ranks: int = 1) -> Path:
    run = flip(out, *arguments, config=config, ranks=ranks)
    assert run.returncode == 0, run.stderr
    return out


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def left(out: Path) -> dict[str, Any]:
    """Return all that a run of flips leaves."""
    files = {name: (out / name).read_bytes() for name in ("paths.csv", "suspects.csv") if (out / name).exists()}
    return results(out) | files


def labels_of_rounds(ledger: list[dict[str, str]], rounds: int) -> list[dict[int, int]]:
    """Return the labels that each round was trained on, by index, as the ledger tells them."""
    current: dict[int, int] = {}
    trained = []
    for number in range(rounds):
        current |= {int(row["index"]): int(row["label"]) for row in ledger if int(row["round"]) == number}
        trained.append(dict(current))
    return trained


@pytest.mark.slow
def test_budgets_are_exact_and_labels_return(tmp_path: Path) -> None:
    out = done(tmp_path / "run", BUCKETS, "--flips.init_args.repeats=2")
    ledger, found = table(out / "ledger.csv"), left(out)
    rounds = found["rounds"]
    assert [(row["selector"], row.get("position"), row.get("repeat")) for row in rounds] == [
        ("clean", None, None),
        *[(name, at, k) for k in (0, 1) for name, at in (("random", None), ("path_length", 0.0), ("path_length", 1.0))],
    ]
    truth = {int(row["index"]): int(row["true_label"]) for row in ledger}
    for number, labels in enumerate(labels_of_rounds(ledger, len(rounds))):
        wrong = [index for index, label in labels.items() if label != truth[index]]
        assert all(labels[index] == (truth[index] + 1) % 10 for index in wrong)
        per_class = Counter(truth[index] for index in wrong)
        assert per_class == ({} if number == 0 else dict.fromkeys(range(10), 2))
        assert rounds[number]["flips"] == rounds[number]["queried"] == len(wrong)
        assert rounds[number]["labels"] == len(labels) == len(truth)
    last = {row["index"]: row["label"] == row["true_label"] for row in ledger}
    assert all(last.values()), "labels that did not return at the end"
    assert all(json.loads(line)["seconds_select"] > 0 for line in (out / "rounds.jsonl").read_text().splitlines())
    given = {(row["strategy"], row["labeler"]) for row in ledger if row["round"] == "1"}
    assert given == {("random", "-1")}
    assert {row["labeler"] for row in ledger if row["strategy"] in ("initial", "restored")} == {"0"}
    paths = {row["index"]: int(row["steps"]) for row in table(out / "paths.csv")}
    for row in ledger:
        if row["strategy"].startswith("path_length"):
            assert float(row["score"]) == paths[row["index"]]
    flipped = {row["index"] for row in ledger if row["strategy"] == "path_length[0]"}
    far = {row["index"] for row in ledger if row["strategy"] == "path_length[1]"}
    assert not flipped & far
    assert all(row["robust_pgd"] <= row["robust_natural"] for row in rounds)


@pytest.mark.slow
def test_flips_are_memorised_and_cost_robustness_rather_than_accuracy(tmp_path: Path) -> None:
    arguments = ("--flips.init_args.max_epochs=150", "--robust.init_args.samples=null", BUCKETS)
    rounds = left(done(tmp_path / "run", *arguments))["rounds"]
    assert all(row["memorised"] == 1 and row["epochs"] < 150 for row in rounds)
    assert all(row["flips_memorised"] == 1 for row in rounds[1:])
    clean, *flipped = rounds
    assert all(row["accuracy"] > clean["accuracy"] - 0.06 for row in flipped)
    assert all(row["robust_pgd_targeted_not_target"] < clean["robust_pgd_targeted_not_target"] - 0.1 for row in flipped)


@pytest.mark.slow
def test_all_rounds_take_as_many_epochs_as_they_must(tmp_path: Path) -> None:
    epochs = ("--flips.init_args.min_epochs=60", "--flips.init_args.max_epochs=150")
    rounds = left(done(tmp_path / "run", *epochs, "--flips.init_args.budget=1", config="random"))["rounds"]
    assert [row["memorised"] for row in rounds] == [1, 1]
    assert rounds[0]["epochs"] == 60 <= rounds[1]["epochs"] < 150


@pytest.mark.slow
def test_a_round_that_does_not_memorise_is_reported(tmp_path: Path) -> None:
    out = done(tmp_path / "run", "--flips.init_args.max_epochs=1", config="random")
    found = left(out)
    assert [row["memorised"] for row in found["rounds"]] == [0, 0]
    assert found["summary"]["not_memorised"] == [0, 1]
    assert found["rounds"][1]["flips_memorised"] < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "event", "count"),
    [
        ("aal/models/classifier.py:training_step", "return", 40),
        ("aal/flips/path_length.py:select", "return", 3),
        ("callbacks/label_flip.py:next_round", "return", 2),
        ("aal/runs/records.py:write_ledger", "return", 3),
        ("callbacks/round_checkpoint.py:save_checkpoint", "call", 2),
        ("callbacks/round_checkpoint.py:save_checkpoint", "return", 3),
        ("callbacks/label_flip.py:on_fit_end", "call", 1),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(
    function: str, event: str, count: int, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    out, marker = tmp_path / "run", tmp_path / "killed"
    same = (*SWEEP, "--ckpt_path=last")
    killed = flip(out, *same, code=KILL, before=(function, event, str(count), str(marker)))
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text() == function
    again = flip(out, *same)
    assert again.returncode == 0, again.stderr
    after = left(out)
    for part, value in uninterrupted.items():
        assert value == after[part], part


TWO_CLASSES = ("--flips.init_args.targets={3: 5, 8: 9}", ALL_OF_THEM)
SWEEP = (BUCKETS, '--flips.init_args.suspects={"shown": 2}', "--checkpoint.interval=0", *TWO_CLASSES)


@pytest.fixture(scope="module")
def uninterrupted(made_once: MadeOnce) -> dict[str, Any]:
    return left(made_once("flips", lambda out: done(out, *SWEEP)))


@pytest.mark.slow
def test_two_ranks_flip_what_one_flips(uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    shared = left(done(tmp_path / "two", *SWEEP, ranks=2))
    for part in ("ledger", "rounds", "paths.csv", "suspects.csv"):
        assert shared[part] == uninterrupted[part], part


@pytest.fixture(scope="module")
def others(made_once: MadeOnce) -> dict[str, Any]:
    found = left(made_once("flips_others", lambda out: done(out, *WITH_OTHERS, config="random")))
    assert [row["selector"] for row in found["rounds"]] == ["clean", *OTHERS]
    return found


WITH_OTHERS = (
    f"--flips.init_args.selectors={json.dumps(OTHERS)}",
    *("--checkpoint.interval=0", *TWO_CLASSES),
)


@pytest.mark.slow
def test_two_ranks_flip_what_one_flips_with_every_selector(others: dict[str, Any], tmp_path: Path) -> None:
    shared = left(done(tmp_path / "two", *WITH_OTHERS, ranks=2, config="random"))
    assert shared["ledger"] == others["ledger"]
    assert [row["accuracy"] for row in shared["rounds"]] == [row["accuracy"] for row in others["rounds"]]


@pytest.mark.slow
@pytest.mark.parametrize("event", ["call", "return"])
@pytest.mark.parametrize("function", ["class_graph", "colouring", "bilevel"])
def test_a_run_killed_in_any_selector_ends_as_if_it_had_not_been(
    function: str, event: str, others: dict[str, Any], tmp_path: Path
) -> None:
    out, marker = tmp_path / "run", tmp_path / "killed"
    same = (*WITH_OTHERS, "--ckpt_path=last")
    where = (f"aal/flips/{function}.py:select", event, "2", str(marker))  # of its second class
    killed = flip(out, *same, config="random", code=KILL, before=where)
    assert killed.returncode == -9, killed.stderr
    assert left(done(out, *same, config="random")) == others


@pytest.mark.slow
def test_another_seed_flips_others(uninterrupted: dict[str, Any], tmp_path: Path) -> None:
    assert left(done(tmp_path / "other", *SWEEP, "--seed_everything=1"))["ledger"] != uninterrupted["ledger"]


@pytest.mark.slow
def test_a_repeat_without_redraw_flips_the_same_also_after_a_kill(tmp_path: Path) -> None:
    same = ("--flips.init_args.repeats=2", "--flips.init_args.redraw=false", "--ckpt_path=last")
    whole, out, marker = (tmp_path / name for name in ("whole", "run", "killed"))
    killing = ("callbacks/label_flip.py:next_round", "return", "2", str(marker))
    assert flip(out, *same, config="random", code=KILL, before=killing).returncode == -9
    found = left(done(out, *same, config="random"))
    assert found == left(done(whole, *same, config="random"))
    rows = table(out / "ledger.csv")
    chosen = [{row["index"] for row in rows if (row["strategy"], row["round"]) == ("random", at)} for at in "12"]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 20
    first, second = found["rounds"][1:]
    assert first["loss"] != second["loss"]  # from other weights


class LabelsWatched(pl.Callback):
    """Writes down, as every epoch starts, the labels of each split and those that are trained on."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        data = data_of(trainer)
        labels = {**{f"{split} split": labels for split, labels in data.labels.items()}, "trained": data.pool.labels}
        path = Path(trainer.default_root_dir) / f"labels_{clock_of(trainer).round}.safetensors"
        save_file({name: of.clone() for name, of in labels.items()}, path)


@pytest.mark.slow
def test_labels_come_back_bit_for_bit_and_those_held_out_never_change(tmp_path: Path) -> None:
    watch = "--trainer.callbacks+=tests.callbacks.test_label_flip.LabelsWatched"
    out = done(tmp_path / "run", BUCKETS, "--data.init_args.val=50", "--flips.init_args.repeats=2", watch)
    rounds = left(out)["rounds"]
    clean, *later = (load_file(out / f"labels_{number}.safetensors") for number in range(len(rounds)))
    splits = {f"{split} split" for split in ("pool", "craft", "val", "test")}
    assert set(clean) == splits | {"trained"}
    assert torch.equal(clean["trained"], clean["pool split"])
    assert len(later) == 6
    for labels in later:
        for split in splits:
            assert torch.equal(labels[split], clean[split]), split
        flipped = labels["trained"] != clean["trained"]
        assert flipped.sum() == 20
        assert torch.equal(labels["trained"][flipped], (clean["trained"][flipped] + 1) % 10)


@pytest.mark.slow
def test_nothing_depends_on_the_test_split(tmp_path: Path) -> None:
    own, changed = (
        done(tmp_path / name, BUCKETS, "--data", data, "--data.init_args.val=50")
        for name, data in (("own", "aal.datamodules.Digits"), ("changed", "tests.callbacks.test_label_flip.Changed"))
    )
    ours, theirs = left(own), left(changed)
    assert ours["ledger"] == theirs["ledger"]
    assert ours["paths.csv"] == theirs["paths.csv"]
    assert [row["train_loss"] for row in ours["rounds"]] == [row["train_loss"] for row in theirs["rounds"]]
    assert ours["rounds"][0]["accuracy"] > 0.8 > 0.3 > theirs["rounds"][0]["accuracy"]


@pytest.mark.slow
def test_a_new_class_gets_a_logit_of_its_own(tmp_path: Path) -> None:
    out = done(tmp_path / "run", "--flips.init_args.max_epochs=150", config="new_class")
    ledger = table(out / "ledger.csv")
    assert {row["label"] for row in ledger if row["strategy"] == "random"} == {"10"}
    assert left(out)["rounds"][1]["flips_memorised"] == 1
    weights = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert weights["last.weight"].shape == (11, 64)


@pytest.mark.slow
def test_only_the_classes_of_a_map_are_flipped_or_all_together(tmp_path: Path) -> None:
    out = done(tmp_path / "map", "--flips.init_args.targets={4: 5, 9: 0}", ALL_OF_THEM, config="random")
    wrong = [(row["true_label"], row["label"]) for row in table(out / "ledger.csv") if row["strategy"] == "random"]
    assert Counter(wrong) == {("4", "5"): 2, ("9", "0"): 2}
    out = done(tmp_path / "all", "--flips.init_args.per_class=false", config="random")
    assert sum(row["strategy"] == "random" for row in table(out / "ledger.csv")) == 2
    assert left(out)["summary"]["budget"] == 2


@pytest.mark.slow
def test_a_bucket_with_too_few_samples_is_passed_over(tmp_path: Path) -> None:
    divided = "--flips.init_args.selectors.path_length.init_args.divide=width"
    walk = "--flips.init_args.selectors.path_length.init_args.attack.init_args.steps=2"
    run = flip(tmp_path / "run", divided, walk, "--flips.init_args.targets={9: 0}", ALL_OF_THEM)
    assert run.returncode == 0, run.stderr
    found = left(tmp_path / "run")
    passed = found["summary"]["passed_over"]
    assert passed
    assert all(key.startswith("path_length[") and key.endswith("], repeat 0") for key in passed)
    assert len(found["rounds"]) == 1 + 11 - len(passed)
    said = run.stdout + run.stderr
    assert all(f"{key} is passed over: {why}" in said for key, why in passed.items())
    assert f"round {len(found['rounds']) - 1}: {len(found['rounds']) - 1}/{len(found['rounds']) - 1} round" in said
    assert all(row["flips"] == 2 for row in found["rounds"][1:])


@pytest.mark.parametrize("under", ["random", "path_length", "new_class"])
def test_suspects_flip_nothing_whatever_the_experiment_flips(under: str, tmp_path: Path) -> None:
    few = ("--flips.init_args.max_epochs=2", "--flips.init_args.min_epochs=1", "--flips.init_args.suspects.shown=1")
    out = done(tmp_path / "run", "--config", FLIPS / "suspects.yaml", *few, config=under)
    assert [row["selector"] for row in left(out)["rounds"]] == ["clean"]
    assert {(row["strategy"], row["status"]) for row in table(out / "ledger.csv")} == {("initial", "kept")}
    assert (out / "suspects.csv").exists()
    report = (out / "report.html").read_text()
    assert "<h1>Digits, MLP, no label flipped, seed 0</h1>".replace(" MLP,", "") in report


@pytest.mark.slow
def test_suspects_are_the_labels_that_are_wrong(tmp_path: Path) -> None:
    data = ("--data", "tests.callbacks.test_label_flip.Mislabelled", "--flips.init_args.max_epochs=150")
    out = done(tmp_path / "run", *data, config="suspects")
    rows = table(out / "suspects.csv")
    wrong = {str(index) for index in Mislabelled.wrong(len(rows)).tolist()}
    found = [row["index"] in wrong for row in rows]
    assert sum(found[:60]) >= 18  # of thirty; by chance it would be about one
    steps = [int(row["steps"]) for row in rows]
    assert steps == sorted(steps)
    assert (out / "figures" / "suspects.png").read_bytes().startswith(b"\x89PNG")
    assert len(left(out)["rounds"]) == 1


def test_suspects_of_what_is_no_image_are_listed_and_not_drawn(tmp_path: Path) -> None:
    configs = (ROOT / "configs" / "experiment" / "noise_toy.yaml", ROOT / "configs" / "flips" / "suspects.yaml")
    few = ("--flips.init_args.max_epochs=2", "--flips.init_args.min_epochs=1")
    run = aal("fit", *(f"--config={path}" for path in configs), *few, "--out", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    rows = table(tmp_path / "run" / "suspects.csv")
    assert len(rows) == 60
    assert {row["source"] for row in rows} == {""}
    report = (tmp_path / "run" / "report.html").read_text()
    assert "60 are listed in suspects.csv" in report
    assert "no label flipped" in report, "what the experiment's data places is not mislabelled"
    assert len(left(tmp_path / "run")["rounds"]) == 1
    assert not (tmp_path / "run" / "figures" / "suspects.png").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--flips.init_args.budget=500"], "flips.init_args.budget: 500 labels to flip, but class 0 has"),
        (["--flips.init_args.budget=0"], "flips.init_args.budget: must be at least 1, got 0"),
        (["--flips.init_args.budget=20"], "class 0 has 142 samples, and path_length chooses among 15 of them"),
        (["--flips.init_args.min_epochs=0"], "flips.init_args.min_epochs: must be at least 1, got 0"),
        (['--flips.init_args.selectors={"clean": {"class_path": "RandomFlips"}}'], "'clean' cannot name one; rec"),
        (["--flips.init_args.repeats=0"], "flips.init_args.repeats: must be at least 1, got 0"),
        (["--flips.init_args.targets={3: 10}"], "flips.init_args.targets: must be from 0 to 9, got 10"),
        (["--flips.init_args.targets={3: 3}"], "flips.init_args.targets: must lead from a class to another, got 3"),
        (["--flips.init_args.targets={3: 12}"], "flips.init_args.targets: must be from 0 to 9, got 12"),
        (["--flips.init_args.targets=null"], "flips.init_args.targets: must be next, new or a map of classes"),
        (["--flips.init_args.targets={}"], "flips.init_args.targets: the map names no class"),
        (["--flips.init_args.targets=last"], '"targets": Expected'),
        ([f"--config={ROOT}/configs/query/random.yaml", "--query=QueryRounds"], "query: a run has one clock"),
        ([BACKBONE, f"--config={ROOT}/configs/poison/collision.yaml"], "poison: nothing else may change a training"),
        ([f"--config={ROOT}/configs/retraining/pgd.yaml"], "retraining: nothing else may change a training set"),
        (["--flips.init_args.selectors.path_length.init_args.buckets=0"], "buckets: must be at least 1, got 0"),
        (["--flips.init_args.selectors.no=aal.flips.Xyzzy"], "module 'aal.flips' has no attribute 'Xyzzy'"),
        (['--flips.init_args.selectors={"a b": {"class_path": "RandomFlips"}}'], "selectors: 'a b' cannot"),
        (["--flips=null"], "query: an experiment needs a clock"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("--config", FLIPS / "path_length.yaml", *NETWORK, *SHORT, *arguments)
    assert line in refusal(monkeypatch, capsys, *given, out=tmp_path / "run")


def test_targets_of_an_evaluation_may_not_be_flips_where_none_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ("--config", ROOT / "configs" / "robust" / "pgd.yaml", "--robust.init_args.targets=flips")
    said = refusal(monkeypatch, capsys, *targets, out=tmp_path / "run")
    assert "targets: no callback of the run has a map of classes 'flips'" in said


def test_a_record_says_what_it_flipped_in_words(tmp_path: Path) -> None:
    out = done(tmp_path / "run", config="random")
    first, second = (json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines())
    assert (first["selector"], second["selector"]) == ("clean", "random")
    assert "selector" not in (out / "metrics.csv").read_text().splitlines()[0]
