"""What a run's files say is checked when they are read, not their form alone."""

import json
from pathlib import Path

import pytest

from aal.errors import UserError
from aal.report.run_page import write_run_report
from aal.runs.files import read_json
from aal.runs.folder import FOLDERS, RunFolder
from aal.runs.reading import read_rounds, read_run
from aal.studies.cells import Cell
from aal.studies.study import claim_folder, load_study, read_study, save_study
from aal.studies.tables import TABLES
from aal.tracking.process import whole_rounds
from tests.studies.made_runs import make_run, make_study_file

DEEP = "[" * 100_000 + "]" * 100_000
GOOD = {"round": 0, "labels": 20, "accuracy": 0.5}
WRONG = ({"round": "../../x"}, {"round": 0.5}, {"labels": None}, {"round": -1}, {"accuracy": [0.5]})
BEYOND = ({"accuracy": 7}, {"labels": -20}, *({key: 10**400} for key in ("labels", "accuracy", "loss")))
LINES = [
    *("[]", "3", "null", "{}", DEEP, "1" * 5000, "{", "\udcff"),
    *(json.dumps({**GOOD, **wrong}) for wrong in (*WRONG, *BEYOND)),
    f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}",
]
MISPLACED = "a (file|folder) in the place of a (folder|file); remove it"


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_lines_that_are_no_records_of_rounds_are_named(line: str, tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    path = tmp_path / "run" / "rounds.jsonl"
    path.write_bytes(f"{line}\n".encode(errors="surrogateescape"))
    for read in (read_run, write_run_report, read_rounds):
        with pytest.raises(UserError, match=r"rounds\.jsonl: not the rounds of a run") as caught:
            read(tmp_path / "run")
        assert "\n" not in str(caught.value)
    assert all(isinstance(row["round"], int) for row in whole_rounds(path)), "the tracker passes over the others"
    assert Cell("clean", 0, tmp_path / "run").labels() in (None, 20, -20, 10**400), "what is shown while it runs"


@pytest.mark.parametrize("text", [DEEP, "1" * 5000, "\udcff", "{", ""], ids=range(5))
def test_what_is_no_json_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"x\.json: not JSON"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("name", [*FOLDERS, "rounds.jsonl", "ledger.csv", "report.html", "figures/a.png"])
def test_a_run_does_not_go_on_over_files_in_the_place_of_folders_or_folders_of_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if place.suffix else place.touch()
    with pytest.raises(UserError, match=f"{name}: {MISPLACED}"):
        RunFolder(tmp_path, resumes=True)
    place.rmdir() if place.suffix else place.unlink()
    RunFolder(tmp_path, resumes=True).release()


@pytest.mark.parametrize("name", ["clean", "features", "figures", "figures/a.png", "table.csv", "report.html"])
def test_a_study_does_not_go_on_over_them_either(name: str, tmp_path: Path) -> None:
    study = read_study(make_study_file(tmp_path), TABLES)
    save_study(study, tmp_path / "out")
    place = tmp_path / "out" / name
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if place.suffix else place.touch()
    for reading in (lambda out: claim_folder(study, out), lambda out: load_study(out, TABLES)):
        with pytest.raises(UserError, match=f"{name}: {MISPLACED}"):
            reading(tmp_path / "out")


@pytest.mark.parametrize("key", ["environment", "files"])
def test_a_summary_whose_parts_are_of_another_kind_is_named(key: str, tmp_path: Path) -> None:
    path = make_run(tmp_path / "run") / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: ["x"]}))
    with pytest.raises(UserError, match=rf"summary\.json: {key} must hold keys with values"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("said", [{"accuracy": -5}, {"labels": -20}, {"budget": -5}, {"pool": 10**400}], ids=str)
def test_a_summary_says_what_can_be(said: dict[str, int], tmp_path: Path) -> None:
    path = make_run(tmp_path / "run") / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    wanted = rf"summary\.json: {next(iter(said))} must be a number (from 0 to 1|of at least 0), not "
    with pytest.raises(UserError, match=wanted):
        read_run(tmp_path / "run")
