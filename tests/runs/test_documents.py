"""What is written as YAML reads back the same, by aal's reader and by the parser of the command line."""

from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml

from aal.cli import fit  # has the parser read and write as aal does
from aal.errors import UserError
from aal.runs.documents import from_yaml, read_mapping, to_yaml
from aal.runs.folder import RunFolder

TEXTS = [
    *(
        "1e5",
        "1.5e-3",
        "1E5",
        ".5e3",
        "no",
        "yes",
        "on",
        "true",
        "012",
        "0x1f",
        "1_000",
        "1:30",
        "1:30.5",
        "2024-01-01",
    ),
    *(
        "2024-01-01 10:00:00",
        "null",
        "~",
        "",
        "Null",
        ".nan",
        ".inf",
        "-",
        "a: b",
        "# no",
        "x\ny",
        " x ",
        "é",
        "[",
        "{}",
    ),
    *("=", "<<", "!x", "&x", "*x", "1", "-1", "1.0", "+1", "1.", ".5", "0o7", "0b1", "%x", "@x", "`x"),
]


class Named:
    def __init__(self, name: str, more: dict[str, str] | None = None, inner: "Named | None" = None) -> None:
        self.name, self.more, self.inner = name, more, inner


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_look_like_something_else_stay_texts(text: str, tmp_path: Path) -> None:
    value = {"x": text, "y": [text, {"z": text}]}
    assert from_yaml(to_yaml(value)) == value
    path = tmp_path / "x.yaml"
    path.write_text(to_yaml(value), encoding="utf-8")
    assert read_mapping(path) == value
    assert yaml.safe_load(to_yaml(value)) == value, "another reader reads it otherwise"


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "-"])
def test_the_parser_reads_what_was_written_and_writes_what_it_read(text: str, tmp_path: Path) -> None:
    assert fit.AALCLI is not None
    arguments = {
        "name": text,
        "more": {"a": text},
        "inner": {"class_path": f"{__name__}.Named", "init_args": {"name": text}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml({"named": {"class_path": f"{__name__}.Named", "init_args": arguments}}), encoding="utf-8")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Named, "named")
    parsed = parser.parse_args(["--config", str(path)])
    dumped = from_yaml(parser.dump(parsed, skip_unset=False))
    built: Any = parser.instantiate(parsed).named
    for said in (
        parsed.named.init_args.as_dict(),
        dumped["named"]["init_args"],
        vars(built) | {"inner": arguments["inner"]},
    ):
        assert (said["name"], said["more"]) == (text, {"a": text})
    assert (built.inner.name, dumped["named"]["init_args"]["inner"]["init_args"]["name"]) == (text, text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_run_goes_on_with_a_text_that_looks_like_something_else(text: str, tmp_path: Path) -> None:
    config = {"data": {"root": text, "more": [text]}, "number": 1e5, "none": None}
    folder = RunFolder(tmp_path / "run", resumes=False)
    folder.write_config(config)
    folder.compare(config, may_change=())
    folder.release()


def test_numbers_are_those_of_yaml_1_2_and_dates_are_texts() -> None:
    assert from_yaml("[1e-5, 1.5E3, 2024-01-01, 0.1]") == [1e-5, 1500.0, "2024-01-01", 0.1]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"aaa: cannot be read \(File name too long\)$"):
        read_mapping(tmp_path / ("a" * 300))
