"""A misspelt key or class is told the nearest, a bare yes what YAML makes of it, a file of another command its own."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from aal.cli.command_line import with_files
from aal.errors import UserError, did_you_mean
from aal.models.classifier import dry_run
from aal.networks import DigitBackbone, NamedBackbone, ResNet18
from aal.studies.study import read_study
from aal.studies.tables import TABLES
from tests.cli.test_fit import refusal
from tests.commands import EXPERIMENT, ROOT

ORACLE = "query: {init_args: {oracle: {class_path: Malicious, init_args: {source: %s, target: 1}}}}"
QUOTES = "YAML takes yes, no, on and off for true and false: put such a word in quotes"


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--quary=random", "query"),
        ("--qeury.init_args.budget=3", "query"),
        ("--seed=3", "seed_everything"),
        ("--confg=x.yaml", "config"),
        ("--query.init_arg.budget=3", "init_args"),
        ("--query.init_args.bugdet=3", "budget"),
        ("--query.bugdet=3", "budget"),
        ("--trainer.acelerator=cpu", "trainer.accelerator"),
        ("--checkpoint.intervall=3", "checkpoint.interval"),
        ("--model.init_args.head.hiden=3", "head.hidden"),
        ("--poison.init_args.attack.init_args.step=3", "steps"),
        ("--query.init_args.stop=[{colum: accuracy, at_least: 0.9}]", "column"),
        ("--query.init_args.strategy=Margn", "Margin"),
        ("--query.init_args.strategy=aal.strategies.Margn", "Margin"),
        ("--query.init_args.strategy=aal.strategis.Margin", "Margin"),
        ("--trainer.callbacks=[{class_path: EarlyStoping}]", "EarlyStopping"),
        ("--query=margn", "margin"),
        ("--query=Margin", "margin"),
        ("--query=dfal-ceal", "dfal_ceal"),
        ("--model=MLP", "mlp"),
    ],
)
def test_a_misspelt_word_of_the_command_line_is_told_the_nearest(
    argument: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(monkeypatch, capsys, argument, out=tmp_path / "run")
    assert line.endswith(f"; did you mean {meant}?\n")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("quary: {}", "query"),
        ("Query: {init_args: {budget: 3}}", "query"),
        ("seed_everthing: 3", "seed_everything"),
        ("query.init_args.bugdet: 3", "budget"),
        ("query: {clas_path: QueryRounds}", "class_path"),
        ("query: {init_arg: {budget: 3}}", "init_args"),
        ("trainer: {acelerator: cpu}", "trainer.accelerator"),
        ("query: {init_args: {bugdet: {}}}", "budget"),
        ("query.init_args.bugdet: {}", "budget"),
        ("query: {init_arg: {}}", "init_args"),
        ("trainer: {calbacks: {}}", "callbacks"),
        ("model: {init_args: {head: {hiden: {}}}}", "hidden"),
        ("model: {init_args: {head: {hiden: 3}}}", "head.hidden"),
        ("model: {init_args: {backbone: {class_path: DigitBackbone, init_args: {wieghts: none}}}}", "weights"),
        ("model: {init_args: {backbone: DigitBackbon}}", "DigitBackbone"),
        ("data: {class_path: Digits, init_args: {batchsize: 3}}", "batch_size"),
        (
            "query: {init_args: {strategy: {class_path: Screened, init_args: {screens: [Subst]}}}}",
            "Subset",
        ),
        (
            "query: {init_args: {strategy: {class_path: Screened,"
            " init_args: {screens: [{class_path: Subset, init_args: {sise: 3}}]}}}}",
            "size",
        ),
        (
            "robust: {class_path: RobustEvaluation,"
            " init_args: {attacks: {p: {class_path: PGD, init_args: {radus: 0.1}}}}}",
            "radius",
        ),
    ],
)
def test_so_is_one_of_a_file_at_any_depth(
    text: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    line = refusal(monkeypatch, capsys, f"--config={path}", out=tmp_path / "run")
    assert line.endswith(f"; did you mean {meant}?\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((ORACLE % word, QUOTES) for word in ("yes", "no", "on", "off", "true")),
        ("poison: {init_args: {mu: no}}", QUOTES),
        ("data: {class_path: ImageFolder, init_args: {root: x, classes: [yes, no]}}", QUOTES),
        ("query: yes", QUOTES),
        ("on: {}", QUOTES),
        ("query: {yes: 3}", f"own.yaml: query: True is no name of a key; {QUOTES}"),
        ("data: {class_path: yes}", f"own.yaml: data.class_path: must name a class, not True; {QUOTES}"),
        ("data: {class_path: 5}", "own.yaml: data.class_path: must name a class, not 5"),
        (
            "query: {init_args: {strategy: {class_path: 5}}}",
            "strategy.class_path: must name a class, not 5",
        ),
        ("trainer: {callbacks: [{class_path: 5}]}", "own.yaml: trainer.callbacks.class_path: must name a class, not 5"),
        ("data: {init_args: yes}", f"own.yaml: data.init_args: must hold keys with values, not True; {QUOTES}"),
        ("query: {init_args: null}", "own.yaml: query.init_args: must hold keys with values, not None"),
        ("model: {init_args: {head: yes}}", f"model.init_args.head: must hold keys with values, not True; {QUOTES}"),
        ("model: {init_args: {head: 5}}", "model.init_args.head: must hold keys with values, not 5"),
        ("model: {init_args: {head: [1]}}", "model.init_args.head: must hold keys with values, not [1]"),
        ("model: {init_args: {head: null}}", "model.init_args.head: must hold keys with values, not None"),
        (ORACLE % "2.5", "a text that looks like a number stands in quotes"),
        ("poison: {init_args: {mu: 1}}", "a text that looks like a number stands in quotes"),
        (ORACLE % "null", "required: source (null is as if it were left out)"),
        ("query: {init_args: {budget: yes}}", "\"budget\": Expected a <class 'int'> Given value: True"),
    ],
)
def test_what_yaml_makes_of_a_word_is_said(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    assert refusal(monkeypatch, capsys, f"--config={path}", out=tmp_path / "run").endswith(f"{said}\n")


STUDY = """
name: mine
configs: [aal:experiment/collision_digits]
seeds: 1
arms: {clean: [], poisoned: []}
table: collision
rows: [{arm: poisoned, against: clean}]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: 1", "seds: 1", "unknown key 'seds'; did you mean seeds?"),
        ("against: clean", "agianst: clean", "unknown key 'agianst'; did you mean against?"),
        ("against: clean", "against: claen", "no 'claen'; did you mean clean?"),
        ("against: clean", "against: no", f"no False; {QUOTES}"),
        ("table: collision", "table: colision", "no table 'colision'; did you mean collision?"),
        ("name: mine", "name: yes", f"name must be text, not True; {QUOTES}"),
        ("clean: []", "no: []", QUOTES),
        ("clean: []", "clean: [{poison: {init_args: {n: cell:poisond}}}]", "no arm 'poisond'; did you mean poisoned?"),
        ("digits]", "digit]", "no such configuration; did you mean experiment/collision_digits?"),
        ("clean: []", "clean: [{query: margn}]", "there is no query/margn.yaml; did you mean margin?"),
    ],
)
def test_a_study_is_told_the_nearest_too(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace(old, new))
    with pytest.raises(UserError) as refused:
        read_study(path, TABLES)
    assert said in str(refused.value)


def test_a_file_of_another_command_is_told_which(tmp_path: Path) -> None:
    (tmp_path / "half.yaml").write_text("rows: [{arm: clean}]")
    with pytest.raises(UserError, match=r"half\.yaml: a study, not a run; use aal study run "):
        with_files(["--config", str(tmp_path / "half.yaml")], {"query"})
    (tmp_path / "part.yaml").write_text("checkpoint: {interval: 3}")
    with pytest.raises(UserError, match=r"part\.yaml: a run, not a study; use aal fit --config "):
        read_study(tmp_path / "part.yaml", TABLES)
    with pytest.raises(UserError, match=r"collision_digits\.yaml: a run, not a study; use aal fit --config "):
        read_study(EXPERIMENT, TABLES)
    with pytest.raises(UserError, match=r"collision_digits\.yaml: a study, not a run; use aal study run aal:study/"):
        with_files(["--config", "aal:study/collision_digits"])


def test_a_module_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spoilt_module.py").write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    line = refusal(monkeypatch, capsys, "--query.init_args.strategy=spoilt_module.Mine", out=tmp_path / "run")
    assert line.endswith("spoilt_module.Mine: its module raises ZeroDivisionError: division by zero\n")


def test_of_words_as_like_the_one_that_begins_with_it_is_meant() -> None:
    assert did_you_mean("seed", ["secured", "seed_everything"]) == "; did you mean seed_everything?"
    assert did_you_mean("Colour", ["columns", "colour"]) == "; did you mean colour?"
    assert did_you_mean("zebra", ["query"]) == ""


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (16000,)])
def test_samples_that_a_model_cannot_take_are_told_those_that_can(shape: tuple[int, ...]) -> None:
    backbone = DigitBackbone() if len(shape) == 1 or shape[0] == 3 else nn.Conv2d(5, 1, 1)
    with pytest.raises(UserError) as refused:
        dry_run(backbone, shape, "backbone")
    told = str(refused.value).partition(" fit the model")[2].removeprefix("s ").strip()
    names = told.replace(", other rows of numbers", " and").replace(",", "").replace(" and", "").split()
    assert names
    assert all((ROOT / "configs" / "model" / f"{name}.yaml").exists() for name in names), names
    if len(shape) == 3:
        assert dry_run(NamedBackbone("mobilenet_v2", weights="none"), shape, "backbone").shape == (2, 1280)
        assert dry_run(ResNet18(shape, 10), shape, "network").shape == (2, 10)
        assert torch.equal(torch.tensor(shape[0] == 1), torch.tensor("digit_backbone" in names))
