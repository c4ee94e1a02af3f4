"""Tables in text files: what is read, and what is named by its line and column."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aal.data import csv_file
from aal.data.csv_file import CSVFile
from aal.errors import UserError

GOOD = "a,b,c\n1,red,0\n2.5,blue,1\n-3e2,red,0\n"


def written(folder: Path, text: str | bytes, **form: Any) -> CSVFile:
    path = folder / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CSVFile(path, **form)


def read_all(table: CSVFile) -> None:
    table.read(range(len(table.names)))


def refusal(table: CSVFile) -> str:
    """Return why a table is refused, without its path."""
    with pytest.raises(UserError) as caught:
        read_all(table)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{table.path}: ")
    return line.removeprefix(f"{table.path}: ")


def test_numbers_and_words_are_those_that_were_written(tmp_path: Path) -> None:
    table = written(tmp_path, GOOD)
    assert table.names == ("a", "b", "c")
    (numbers, words), lines = table.read([0, 1])
    assert (numbers.name, numbers.words, numbers.values.tolist()) == ("a", None, [1.0, 2.5, -300.0])
    assert (words.name, words.words, words.values.tolist()) == ("b", ("blue", "red"), [1.0, 0.0, 1.0])
    assert lines == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1;red;0\n2.5;blue;1\n-3e2;red;0", {"separator": ";", "header": False}),
        ("\ufeffx\ty\tz\r\n1\tred\t0\r\n\r\n2.5\tblue\t1\r\n-3e2\tred\t0\r\n\r\n", {"separator": "tab"}),
        ('a, b, c\n"1", "red",0\n 2.5 ,  blue,1\n-3e2,red,0\n', {}),
        ("1   red 0\n2.5 blue  1\n-3e2 red 0\n", {"separator": " ", "header": False}),
        (GOOD.replace("\n", "\n\n"), {}),
    ],
    ids=["semicolons", "tabs with a mark and empty lines", "quotes and spaces", "runs of spaces", "empty lines"],
)
def test_forms_of_one_table(text: str, form: dict[str, Any], tmp_path: Path) -> None:
    columns, _ = written(tmp_path, text, **form).read([0, 1, 2])
    assert [column.values.tolist() for column in columns] == [[1, 2.5, -300], [1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD.replace("2.5", ""), "line 3, column 'a': '' is a missing value"),
        (GOOD.replace("2.5", "NA"), "line 3, column 'a': 'NA' is a missing value"),
        (GOOD.replace("blue", "?"), "line 3, column 'b': '?' is a missing value"),
        (GOOD.replace("1,red", "1,"), "line 2, column 'b': '' is a missing value"),
        (GOOD.replace("2.5", "2.5x"), "line 3, column 'a': '2.5x' is no number, as others in the column are"),
        (GOOD.replace("2.5", "1_000"), "line 3, column 'a': '1_000' is no number"),
        (GOOD.replace("2.5", "inf"), "line 3, column 'a': 'inf' is not finite"),
        (GOOD.replace("2.5", "1e999"), "line 3, column 'a': '1e999' is not finite"),
        (GOOD.replace("2.5", "nan"), "line 3, column 'a': 'nan' is a missing value"),
        (GOOD.replace("blue", "7"), "line 3, column 'b': '7' is a number, where the first row has the word 'red'"),
        (GOOD.replace("blue,1", "blue"), "line 3 has 2 values, where there are 3 columns"),
        (GOOD.replace("blue,1", "blue,1,"), "line 3 has 4 values, where there are 3 columns"),
        (GOOD.replace("b,c", "a,c"), "line 1 names column 'a' twice; if it is no header, set header: false"),
        (GOOD.replace("a,b,c", "4,blue,2"), "the names in its header are numbers (4, 2), as if it were a row"),
        ("a,b\n", "has no rows below its header"),
        ("", "has no rows"),
        (GOOD.replace("red", '"red'), "damaged after line "),
        (GOOD.encode().replace(b"blue", b"bl\xfce"), "no UTF-8 text after line "),
        ("a,b\nx,1\ny,2\n" + "".join(f"{k}w,3\n" for k in range(50)), "column 'a' has 52 different words in 52 rows"),
    ],
)
def test_what_is_wrong_is_named(text: str, line: str, tmp_path: Path) -> None:
    assert refusal(written(tmp_path, text)).startswith(line)


def test_a_header_read_as_a_row_is_named(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, GOOD, header=False))
    assert said.startswith(
        "line 2, column '0': '1' is a number, where the first row has the word 'a'; if that is a header"
    )


@pytest.mark.parametrize("header", ["label,0,1,2", "x,1,2,3", "2019,population,2020,2021"])
def test_names_may_be_numbers_that_count_or_stand_beside_others(header: str, tmp_path: Path) -> None:
    columns, _ = written(tmp_path, f"{header}\n3,7,0,9\n1,7,0,8\n").read([0, 1, 2, 3], words={0})
    assert [column.name for column in columns] == header.split(",")
    if header.startswith("x"):  # where words stand below the one that is none
        written(tmp_path, f"{header}\na,7,0,9\nb,7,0,8\n").read([0, 1, 2, 3])


def test_a_row_is_no_header_though_its_label_is_a_word(tmp_path: Path) -> None:
    table = written(tmp_path, "a,3,5\nb,1,7\na,2,2\n")
    assert refusal(table).startswith("the names in its header are numbers (3, 5), as if it were a row")
    with pytest.raises(UserError, match="as if it were a row"):
        written(tmp_path, "3,5,1\n1,7,0\n").read([0, 1, 2], words={2})


def test_decimal_commas_are_no_words(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "a;b\n1,5;2\n2,5;3\n", separator=";"))
    assert said == "line 2, column 'a': '1,5' is no number: decimals have a point"


def test_codes_are_words_where_they_are_said_to_be(tmp_path: Path) -> None:
    table = written(tmp_path, "code,x\n10,1\n2,2\nA,3\n10,4\n")
    ((codes,), _) = table.read([0], words={0})
    assert codes.words == ("10", "2", "A")
    assert codes.values.tolist() == [0, 1, 2, 0]


def test_columns_that_are_not_read_may_hold_anything(tmp_path: Path) -> None:
    (c,), _ = written(tmp_path, GOOD.replace("2.5", "")).read([2])
    assert c.values.tolist() == [0, 1, 0]


def test_a_long_table_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 50
    monkeypatch.setattr(csv_file, "AT_ONCE", 4 * part)  # rows of four columns
    size = 2 * part + 3
    x = np.random.default_rng(0).normal(size=size)
    words = [f"w{k // part}" for k in range(size)]
    text = "".join(f"{value!r},{word},0,1\n" for value, word in zip(x.tolist(), words, strict=True))
    (numbers, spelled), lines = written(tmp_path, "x,w,y,z\n" + text).read([0, 1])
    assert np.array_equal(numbers.values, x)
    assert spelled.words == ("w0", "w1", "w2")
    assert np.array_equal(spelled.values, np.arange(size) // part)
    assert lines == [*range(2, size + 2)]
    bad = text.splitlines()
    bad[part + 7] = "oops,w0,0,1"
    said = refusal(written(tmp_path, "\n".join(["x,w,y,z", *bad])))
    assert said.startswith(f"line {part + 9}, column 'x': 'oops' is no number")


def test_a_column_has_a_name_and_a_number(tmp_path: Path) -> None:
    table = written(tmp_path, GOOD)
    assert [table.number(given, "label") for given in ("b", 1, "1", -1, "-3", "c")] == [1, 1, 1, 2, 0, 2]
    for given, said in (
        (3, "has 3 columns, 0 to 2, got 3"),
        ("-4", "has 3 columns, 0 to 2, got -4"),
        ("d", "has no column 'd', only a, b, c"),
    ):
        with pytest.raises(UserError) as caught:
            table.number(given, "label")
        assert str(caught.value).startswith(f"label: {table.path} {said}")


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
def test_a_separator_is_one_character(separator: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^separator: must be one character, or tab, got "):
        CSVFile(tmp_path / "t.csv", separator)


def test_a_file_that_is_absent_or_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.csv: cannot be read \(No such file"):
        CSVFile(tmp_path / "no.csv").names  # noqa: B018 - reading is what is tried
    with pytest.raises(UserError, match="cannot be read"):
        CSVFile(tmp_path).names  # noqa: B018 - as above
