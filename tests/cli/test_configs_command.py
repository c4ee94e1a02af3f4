"""Configurations by name: what ships is found, listed, shown and copied, in files, studies and on the command line."""

import re
from pathlib import Path

import pytest
import yaml

from aal.__main__ import main
from aal.cli.class_names import of_aal
from aal.cli.command_line import with_files
from aal.errors import UserError
from aal.runs.config_names import FOLDER, config_path, named_file
from aal.runs.documents import read_mapping, to_yaml
from aal.studies.study import read_study
from aal.studies.tables import TABLES


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["aal", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, printed.out, printed.err


@pytest.mark.parametrize("columns", [80, 120])
def test_list_has_every_file_and_what_it_is_for(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = command(monkeypatch, capsys, "configs", "list")
    assert code == 0
    assert max(map(len, out.splitlines())) <= columns
    files = sorted(FOLDER.glob("*/*.yaml"))
    whole = re.sub(r"\n {10,}", " ", out)
    lines = [line for line in whole.splitlines() if line.startswith("  ")]
    assert len(lines) == len(files) > 100
    for path, line in zip(files, lines, strict=True):
        name, said = line.split(maxsplit=1)
        assert FOLDER / f"{name}.yaml" == path
        assert said.endswith("."), "the first sentence is whole"
        comment = " ".join(line.removeprefix("# ") for line in path.read_text().splitlines())
        assert comment.startswith(said), "it says what the file is for"


def test_show_prints_a_file_and_copy_writes_all_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = command(monkeypatch, capsys, "configs", "show", "query/margin")
    assert shown == (0, (FOLDER / "query" / "margin.yaml").read_text(), "")
    out = tmp_path / "own"
    assert command(monkeypatch, capsys, "configs", "copy", out)[0] == 0
    copied = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert copied == {path.relative_to(FOLDER): path.read_bytes() for path in FOLDER.glob("*/*.yaml")}
    assert read_study(out / "study" / "collision_demo.yaml", TABLES).arms["nn1_clean"].configs[-1] == str(
        out / "poison" / "none.yaml"
    )
    code, _, err = command(monkeypatch, capsys, "configs", "copy", out)
    assert (code, err) == (2, f"error: {out}: is in use; name a new or empty folder\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("configs", "show", "query/margn"), "aal:query/margn: no such configuration; did you mean query/margin?"),
        (("configs", "show", "random"), "aal:random: could be aal:flips/random or aal:query/random"),
        (("fit", "--config", "aal:experiment/collision_digit"), "did you mean experiment/collision_digits?"),
        (("fit", "--query", "margn"), "query: there is no query/margn.yaml; did you mean margin?"),
        (("fit", "--oracle", "nobody_at_all"), "oracle: there is no oracle/nobody_at_all.yaml"),
        (("study", "run", "aal:study/collision_dem", "--out", "x"), "did you mean study/collision_demo?"),
        (("study", "run", "x.yaml", "--out", "x", "--seed", "3"), "--seed 3; did you mean --seeds?"),
        (("configs", "lst"), "aal configs: argument action: invalid choice: 'lst'"),
        (("fit", "--conf", "x.yaml"), "unrecognized arguments: --conf"),
        (("selftest", "--sample", "3"), "unrecognized arguments: --sample"),
        (("configs", "list", "--foo"), "aal configs list: unrecognized arguments: --foo"),
        (("study", "report", "x", "--seed", "3"), "aal study report: unrecognized arguments: --seed"),
    ],
)
def test_what_is_no_name_is_refused_in_one_line(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "sub", Path("/proc/x"), tmp_path / ("a" * 300)):
        code, out, err = command(monkeypatch, capsys, "configs", "copy", folder)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {folder}: cannot be written to (")
        assert err.count("\n") == 1


def said(name: str) -> str:
    """Return the word that stands for a configuration that ships: what it says, with the whole paths of classes."""
    return f"--config={to_yaml(of_aal(read_mapping(FOLDER / name)))}"


def test_a_name_stands_for_its_file_in_the_order_of_the_command_line() -> None:
    margin = said("query/margin.yaml")
    assert "class_path: aal.strategies.Margin\n" in margin
    given = ["fit", "--query", "margin", "--query.init_args.budget", "3", "--poison=none", "--out", "x"]
    assert with_files(given) == [
        *("fit", margin, "--query.init_args.budget", "3"),
        *(said("poison/none.yaml"), "--out", "x"),
    ]
    assert with_files(["--config", "aal:query/margin"]) == [margin]
    assert with_files(["--config", str(FOLDER / "query" / "margin.yaml")]) == [margin]
    for short in (["-c", "aal:query/margin"], ["-caal:query/margin"], ["-c=aal:query/margin"]):
        assert with_files([*short, "--out", "x"]) == [margin, "--out", "x"]
    assert with_files(["--poison", "null", "--query=mine.Clock"]) == ["--poison=null", "--query=mine.Clock"]


def test_a_file_names_files_too_and_what_it_says_itself_lies_over_them(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("experiment: collision_digits\nquery: margin\nmodel: {init_args: {learning_rate: 1e-5}}\n")
    *named, rest = with_files(["--config", str(own)])
    assert with_files(["-c", str(own)]) == [*named, rest]
    assert named == [said("experiment/collision_digits.yaml"), said("query/margin.yaml")]
    assert yaml.safe_load(rest.removeprefix("--config=")) == {"model": {"init_args": {"learning_rate": 1e-5}}}


def test_studies_name_configurations_as_runs_do(tmp_path: Path) -> None:
    study = read_mapping(config_path("aal:study/collision_demo"))
    study["configs"] = ["aal:experiment/collision_digits", {"query": "margin"}]
    study["arms"] = {
        "nn1_clean": ["aal:poison/none"],
        "nn1_zero": [],
        "nn2_clean": ["aal:model/nn2.yaml", {"poison": "none"}],
        "nn2_zero": [{"model": "nn2", "seed_everything": 3}],
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    arms = read_study(path, TABLES).arms
    experiment, margin, nn2, none = (
        str((FOLDER / f"{name}.yaml").resolve())
        for name in ("experiment/collision_digits", "query/margin", "model/nn2", "poison/none")
    )
    assert arms["nn1_clean"].configs == (experiment, margin, none)
    assert arms["nn2_clean"].configs == (experiment, margin, nn2, none)
    assert arms["nn2_zero"].configs == (experiment, margin, nn2, {"seed_everything": 3})
    study["arms"]["nn1_zero"] = [{"query": "margn"}]
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(UserError, match=r"arms.nn1_zero\[0\]: query: there is no .* did you mean margin"):
        read_study(path, TABLES)


def test_only_names_of_files_are_taken_for_such() -> None:
    assert named_file("query", "margin") == FOLDER / "query" / "margin.yaml"
    for key, value in (("query", None), ("poison", "null"), ("data", "Digits"), ("seed", "margin"), ("query", {})):
        assert named_file(key, value) is None
