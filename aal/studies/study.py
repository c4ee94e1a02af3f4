"""A study: arms of one experiment over the same seeds. Everything in its file is checked before a cell starts."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aal.errors import UserError
from aal.runs import files
from aal.runs.documents import read_mapping, to_yaml
from aal.runs.folder import refuse_earlier
from aal.runs.reading import Run
from aal.studies.arms import Arm, read_arms
from aal.studies.results import Table

if TYPE_CHECKING:
    from aal.report.page import Section  # figures' libraries take seconds to import

REQUIRED = ("name", "configs", "seeds", "arms", "table", "rows")
OPTIONAL = ("title", "note", "threads", "settings")
RECORD = "study.yaml"
FORMAT = 2  # of the record; one of another version is not read
BANK = "features"  # folder of the feature bank that its cells share
RESERVED = (RECORD, "table.csv", "report.html", "figures", BANK)  # what else a study's folder holds

Cells = Mapping[str, Mapping[int, Run]]  # finished runs by arm and seed


@dataclass(frozen=True)
class Row:
    """A row of the table: an arm, beside the arm that it is compared with.

    Attributes:
        arm: The arm.
        against: The arm that it is compared with: the clean one of a poisoned one, random queries of other queries.
            None: it is compared with none, which not every table allows.
        paper: Whose figures in the paper are to stand beside ours, by the table's names for them; None: those that the
            table itself finds, if any.
    """

    arm: str
    against: str | None = None
    paper: str | None = None

    @property
    def group(self) -> str:
        """What the row is read together with: all rows that are compared with one arm, and that arm's own."""
        return self.against or self.arm


@dataclass(frozen=True)
class Study:
    """A study as its file says it, resolved.

    Attributes:
        name: Short name.
        title: Headline of the report.
        note: Sentence printed with the table; may be empty.
        seeds: Seeds of every arm, each 0 or more.
        threads: CPU threads of torch in each cell. Part of the study, since sums depend on it.
        table: Name of the table's kind in :data:`aal.studies.tables.TABLES`.
        rows: The table's rows.
        arms: Arms by name, in the order of the file.
        settings: What else the table is told, as its kind has checked it.
    """

    name: str
    title: str
    note: str
    seeds: tuple[int, ...]
    threads: int
    table: str
    rows: tuple[Row, ...]
    arms: dict[str, Arm]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableKind:
    """A kind of table that studies can end in.

    Attributes:
        make: Makes it from a study and its finished runs.
        papers: What a row's ``paper`` may be.
        paired: Whether every row must say ``against`` what.
        required: Settings that it must be given.
        optional: Settings that it may be given.
        check: Refuses settings that make no sense; told what an error starts with.
        sections: What the report shows of such a study instead of curves over labels, given the study, its runs and its
            folder.
    """

    make: Callable[[Study, Cells], Table]
    papers: Collection[str] = ()
    paired: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    check: Callable[[Study, str], None] = lambda study, called: None
    sections: "Callable[[Study, Cells, Path], tuple[Section, ...]] | None" = None


def read_study(path: Path, tables: Mapping[str, TableKind], seeds: int | None = None) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file; config paths in it are relative to its folder.
        tables: The kinds of tables by name.
        seeds: Use the seeds ``0 .. seeds-1`` instead of the file's.

    Raises:
        UserError: Anything in the file, or in the YAML of a config it names, is wrong.
    """
    text = read_mapping(path)
    for key in text:
        if key not in REQUIRED + OPTIONAL:
            raise UserError(f"{path}: unknown key {key!r}; a study has {', '.join(REQUIRED + OPTIONAL)}")
    for key in REQUIRED:
        if key not in text:
            raise UserError(f"{path}: the key {key!r} is missing")
    for key in ("name", "title", "note", "table"):
        if not isinstance(text.get(key, ""), str):
            raise UserError(f"{path}: {key} must be text, not {text[key]!r}")
    if text["table"] not in tables:
        raise UserError(f"{path}: table: no table {text['table']!r}; there is {', '.join(sorted(tables))}")
    kind = tables[text["table"]]
    threads = _integer(text.get("threads", 1), 1, f"{path}: threads")
    arms = read_arms(path, text["configs"], text["arms"], threads, RESERVED)
    study = Study(
        name=text["name"],
        title=text.get("title") or text["name"],
        note=text.get("note", ""),
        seeds=_seeds(text["seeds"] if seeds is None else seeds, f"{path}: seeds" if seeds is None else "--seeds"),
        threads=threads,
        table=text["table"],
        rows=_rows(path, text["rows"], arms, kind),
        arms=arms,
        settings=_settings(text.get("settings", {}), kind, f"{path}: settings", text["table"]),
    )
    kind.check(study, str(path))
    return study


def save_study(study: Study, directory: Path) -> None:
    """Record a study in its folder, so that a report can be made from the folder alone."""
    files.write_text(directory / RECORD, to_yaml({"format": FORMAT, **asdict(study)}))


def load_study(directory: Path) -> Study:
    """Read back what :func:`save_study` recorded.

    Raises:
        UserError: The folder holds no study, that of another version, or its record was changed by something else.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder")
    path = directory / RECORD
    if not path.exists():
        raise UserError(f"{directory}: no study was run into this folder (it has no {RECORD})")
    record = read_mapping(path)
    if record.pop("format", None) != FORMAT:
        raise UserError(f"{path}: not the record of a study of this version of aal; run the study into another folder")
    try:
        arms = {name: Arm(tuple(arm["configs"]), arm["fingerprint"]) for name, arm in record["arms"].items()}
        rows = tuple(Row(**row) for row in record["rows"])
        return Study(**{**record, "seeds": tuple(record["seeds"]), "arms": arms, "rows": rows})
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the record of a study ({error})") from None


def claim_folder(study: Study, directory: Path) -> None:
    """See that ``directory`` can take the study's cells: it is empty, or holds cells of this very study.

    Arms and seeds may be added to a study; an arm that has cells may not change.

    Raises:
        UserError: The folder holds something else, another study, or cells of an arm that has changed since.
    """
    if not (directory / RECORD).exists():
        if directory.is_dir() and any(not entry.name.startswith(".") for entry in directory.iterdir()):
            raise UserError(f"--out {directory}: the folder is in use, and not by a study")
        return
    before = load_study(directory)
    if before.name != study.name:
        raise UserError(f"--out {directory}: the folder belongs to the study {before.name!r}, not {study.name!r}")
    for config in directory.glob("*/seed=*/config.yaml"):
        refuse_earlier(config.parent)
    for name, arm in study.arms.items():
        if next((directory / name).glob("seed=*/config.yaml"), None) is None:  # nothing was run yet
            continue
        if name not in before.arms or before.arms[name].fingerprint != arm.fingerprint:
            raise UserError(
                f"--out {directory}: the arm {name!r} has cells there, but its configs or threads have changed since;"
                " use another folder or remove the arm's"
            )


def _rows(path: Path, value: object, arms: Collection[str], kind: TableKind) -> tuple[Row, ...]:
    needed = ("arm", "against") if kind.paired else ("arm",)
    form = "{" + ", ".join(f"{key}: ..." for key in needed) + "}"
    more = [f"{key}: ..." for key in ("against", "paper") if key not in needed]
    if not isinstance(value, list) or not value:
        raise UserError(f"{path}: rows must list at least one {form}")
    rows = []
    for index, item in enumerate(value):
        called = f"{path}: rows[{index}]"
        if not isinstance(item, dict) or not set(needed) <= set(item) <= {"arm", "against", "paper"}:
            raise UserError(f"{called} must be {form}, with {' and '.join(more)} where asked, not {item!r}")
        row = Row(item["arm"], item.get("against"), item.get("paper"))
        for key in ("arm", "against"):
            if key in item and not (isinstance(item[key], str) and item[key] in arms):
                raise UserError(f"{called}.{key}: no arm {item[key]!r}; there is {', '.join(arms)}")
        if row.arm == row.against:
            raise UserError(f"{called}: an arm cannot be compared with itself")
        if row.paper is not None and not (isinstance(row.paper, str) and row.paper in kind.papers):
            there = ", ".join(kind.papers) or "nothing in it for this table"
            raise UserError(f"{called}.paper: the paper has no {row.paper!r}; there is {there}")
        rows.append(row)
    return tuple(rows)


def _settings(value: object, kind: TableKind, called: str, table: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{called} must be a mapping, not {value!r}")
    takes = kind.required + kind.optional
    for key in value:
        if key not in takes:
            raise UserError(f"{called}: unknown key {key!r}; the table {table!r} takes {', '.join(takes) or 'none'}")
    for key in kind.required:
        if key not in value:
            raise UserError(f"{called}: the key {key!r} is missing, which the table {table!r} needs")
    return value


def _seeds(value: object, called: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        return tuple(range(_integer(value, 1, called)))
    seeds = tuple(_integer(seed, 0, f"{called}[{index}]") for index, seed in enumerate(value))
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{called} must be distinct, and at least one: {value!r}")
    return seeds


def _integer(value: object, least: int, called: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**32:
        raise UserError(f"{called} must be a whole number of at least {least} (and below 2**32), not {value!r}")
    return value
