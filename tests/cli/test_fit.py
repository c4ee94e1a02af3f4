"""The command line: one line and exit code 2 for bad input, before anything is trained or written."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from aal.__main__ import main
from aal.cli.keys import MAY_CHANGE
from aal.runs.files import digest_of, read_sealed, write_sealed
from aal.runs.inputs import INPUTS, KIND, WRITTEN
from tests.commands import EXPERIMENT, ROOT, SMALL, MadeOnce, aal, finished, fit

SHIPPED = ROOT / "aal" / "networks" / "weights" / "digit_backbone.safetensors"


def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path, out: Path | None
) -> str:
    """Run the command in this process; return the one line that it refuses with."""
    own = ["fit", "--config", EXPERIMENT, *(["--out", out] if out else [])]
    monkeypatch.setattr("sys.argv", ["aal", *map(str, own), *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2, printed.err
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("error: ")
    return printed.err


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--nope=3", "--nope=3"),
        ("--query.init_args.nope=3", "'nope'"),
        ("--query.init_args.query_size=many", "\"query_size\": Expected a <class 'int'>"),
        ("--query.init_args.query_size=0", "query.init_args.query_size: must be at least 1, got 0"),
        ("--query.init_args.budget=0", "query.init_args.budget: must be at least 1"),
        ("--query.init_args.budget=1519", "query.init_args.budget: 1519 labels, but after the 20 initial ones"),
        ("--query.init_args.initial=1439", "query.init_args.initial: 1439 labels, but the pool has 1438"),
        ("--query.init_args.max_epochs=0", "max_epochs: must be at least 1"),
        ("--query.init_args.strategy=aal.strategies.Nope", "Nope"),
        ("--query.init_args.strategy=aal.strategies.Strategy", "aal.strategies.Strategy is abstract"),
        ("--query=null", "query: an experiment needs a clock"),
        ("--poison.init_args.n=0", "poison.init_args.n: must be at least 1"),
        ("--poison.init_args.n=180", "poison.init_args.n: 180 poisons, but the craft split has 179"),
        ("--poison.init_args.mu=two", "mu: must be one of zero, one, mean or a .safetensors file"),
        ("--poison.init_args.mu=absent.safetensors", "error: poison.init_args.mu: absent.safetensors: no such file"),
        ("--poison.init_args.attack.init_args.beta=-1", "error: poison.init_args.attack.init_args.beta: "),
        ("--poison.init_args.attack.init_args.steps=0", "error: poison.init_args.attack.init_args.steps: "),
        ("--model.init_args.head.hidden=-1", "error: model.init_args.head.hidden: "),
        ("--model.init_args.head.dropout=0.6", "error: model.init_args.head.dropout: "),
        ("--model.init_args.learning_rate=0", "error: model.init_args.learning_rate: "),
        (
            "--model.init_args.learning_rate=1e38",
            "error: model.init_args.learning_rate: must be above 0 and at most 3e+37",
        ),
        ("--model.init_args.weight_decay=-1", "error: model.init_args.weight_decay: "),
        ("--model.init_args.weight_decay=1e39", "error: model.init_args.weight_decay: "),
        ("--trainer.precision=64-true", "trainer.precision"),
        ("--trainer.fast_dev_run=true", "trainer.fast_dev_run"),
        ("--trainer.limit_train_batches=1", "trainer.limit_train_batches"),
        ("--trainer.min_epochs=70", "trainer.min_epochs"),
        ("--query.init_args.query_size=null", "query.init_args.query_size"),
        ("--model.init_args.learning_rate=.nan", "model.init_args.learning_rate"),
        ("--poison.init_args.mu=null", "mu: must be one of"),
        ("--seed_everything=-1", "seed_everything"),
        ("--model.init_args.unfreeze_at=-1", "model.init_args.unfreeze_at"),
        ("--data.init_args.batch_size=0", "data.init_args.batch_size"),
        ("--data.class_path=aal.datamodules.Nope", "Nope"),
        ("--seed_everything=true", "seed_everything: must be a whole number"),
        ("--trainer.accelerator=abacus", "abacus"),
        ("--checkpoint.interval=-1", "checkpoint.interval"),
        ("--ckpt_path=first", "ckpt_path: takes 'last'"),
        ("--trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches: must be at least 1"),
        ("--trainer.plugins=DoublePrecision", "trainer.precision: must keep 32-bit weights"),
        ("--trainer.strategy=ddp_spawn", "trainer.strategy: each process must be started by the command"),
        ("--config=absent.yaml", "absent.yaml"),
    ],
)
def test_bad_values_are_named(
    argument: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert named in refusal(monkeypatch, capsys, argument, out=out)
    assert not out.exists(), "a refused run left something"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truncated.safetensors", "truncated, or not a safetensors file"),
        ("truncated.pt", "truncated, or not a weight file"),
        ("shape.safetensors", "has shape (3,)"),
        ("nan.safetensors", "not finite"),
        ("pickle.pt", "holds more than tensors"),
        ("pickle.safetensors", "not a safetensors file"),
        ("other.pt", "missing ["),
        ("absent.pt", "no such file"),
    ],
)
def test_bad_weights_are_named_and_never_run(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(SHIPPED)
    bias = next(key for key in weights if key.endswith("bias"))
    path, ran = tmp_path / name, tmp_path / "ran"
    match name.split(".")[0]:
        case "truncated":
            torch.save(weights, path) if path.suffix == ".pt" else save_file(weights, path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "shape":
            save_file({**weights, bias: torch.zeros(3)}, path)
        case "nan":
            save_file({**weights, bias: weights[bias] * float("nan")}, path)
        case "pickle":
            path.write_bytes(pickle.dumps(Runs(ran)))
        case "other":
            torch.save({"a": torch.zeros(2)}, path)
    line = refusal(monkeypatch, capsys, f"--model.init_args.backbone.init_args.weights={path}", out=tmp_path / "run")
    assert line.startswith(f"error: model.init_args.backbone.init_args.weights: {path}")
    assert said in line
    assert not ran.exists(), "the file was unpickled"


class Runs:
    """Something that does harm when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.quick
def test_bad_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("query: [1,\n")
    assert f"{bad}: not YAML (line 2" in refusal(monkeypatch, capsys, f"--config={bad}", out=tmp_path / "run")
    bad.write_text("query: {}\nquery: {}\n")
    assert f"{bad}: not YAML (line 2: 'query' stands there twice" in refusal(
        monkeypatch, capsys, "--config", bad, out=tmp_path / "run"
    )
    bad.write_bytes(b"\xff\xfe\x00")
    assert f"{bad}: not text in UTF-8" in refusal(monkeypatch, capsys, f"--config={bad}", out=tmp_path / "run")
    assert "out: a run needs a folder" in refusal(monkeypatch, capsys, out=None)
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.tex").touch()
    assert f"{used} is in use (it holds thesis.tex)" in refusal(monkeypatch, capsys, out=used)
    assert "but no run that could go on" in refusal(monkeypatch, capsys, "--ckpt_path=last", out=used)
    for path in (used / "thesis.tex", used / "thesis.tex" / "run"):
        assert f"out: {path} cannot be written to" in refusal(monkeypatch, capsys, out=path)


def test_a_finished_folder_is_taken_and_goes_on_only_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = fit(out)
    assert first.returncode == 0, first.stderr
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "in use" in refusal(monkeypatch, capsys, *SMALL, out=out)
    assert files == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = refusal(monkeypatch, capsys, *SMALL, "--ckpt_path=last", "--query.init_args.query_size=2", out=out)
    assert "query.init_args.query_size: the run in" in other
    assert "was started with 1, now it is 2" in other
    saved = out / "checkpoints" / "last.ckpt"
    whole = saved.read_bytes()
    for damaged in (b"", b"hello", whole[:5000]):
        saved.write_bytes(damaged)
        refused = refusal(monkeypatch, capsys, *SMALL, "--ckpt_path=last", out=out)
        assert refused.startswith(f"error: {saved}: not as this run saved it: damaged, altered")
    saved.write_bytes(whole)
    same = fit(out, "--ckpt_path=last")
    assert same.returncode == 0, same.stderr
    for name in ("rounds.jsonl", "ledger.csv", "metrics.csv"):
        assert files[out / name] == (out / name).read_bytes(), name


def test_help_and_unknown_commands() -> None:
    helped = aal("--help")
    assert helped.returncode == 0
    assert "aal study run FILE [FILE ...] --out DIR" in helped.stdout
    unknown = aal("fitt")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "error: fitt: no such command; did you mean fit? (aal knows fit, selftest, study, configs, completion)\n",
    )
    keys = aal("fit", "--help")
    assert keys.returncode == 0
    assert "--poison" in keys.stdout


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_are_told_to_sleep_before_torch_is_loaded(given: str | None, expected: str) -> None:
    watch = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            sys.exit(os.environ.get('OMP_WAIT_POLICY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import aal.__main__, aal.cli.fit\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    end = subprocess.run([sys.executable, "-c", watch], env=environment, capture_output=True, text=True, check=False)
    assert end.stderr.strip() == expected


def test_what_may_differ_when_a_run_goes_on_stands_in_the_readme_and_has_a_reason() -> None:
    told = (ROOT / "README.md").read_text().partition("What may differ:")[2].partition("\n\n")[0]
    for key, reason in MAY_CHANGE.items():
        assert key.rpartition(".")[2] in told, key
        assert reason


@pytest.mark.slow
def test_a_key_that_is_new_since_a_run_was_started_has_its_default_and_is_no_difference(
    made_once: MadeOnce, tmp_path: Path
) -> None:
    out = shutil.copytree(made_once("small", finished), tmp_path / "run")
    before = yaml.safe_load((out / "config.yaml").read_text())
    for part, key in (
        (before["trainer"], "barebones"),
        (before["data"]["init_args"], "val"),
        (before["model"]["init_args"]["head"], "dropout"),
        (before["query"]["init_args"], "warm_start"),
        (before["poison"]["init_args"]["attack"]["init_args"], "patience"),
        (before, "secured"),
    ):
        del part[key]
    (out / "config.yaml").write_text(yaml.safe_dump(before))
    kept = read_sealed(out / INPUTS, KIND)
    digest = digest_of(out / "config.yaml")  # as a version without these keys would have left it
    write_sealed(out / INPUTS, KIND, {**kept, WRITTEN: [*kept[WRITTEN], digest]})
    assert fit(out, "--query.init_args.warm_start=true", "--ckpt_path=last").returncode == 2
    run = fit(out, "--ckpt_path=last")
    assert run.returncode == 0, run.stderr
