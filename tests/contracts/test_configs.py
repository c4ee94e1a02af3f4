"""Every shipped configuration runs through the real command line."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from aal import datamodules
from aal.cli.fit import fit
from aal.studies.study import read_study
from aal.studies.tables import TABLES
from tests.commands import EXPERIMENT, ROOT, SMALL, aal, results
from tests.datamodules.files import FILES

CONFIGS = ROOT / "configs"
# tests/callbacks/test_targeted_sets.py runs those that build sets of poisons and query nothing; the toy experiments of
# paper noise query nothing either, and run in tests/datamodules/test_toy_mixture.py and tests/models/test_soft_knn.py.
ELSEWHERE = ("targeted_sets", "noise_toy", "noise_soft_knn")
EXPERIMENTS = sorted(path for path in (CONFIGS / "experiment").glob("*.yaml") if not path.stem.startswith(ELSEWHERE))
# Those whose rounds are of flipped labels, or of a shadow, take no arguments of queries.
STEALING = [path for path in EXPERIMENTS if "shadow" in yaml.safe_load(path.read_text())]
QUERYING = [path for path in EXPERIMENTS if not path.stem.startswith("noise_") and path not in STEALING]
FLIPPING = [path for path in EXPERIMENTS if path.stem.startswith("noise_")]
SHADOWS = sorted((CONFIGS / "shadow").glob("*.yaml"))
FEW_STOLEN = (
    *(f"--data.init_args.{split}={size}" for split, size in (("victim", 60), ("adversary", 40), ("test", 30))),
    "--shadow.init_args.budgets=[4, 12]",
)
FLIPS = sorted((CONFIGS / "flips").glob("*.yaml"))
FEW_STEPS = {
    "bilevel": {"outer_steps": 2, "inner_steps": 2, "subset": 20},
    "colouring": {"max_epochs": 5, "steps": 3},
    "path_length": {"buckets": 4},
}
FEW_FLIPS = ("--flips.init_args.budget=2", "--flips.init_args.max_epochs=2")
FEW_ATTACKED = "--robust.init_args.samples=4"
# What makes an experiment on published data and weights small: tiny files in the published form, random weights.
UNTRAINED = "--model.init_args.backbone.init_args.weights=none"
TWENTY = ("--query.init_args.initial=20", "--query.init_args.query_size=1")
SMALLER = {
    "collision_images": (UNTRAINED, "--model.init_args.backbone.init_args.name=resnet18"),
    "collision_audio": (UNTRAINED, "--data.init_args.seconds=0.1", '--data.init_args.words=["yes", "no", "up"]'),
    "dfal_mnist": ("--query.init_args.query_size=1",),
    "shadow_beta": (
        "--query.init_args.initial=20",
        "--query.init_args.query_sizes=[1]",
        "--query.init_args.query_size=1",
    ),
    "shadow_digits": TWENTY,
    "robust_cifar2": (UNTRAINED, "--model.init_args.backbone.init_args.name=resnet18", *TWENTY),
    "robust_cifar2_small": (UNTRAINED, *TWENTY, '--data.init_args.classes=["boot", "shoe"]'),
}
FEW = ("--query.init_args.budget=2", "--query.init_args.max_epochs=2")
FEW_POISONS = ("--poison.init_args.n=3", "--poison.init_args.attack.init_args.steps=2")
# Laid under an overlay that says what the experiment says already, so that it has something to change back; or that
# asks for something that the experiment does not have.
DISTURBED = {
    "bald": "--model.init_args.head.dropout=0.3",
    "nn1": "--model.init_args.head.hidden=5",
    "entropy": "--query.init_args.strategy=aal.strategies.Random",
    "collision": "--poison.init_args.screen=false",
    "csv": "--trainer.logger=false",
    "digit_backbone": "--model.init_args.backbone.init_args.weights=none",
    "secured_set": '--query.init_args.oracle={"class_path": "aal.oracles.Crowd", "init_args": {"malicious": 0}}',
}
# Models that take other samples than the experiment's, or weights from elsewhere.
PUBLISHED = ("mobilenet_v2", "resnet50", "yamnet")
SOUND = ("audioset", "speech_commands")  # tests/datamodules/test_sound_configs.py lays them over the experiments
TABLES_OF_DATA = ("abalone", "breast_cancer", "csv", "half_moons")  # of kind data: below, with a perceptron
REPLAYS = ("replay",)  # tests/callbacks/test_strategies_in_runs.py has runs to replay
END_TO_END = (
    *("hashed_mlp", "kernel_ridge", "knn", "lenet5", "mlp", "mlp_sgd", "nadaraya_watson", "resnet18", "sigmoid_mlp"),
    *("vgg16", "vgg8"),
)
ONE_QUERY = ("--query.init_args.budget=1", "--query.init_args.max_epochs=1")
# Under an overlay of the data: a backbone that takes gray and colour, and poisons for few samples a class.
ANY_IMAGES = (
    "--model.init_args.backbone=aal.networks.NamedBackbone",
    "--model.init_args.backbone.init_args.name=resnet18",
    "--model.init_args.backbone.init_args.weights=none",
    "--poison.init_args.n=3",
    "--poison.init_args.screen=false",
    "--poison.init_args.attack.init_args.steps=3",
)
# What tiny files have less of.
FEWER = {"mnist_1_7_shadow": {"victim": 10, "test_size": 6}}
# Folders whose files are laid over an experiment.
OVERLAYS = sorted(
    path
    for path in CONFIGS.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "study", "flips", "shadow")
    and path.stem not in (*PUBLISHED, *END_TO_END, *SOUND, *REPLAYS)
    and (path.parent.name, path.stem) not in {("data", name) for name in TABLES_OF_DATA}
)
MODELS = CONFIGS / "model"


@pytest.mark.slow
@pytest.mark.parametrize("path", QUERYING, ids=lambda path: path.stem)
def test_every_experiment_runs(path: Path, tmp_path: Path) -> None:
    few = (*SMALL,)
    if path != EXPERIMENT:
        content = read(path)
        poisons = FEW_POISONS if "poison" in content else ()
        few = (*FEW, *poisons, *SMALLER[path.stem], *data_arguments(content, tmp_path / "data"))
    run = aal("fit", "--config", path, "--out", tmp_path / "run", *few)
    assert run.returncode == 0, run.stderr
    after = results(tmp_path / "run")
    queried = 6 if path == EXPERIMENT else 2
    assert after["summary"]["labels"] == 20 + queried
    assert len(after["rounds"]) == 1 + queried
    assert {"config.yaml", "figures", "ledger.csv", "metrics.csv", "report.html", "rounds.jsonl"} <= set(after["files"])


@pytest.mark.slow
@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_overlay_runs_on_an_experiment(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = [*FEW, *(["--poison.init_args.n=3"] if path.parent.name != "poison" else [])]
    under = [DISTURBED[path.stem]] if path.stem in DISTURBED else []
    wanted = read(path)
    if path.parent.name == "data":
        small += [*ANY_IMAGES, *data_arguments(wanted, tmp_path / "data", FEWER.get(path.stem))]
    if path.parent.name == "robust":
        small.append(FEW_ATTACKED)
        wanted["robust"]["init_args"]["samples"] = 4
    run = aal("fit", "--config", EXPERIMENT, *under, "--config", path, "--out", out, *small)
    assert run.returncode == 0, run.stderr
    resolved = read(out / "config.yaml")
    assert laid_over(wanted, resolved), "the file changed nothing"
    assert {"root", "test", "limit"} <= resolved["data"]["init_args"].keys() or path.stem not in ("mnist", "cifar10")
    assert results(out)["summary"]["labels"] == 22


@pytest.mark.slow
@pytest.mark.parametrize("path", FLIPS, ids=lambda path: path.stem)
def test_every_choice_of_flips_takes_the_place_of_an_experiments_queries(path: Path, tmp_path: Path) -> None:
    out, wanted = tmp_path / "run", read(path)
    few = (*FEW_FLIPS, *([FEW_ATTACKED] if wanted["robust"] else []))
    for name, steps in FEW_STEPS.items():
        if name in (wanted["flips"]["init_args"].get("selectors") or {}):
            key = f"--flips.init_args.selectors.{name}.init_args"
            few = (*few, *(f"{key}.{argument}={value}" for argument, value in steps.items()))
            wanted["flips"]["init_args"]["selectors"][name]["init_args"].update(steps)
    run = aal("fit", "--config", EXPERIMENT, "--config", path, "--out", out, *few)
    assert run.returncode == 0, run.stderr
    wanted["flips"]["init_args"].update(budget=2, max_epochs=2)
    assert laid_over(wanted, read(out / "config.yaml")), "the file changed nothing"
    assert_flipped(out, wanted, per_class=2, classes=10)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHADOWS, ids=lambda path: path.stem)
def test_every_synthesis_makes_a_shadow_in_the_place_of_an_experiments_own(path: Path, tmp_path: Path) -> None:
    out, wanted = tmp_path / "run", read(path)
    run = aal("fit", "--config", STEALING[0], "--config", path, "--out", out, *FEW_STOLEN)
    assert run.returncode == 0, run.stderr
    assert laid_over(wanted, read(out / "config.yaml"))
    rounds = results(out)["rounds"]
    made = [one.get("synthetic", 0) + one["labels"] + one["failed"] for one in rounds]
    assert [one["budget"] for one in rounds] == made == [4, 12]


@pytest.mark.slow
@pytest.mark.parametrize("path", STEALING, ids=lambda path: path.stem)
def test_every_experiment_of_shadows_runs(path: Path, tmp_path: Path) -> None:
    run = aal("fit", "--config", path, "--out", tmp_path / "run", *FEW_STOLEN)
    assert run.returncode == 0, run.stderr
    assert results(tmp_path / "run")["rounds"][-1]["fidelity"] > 0.5


@pytest.mark.parametrize("path", FLIPS, ids=lambda path: path.stem)
def test_an_attack_of_flips_has_a_name_that_says_what_it_aims_at(path: Path) -> None:
    """So that they can be laid over each other and over the experiments, and their columns compared."""
    wanted = read(path)
    assert {wanted[key] for key in ("query", "poison", "secured", "retraining")} == {None}
    if wanted["robust"] is None:
        return
    arguments = wanted["robust"]["init_args"]
    aimed = {"pgd_targeted"} if arguments["targets"] == "flips" else set()
    unaimed = set(arguments["attacks"]) if arguments["targets"] is None else set(arguments["untargeted"])
    assert (set(arguments["attacks"]) - unaimed, unaimed) == (aimed, {"pgd"})
    assert "untargeted" in arguments, "an experiment below it may have some"


@pytest.mark.slow
@pytest.mark.parametrize("path", FLIPPING, ids=lambda path: path.stem)
def test_every_experiment_of_flips_runs(path: Path, tmp_path: Path) -> None:
    out, content = tmp_path / "run", read(path)
    small = (*FEW_FLIPS, FEW_ATTACKED, *data_arguments(content, tmp_path / "data"))
    run = aal("fit", "--config", path, "--out", out, *small)
    assert run.returncode == 0, run.stderr
    assert_flipped(out, content, per_class=2, classes=len(set(labels_of(out))))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, *END_TO_END])
def test_every_model_runs_on_samples_that_it_takes(name: str, tmp_path: Path) -> None:
    wanted = read(MODELS / f"{name}.yaml")
    arguments = list(ONE_QUERY)
    if name in PUBLISHED:
        arguments.append("--model.init_args.backbone.init_args.weights=none")
        wanted["model"]["init_args"]["backbone"]["init_args"]["weights"] = "none"
    if name == "yamnet":
        arguments.append("--data=tests.sounds.Tones")
    if name in END_TO_END:
        root = FILES[datamodules.MNIST](tmp_path / "data")["root"]
        arguments += [
            "--data=aal.datamodules.MNIST",
            f"--data.init_args.root={root}",
            "--data.init_args.checksums=false",
        ]
    can_be_poisoned = name in PUBLISHED and name != "yamnet"  # of sound, it would take minutes
    arguments += FEW_POISONS if can_be_poisoned else ["--poison=null"]
    out = tmp_path / "run"
    run = aal("fit", "--config", EXPERIMENT, "--config", MODELS / f"{name}.yaml", "--out", out, *arguments)
    assert run.returncode == 0, run.stderr
    assert laid_over(wanted, read(out / "config.yaml"))
    summary = results(out)["summary"]
    assert summary["labels"] == 21
    assert ("poison_success" in summary) == can_be_poisoned


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES_OF_DATA)
def test_every_table_of_data_runs_with_a_perceptron(name: str, tmp_path: Path) -> None:
    path, out = CONFIGS / "data" / f"{name}.yaml", tmp_path / "run"
    wanted = read(path)
    arguments = [*ONE_QUERY, "--poison=null", *data_arguments(wanted, tmp_path / "data")]
    run = aal(
        "fit", "--config", EXPERIMENT, "--config", MODELS / "mlp.yaml", "--config", path, "--out", out, *arguments
    )
    assert run.returncode == 0, run.stderr
    assert laid_over(wanted, read(out / "config.yaml"))
    summary = results(out)["summary"]
    assert summary["labels"] == 21
    assert summary.get("victim", 0) == wanted["data"]["init_args"]["victim"]


@pytest.mark.parametrize("head", ["nn1", "nn2", "unfrozen"])
def test_heads_and_backbones_merge_in_either_order(head: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [MODELS / "resnet50.yaml", MODELS / f"{head}.yaml"]
    printed = []
    for order in (paths, paths[::-1]):
        given = [argument for path in (EXPERIMENT, *order) for argument in ("--config", str(path))]
        with pytest.raises(SystemExit, match="0"):
            fit([*given, "--print_config"])
        printed.append(yaml.safe_load(capsys.readouterr().out)["model"])
    assert printed[0] == printed[1]
    assert all(laid_over(read(path)["model"], printed[0]) for path in paths)


@pytest.mark.parametrize("path", sorted((CONFIGS / "study").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_is_sound(path: Path) -> None:
    study = read_study(path, TABLES)
    assert study.arms


def assert_flipped(out: Path, config: dict[str, Any], *, per_class: int, classes: int) -> None:
    """See that a run tried each selector that a configuration names, with its budget of flips, and evaluated it."""
    clean, *trials = results(out)["rounds"]
    arguments = config["flips"]["init_args"]
    assert (clean["selector"], clean["flips"]) == ("clean", 0)
    assert {record["selector"] for record in trials} == set(arguments.get("selectors") or {})
    assert {record["flips"] for record in trials} == ({per_class * classes} if trials else set())
    attacks = [*(config["robust"] or {"init_args": {"attacks": {}}})["init_args"]["attacks"]]
    if config["robust"]:
        attacks += config["robust"]["init_args"].get("untargeted") or {}
    for record in (clean, *trials):
        assert all(f"robust_{name}" in record for name in attacks), record
    assert (out / "suspects.csv").exists() == bool(arguments.get("suspects"))
    given = {row["label"] for row in ledger_of(out) if row["strategy"] not in ("initial", "restored")}
    assert ("10" in given) == (arguments.get("targets") == "new")


def ledger_of(out: Path) -> list[dict[str, str]]:
    with (out / "ledger.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def labels_of(out: Path) -> list[str]:
    return [row["true_label"] for row in ledger_of(out) if row["strategy"] == "initial"]


def data_arguments(config: dict[str, Any], folder: Path, fewer: dict[str, int] | None = None) -> list[str]:
    """Write the files of the data set that a configuration names; return and put into it where they are."""
    arguments = FILES[getattr(datamodules, config["data"]["class_path"])](folder)
    given = {key: arguments[key] for key in ("root", "checksums") if key in arguments} | (fewer or {})
    config["data"].get("init_args", {}).update(given)
    return [f"--data.init_args.{key}={value}" for key, value in given.items()]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def laid_over(wanted: object, resolved: object) -> bool:
    """Whether ``resolved`` has everything that ``wanted`` says."""
    if isinstance(wanted, dict):
        return isinstance(resolved, dict) and all(laid_over(wanted[key], resolved.get(key)) for key in wanted)
    if isinstance(wanted, str) and isinstance(resolved, str) and wanted.isidentifier():
        return resolved.rpartition(".")[2] == wanted  # the short name of a class
    if isinstance(wanted, list):
        return isinstance(resolved, list) and all(map(laid_over, wanted, resolved))
    return wanted == resolved
