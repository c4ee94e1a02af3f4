"""Study files: what they resolve to, and the one line that each mistake gets."""

from pathlib import Path

import pytest
import yaml

from aal.cli.keys import MAY_CHANGE
from aal.errors import UserError
from aal.runs.documents import read_mapping, to_yaml
from aal.runs.folder import RunFolder
from aal.studies.study import Row, claim_folder, load_study, read_study, save_study
from aal.studies.tables import TABLES
from tests.studies.made_runs import make_study_file

ROW = {"arm": "poisoned", "against": "clean"}


def test_configs_are_laid_over_the_shared_ones_and_paths_are_relative_to_the_study(tmp_path: Path) -> None:
    path = make_study_file(tmp_path / "a", arms={"clean": [{"poison": None}], "poisoned": ["nn2.yaml"]}, seeds=[4, 1])
    study = read_study(path, TABLES)
    base, nn2 = (str((tmp_path / "a" / name).resolve()) for name in ("base.yaml", "nn2.yaml"))
    assert {name: arm.configs for name, arm in study.arms.items()} == {
        "clean": (base, {"poison": None}),
        "poisoned": (base, nn2),
    }
    assert study.seeds == (4, 1)
    assert study.title == "tiny"
    assert read_study(path, TABLES, seeds=2).seeds == (0, 1)


def test_a_study_is_recorded_and_read_back_whole(tmp_path: Path) -> None:
    arms = {"clean": [{"x": 1e-5, "y": "1e-5", "z": float("inf")}], "poisoned": []}
    study = read_study(make_study_file(tmp_path, arms=arms, title="ü <b>", note="n"), TABLES)
    save_study(study, tmp_path / "out")
    assert load_study(tmp_path / "out", TABLES) == study


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"armz": 1}, "armz"),
        ({"configs": None}, "configs"),
        ({"configs": []}, "configs"),
        ({"configs": ["gone.yaml"]}, "gone.yaml"),
        ({"configs": [3]}, "configs[0]"),
        ({"arms": {}}, "arms"),
        ({"arms": {"../up": []}}, "../up"),
        ({"arms": {".hidden": []}}, ".hidden"),
        ({"arms": {"a b": []}}, "a b"),
        ({"arms": {"figures": []}}, "figures"),
        ({"arms": {"clean": [], "poisoned": [], "Clean": []}}, "case"),
        ({"arms": {"clean": [], "poisoned": ["gone.yaml"]}}, "arms.poisoned[0]"),
        ({"arms": {"clean": [], "poisoned": "nn2.yaml"}}, "arms.poisoned"),
        ({"rows": [{"arm": "poisoned", "against": "other"}]}, "rows[0].against"),
        ({"rows": [{"arm": "poisoned", "against": ["clean"]}]}, "rows[0].against"),
        ({"rows": [{"arm": "poisoned", "clean": "clean"}]}, "rows[0]"),
        ({"rows": [ROW, {"arm": "clean", "against": "clean"}]}, "rows[1]"),
        ({"rows": [{"arm": "poisoned"}]}, "rows[0]"),
        ({"rows": [{**ROW, "paper": "Digits"}]}, "rows[0].paper"),
        ({"rows": [{**ROW, "papers": "STL10"}]}, "rows[0]"),
        ({"rows": [{**ROW, "paper": ["STL10"]}]}, "rows[0].paper"),
        ({"rows": []}, "rows"),
        ({"settings": {"columns": [1]}}, "unknown key 'columns'"),
        ({"settings": [1]}, "settings"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": True}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": [0, -1]}, "seeds[1]"),
        ({"seeds": [0, 2**32]}, "seeds[1]"),
        ({"seeds": []}, "seeds"),
        ({"threads": 0}, "threads"),
        ({"threads": "two"}, "threads"),
        ({"table": "other"}, "table"),
        ({"name": 3}, "name"),
        ({"arms": {"clean": [], "poisoned": [{"query": {"run": "cell:other"}}]}}, "no arm 'other'"),
        ({"arms": {"clean": [], "poisoned": [{"query": {"run": "cell:poisoned"}}]}}, "poisoned -> poisoned"),
        ({"arms": {"clean": [{"a": ["cell:poisoned"]}], "poisoned": [{"b": "cell:clean"}]}}, "clean -> poisoned -> cl"),
    ],
)
def test_every_mistake_is_one_line_that_names_it(tmp_path: Path, changes: dict[str, object], names: str) -> None:
    with pytest.raises(UserError) as caught:
        read_study(make_study_file(tmp_path, **changes), TABLES)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [1", "- a\n- b", "", "a: 1\na: 2", "a: \x01", "a: !!python/object:os.system 1"])
def test_what_is_no_mapping_in_yaml_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"study\.yaml") as caught:
        read_study(path, TABLES)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    with pytest.raises(UserError, match="no such file"):
        read_study(path, TABLES)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_study(path, TABLES)


def test_numbers_in_yaml_are_numbers_and_texts_stay_texts(tmp_path: Path) -> None:
    values = {"a": 1e-5, "b": "1e-5", "c": "1e5", "d": -2e10, "e": "no", "f": [1, "1"], "g": None}
    path = tmp_path / "x.yaml"
    path.write_text("h: 1e-5\n" + to_yaml(values))
    assert read_mapping(path) == {"h": 1e-5, **values}


def test_a_folder_takes_the_same_arms_and_new_ones_but_no_changed_arm_with_cells(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = read_study(make_study_file(tmp_path / "a"), TABLES)
    claim_folder(first, out)
    save_study(first, out)
    (out / "poisoned" / "seed=0").mkdir(parents=True)
    (out / "poisoned" / "seed=0" / "config.yaml").touch()
    more = {"clean": [{"poison": 7}], "poisoned": [], "new": ["nn2.yaml"]}
    claim_folder(read_study(make_study_file(tmp_path / "a", arms=more, seeds=9, title="other"), TABLES), out)
    changed = {"clean": [{"poison": None}], "poisoned": ["nn2.yaml"]}
    with pytest.raises(UserError, match="'poisoned'"):
        claim_folder(read_study(make_study_file(tmp_path / "a", arms=changed), TABLES), out)
    with pytest.raises(UserError, match="'poisoned'"):
        claim_folder(read_study(make_study_file(tmp_path / "a", threads=2), TABLES), out)
    with pytest.raises(UserError, match="'other'"):
        claim_folder(read_study(make_study_file(tmp_path / "a", name="other"), TABLES), out)


def test_a_comment_in_a_config_changes_nothing_and_a_value_does(tmp_path: Path) -> None:
    path = make_study_file(tmp_path)
    before = read_study(path, TABLES)
    base = tmp_path / "base.yaml"
    base.write_text("# a comment\n" + base.read_text())
    assert read_study(path, TABLES) == before
    base.write_text(base.read_text().replace("zero", "one"))
    after = read_study(path, TABLES)
    assert all(after.arms[name].fingerprint != arm.fingerprint for name, arm in before.arms.items())


LABELS = {"table": "labels", "rows": [{"arm": "poisoned"}], "settings": {"columns": [100, 500]}}
EFFORT = {"table": "effort", "rows": [{"arm": "poisoned"}], "settings": {"target": 0.9}}


@pytest.mark.parametrize(
    ("study", "changes", "names"),
    [
        (LABELS, {"settings": {}}, "the key 'columns' is missing"),
        (LABELS, {"settings": None}, "the key 'columns' is missing"),
        (
            LABELS,
            {"settings": {"columns": [100], "target": 1}},
            "unknown key 'target'; the table 'labels' takes columns",
        ),
        (LABELS, {"settings": {"columns": []}}, "settings.columns"),
        (LABELS, {"settings": {"columns": 100}}, "settings.columns"),
        (LABELS, {"settings": {"columns": [500, 100]}}, "settings.columns"),
        (LABELS, {"settings": {"columns": [100, 100]}}, "settings.columns"),
        (LABELS, {"settings": {"columns": [True]}}, "settings.columns"),
        (LABELS, {"settings": {"columns": [[1], 2]}}, "settings.columns"),
        (LABELS, {"rows": [{"arm": "poisoned", "paper": "MNIST/LeNet5/BADGE"}]}, "rows[0].paper"),
        (LABELS, {"rows": [{"arm": "poisoned", "paper": "STL10"}]}, "rows[0].paper"),
        (LABELS, {"table": "seconds", "rows": [{"arm": "clean", "paper": "BALD"}]}, "DFAL, CORE-SET"),
        (EFFORT, {"settings": {"tolerance": 0.1}}, "the key 'target' is missing"),
        (EFFORT, {"settings": {"target": 98}}, "settings.target"),
        (EFFORT, {"settings": {"target": True}}, "settings.target"),
        (EFFORT, {"settings": {"target": "other"}}, "settings.target"),
        (EFFORT, {"settings": {"target": {"clean": 0.9}}}, "'clean'"),
        (EFFORT, {"settings": {"target": {}}}, "the key 'poisoned' is missing"),
        (EFFORT, {"settings": {"target": {"poisoned": [1]}}}, "settings.target"),
        (EFFORT, {"settings": {"target": 0.9, "tolerance": -0.1}}, "settings.tolerance"),
        (EFFORT, {"settings": {"target": 0.9, "tolerance": "0.1"}}, "settings.tolerance"),
        (EFFORT, {"table": "transfer", "settings": None}, "rows[0].arm: poisoned must read"),
    ],
)
def test_what_a_table_is_told_wrong_is_one_line(
    tmp_path: Path, study: dict[str, object], changes: dict[str, object], names: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_study(make_study_file(tmp_path, **{**study, **changes}), TABLES)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_may_stand_alone_and_settings_are_recorded(tmp_path: Path) -> None:
    target = {"clean": "clean", "poisoned": 0.5}
    rows = [{"arm": "clean"}, {"arm": "poisoned", "paper": "MNIST/LeNet5/DFAL"}]
    settings = {"target": target, "tolerance": 0.005}
    study = read_study(make_study_file(tmp_path, table="effort", rows=rows, settings=settings), TABLES)
    assert study.rows == (Row("clean"), Row("poisoned", paper="MNIST/LeNet5/DFAL"))
    assert study.settings == settings
    save_study(study, tmp_path / "out")
    assert load_study(tmp_path / "out", TABLES) == study


def escaping(name: str) -> tuple[dict[str, object], ...]:
    """Records of a study whose names lead out of its folder, or that say what no study says."""
    return (
        {"name": name},
        {"arms": {name: {"configs": [], "fingerprint": ""}}},
        {"arms": {"a" * 300: {"configs": [], "fingerprint": ""}}},
        {"arms": {"clean": {"configs": 3, "fingerprint": ""}}},
        {"arms": [name]},
        {"rows": [{"arm": name}]},
        {"rows": [{"arm": ["clean"]}]},
        {"rows": [{"arm": "clean", "against": name}]},
        {"seeds": [name]},
        {"table": None},
        {"table": "effort"},
        {"table": "transfer", "rows": [{"arm": "clean"}]},
        {"threads": "x"},
        {"settings": [1]},
        {"settings": {"q": 1}},
        {"rows": []},
        {"rows": [{"arm": "poisoned", "against": None}]},
        {"rows": [{"arm": "poisoned", "against": "clean", "paper": "nope"}]},
        {"arms": {"clean": {"configs": ["x"], "fingerprint": 5}}},
        {"arms": {"clean": {"configs": "abc", "fingerprint": ""}}},
        {"arms": {}},
    )


@pytest.mark.parametrize("change", escaping("../../x"), ids=str)
def test_nothing_outside_a_studys_folder_is_read_and_its_record_says_what_a_study_says(
    change: dict[str, object], tmp_path: Path
) -> None:
    save_study(read_study(make_study_file(tmp_path), TABLES), tmp_path / "out")
    record = tmp_path / "out" / "study.yaml"
    record.write_text(yaml.safe_dump(yaml.safe_load(record.read_text()) | change))
    with pytest.raises(UserError, match=r"out/study\.yaml: (name|arms|rows|seeds|table|threads|settings)"):
        load_study(tmp_path / "out", TABLES)


@pytest.mark.parametrize("name", ["../escaped", "a/b", "..", ".hidden", "", "/x", "a\nb", "a" * 300])
def test_the_name_of_a_study_is_the_name_of_a_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"name: .* cannot name a folder"):
        read_study(make_study_file(tmp_path, name=name), TABLES)


def test_a_folder_of_another_versions_study_is_refused(tmp_path: Path) -> None:
    study = read_study(make_study_file(tmp_path), TABLES)
    save_study(study, tmp_path / "out")
    record = tmp_path / "out" / "study.yaml"
    record.write_text(record.read_text().replace("format: 2\n", ""))
    for refused in (lambda out: load_study(out, TABLES), lambda out: claim_folder(study, out)):
        with pytest.raises(UserError, match=r"study\.yaml: not the record of a study of this version.*another folder$"):
            refused(tmp_path / "out")


def test_an_arm_that_reads_another_changes_with_it(tmp_path: Path) -> None:
    reads = {
        "first": [{"seed": 1}],
        "second": [{"run": "cell:first"}],
        "third": [{"runs": ["cell:second"]}],
        "alone": [],
    }
    rows = {"table": "labels", "rows": [{"arm": "third"}], "settings": {"columns": [1]}}
    before = read_study(make_study_file(tmp_path, arms=reads, **rows), TABLES)
    assert [arm.reads for arm in before.arms.values()] == [(), ("first",), ("second",), ()]
    after = read_study(make_study_file(tmp_path, arms=reads | {"first": [{"seed": 2}]}, **rows), TABLES)
    changed = [name for name in before.arms if before.arms[name].fingerprint != after.arms[name].fingerprint]
    assert changed == ["first", "second", "third"]


def test_a_folder_of_something_else_is_not_taken(tmp_path: Path) -> None:
    study = read_study(make_study_file(tmp_path / "a"), TABLES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="in use"):
        claim_folder(study, tmp_path / "out")
    with pytest.raises(UserError, match="no study"):
        load_study(tmp_path / "out", TABLES)
    (tmp_path / "out" / "study.yaml").write_text("name: x\n")
    with pytest.raises(UserError, match="not the record"):
        load_study(tmp_path / "out", TABLES)


def test_an_arm_that_a_config_file_names_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = make_study_file(tmp_path, arms={"clean": [], "poisoned": ["nn2.yaml"]})
    (tmp_path / "nn2.yaml").write_text("query: {init_args: {run: 'cell:clean'}}\n")
    with pytest.raises(UserError) as caught:
        read_study(path, TABLES)
    assert "arms.poisoned[0]" in str(caught.value)
    assert "nn2.yaml: cell:clean must be in a config written in the study itself" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_replay_goes_on_where_the_run_that_it_reads_is_called_otherwise_and_nowhere_else(tmp_path: Path) -> None:
    def replay(run: str, at: int) -> dict[str, object]:
        return {"query": {"class_path": "aal.callbacks.ReplayLedger", "init_args": {"run": run, "at": [at]}}}

    folder = RunFolder(tmp_path / "run", resumes=False)
    folder.write_config(replay("out/random/seed=0", 100))
    folder.compare(replay("../out/random/seed=0", 100), MAY_CHANGE)
    with pytest.raises(UserError, match=r"query\.init_args\.at"):
        folder.compare(replay("../out/random/seed=0", 200), MAY_CHANGE)
    folder.release()
