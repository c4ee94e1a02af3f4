"""A ledger that was altered: every bad row is named by its line, good ones are not, whatever was done to it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from aal.callbacks.replay_ledger import read_ledger
from aal.errors import UserError
from aal.runs.files import digest_of, write_csv, write_json
from aal.runs.records import LEDGER_COLUMNS

ROWS = 8
Cells = list[list[str]]


def make_run(folder: Path, change: Callable[[Cells], object]) -> Path:
    """Write a finished run of eight labels in four rounds, and change its ledger, a list of lists, afterwards."""
    path = folder / "ledger.csv"
    rows = [[k, k // 2, 0, None, "Random", 0, k % 3, k % 3, "natural", None, "kept", None, None] for k in range(ROWS)]
    write_csv(path, LEDGER_COLUMNS, rows)
    summary = {"data": "toy", "strategy": "Random", "accuracy": 0.5, "labels": ROWS, "seed": 0, "budget": 6, "pool": 20}
    environment = {"data_fingerprint": "same"}
    write_json(folder / "summary.json", {**summary, "environment": environment, "files": {path.name: digest_of(path)}})
    with path.open(newline="") as file:
        cells = [*csv.reader(file)]
    change(cells)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)
    return folder


def refused(folder: Path, change: Callable[[Cells], object]) -> str:
    """Return how a run with a changed ledger is refused."""
    with pytest.raises(UserError) as refusal:
        read_ledger(make_run(folder, change), "same", 20, 3)
    return str(refusal.value).partition("ledger.csv: ")[2]


def setting(line: int, column: str, value: str) -> Callable[[Cells], object]:
    return lambda cells: cells[line - 1].__setitem__(LEDGER_COLUMNS.index(column), value)


def test_a_ledger_as_it_was_left_is_read(tmp_path: Path) -> None:
    ledger = read_ledger(make_run(tmp_path, lambda cells: None), "same", 20, 3)
    assert ledger.labels["index"].tolist() == list(range(ROWS))


@pytest.mark.parametrize(
    ("line", "column", "value", "said"),
    [
        (3, "origin", "", "line 3: origin '' is none of natural, poison"),
        (3, "origin", "natural\0", "line 3: origin 'natural\\x00' is none of natural, poison"),
        (4, "status", "KEPT", "line 4: status 'KEPT' is none of kept, replaced, discarded"),
        (4, "status", "kept ", "line 4: status 'kept ' is none of kept, replaced, discarded"),
        (4, "status", "", "line 4: status '' is none of kept, replaced, discarded"),
        (4, "round", "99999999999999", "line 4: round 99999999999999 is out of order"),
        (4, "round", "3", "line 4: round 3 is out of order"),
        (8, "round", "0", "line 8: round 0 is out of order"),
        (2, "round", "-1", "line 2: round -1 is out of order"),
        (9, "label", "3", "line 9: there is no class 3 among 3"),
    ],
)
def test_the_bad_row_alone_is_named(line: int, column: str, value: str, said: str, tmp_path: Path) -> None:
    assert refused(tmp_path, setting(line, column, value)) == f"altered since the run ended: {said}"


def test_a_row_cut_short_is_named_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    def change(cells: Cells) -> None:
        cells[1][LEDGER_COLUMNS.index("strategy")] = "Ran\ndom"  # lines 2 and 3
        del cells[4][9:]  # line 6
        cells.insert(3, [])  # a blank line, the fifth
        cells[6][LEDGER_COLUMNS.index("label")] = "7"

    said = refused(tmp_path, change)
    assert "line 7: has not as many fields as there are columns" in said
    assert "line 8: there is no class 7 among 3" in said
    assert said.count("line ") == 2


@pytest.mark.parametrize(
    ("keep", "said"), [(0, "not the ledger of a run"), (1, "has no labels to replay")], ids=["empty", "header"]
)
def test_a_ledger_without_labels_is_said_to_be_so(keep: int, said: str, tmp_path: Path) -> None:
    assert refused(tmp_path, lambda cells: cells.__delitem__(slice(keep, None))) == said
