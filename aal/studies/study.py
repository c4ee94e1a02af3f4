"""A study: arms of one experiment over the same seeds. Everything in its file is checked before a cell starts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aal.checks import refuse
from aal.errors import UserError, did_you_mean, unquoted
from aal.runs import files
from aal.runs.config_names import ALIKE, NAMED
from aal.runs.documents import read_mapping, to_yaml
from aal.runs.reading import Run
from aal.studies.arms import Arm, read_arms, refuse_no_folder
from aal.studies.results import Table

if TYPE_CHECKING:
    from aal.report.page import Section  # figures' libraries take seconds to import

REQUIRED = ("name", "configs", "seeds", "arms", "table", "rows")
OF_RUN = ("trainer", "seed_everything", "checkpoint", "out")  # keys of a run, besides those of configurations
OPTIONAL = ("title", "note", "threads", "settings")
RECORD = "study.yaml"
FORMAT = 2  # of the record; one of another version is not read
BANK = "features"  # folder of the feature bank that its cells share
RESERVED = (RECORD, "table.csv", "report.html", files.FIGURES, BANK)  # what else a study's folder holds

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
    of_run = "arms" not in text and text.keys() & {*NAMED, *ALIKE, *OF_RUN}
    refuse(of_run, f"{path}: a run, not a study; use aal fit --config {path} --out DIR")
    text = _mapping(text, str(path), REQUIRED, OPTIONAL, "a study has")
    if seeds is not None:
        text["seeds"] = [*_seeds(seeds, "--seeds")]
    threads = _integer(text.get("threads", 1), 1, f"{path}: threads")
    return _checked(text, read_arms(path, text["configs"], text["arms"], threads, RESERVED), path, tables)


def _checked(text: dict[str, Any], arms: dict[str, Arm], path: Path, tables: Mapping[str, TableKind]) -> Study:
    """Return the study of what a study file, or the record of one, says besides its arms; refuse what is wrong."""
    _refuse_texts(text, path)
    table = text["table"]
    near = did_you_mean(table, tables)
    refuse(table not in tables, f"{path}: table: no table {table!r}{near}; there is {', '.join(sorted(tables))}")
    kind = tables[table]
    rows = text["rows"]
    refuse(not isinstance(rows, list) or not rows, f"{path}: rows must list at least one arm, as {{arm: ...}}")
    study = Study(
        name=text["name"],
        title=text.get("title") or text["name"],
        note=text.get("note", ""),
        seeds=_seeds(text["seeds"], f"{path}: seeds"),
        threads=_integer(text.get("threads", 1), 1, f"{path}: threads"),
        table=table,
        rows=tuple(_row(row, f"{path}: rows[{index}]", arms, kind) for index, row in enumerate(rows)),
        arms=arms,
        settings=_mapping(
            text.get("settings", {}),
            f"{path}: settings",
            kind.required,
            kind.optional,
            f"the table {table!r} takes",
        ),
    )
    kind.check(study, str(path))
    return study


def save_study(study: Study, directory: Path) -> None:
    """Record a study in its folder, so that a report can be made from the folder alone."""
    files.write_text(directory / RECORD, to_yaml({"format": FORMAT, **asdict(study)}))


def load_study(directory: Path, tables: Mapping[str, TableKind]) -> Study:
    """Read back what :func:`save_study` recorded.

    Args:
        directory: The study's folder.
        tables: The kinds of tables by name.

    Raises:
        UserError: The folder holds no study, that of another version, or its record was changed by something else.
    """
    path, record = directory / RECORD, _record(directory)
    arms = _recorded_arms(record.get("arms"), path)
    files.refuse_misplaced(directory, (*arms, BANK, files.FIGURES))
    record = _mapping(record, str(path), (*REQUIRED[:1], *REQUIRED[2:]), OPTIONAL, "the record of a study has")
    return _checked(record, arms, path, tables)


def _record(directory: Path) -> dict[str, Any]:
    """Read the record in a study's folder, and see that it is one of this version."""
    path = directory / RECORD
    refuse(not directory.is_dir(), f"{directory}: no such folder")
    refuse(not path.exists(), f"{directory}: no study was run into this folder (it has no {RECORD})")
    record = read_mapping(path)
    refuse(
        record.pop("format", None) != FORMAT,
        f"{path}: not the record of a study of this version of aal; run the study into another folder",
    )
    return record


def _recorded_arms(recorded: object, path: Path) -> dict[str, Arm]:
    """Return the arms of a record: the configs that they were of need not be there any more."""
    refuse(not isinstance(recorded, dict) or not recorded, f"{path}: arms must name at least one arm")
    arms = {}
    for name, arm in cast(dict[Any, Any], recorded).items():
        refuse_no_folder(name, f"{path}: arms", RESERVED)
        arm = _mapping(arm, f"{path}: arms.{name}", ("configs", "fingerprint"), (), "the record of an arm has")
        configs, fingerprint = arm["configs"], arm["fingerprint"]
        known = isinstance(configs, list) and all(isinstance(config, str | dict) for config in configs)
        refuse(not known, f"{path}: arms.{name}.configs: no list of configs: {configs!r}")
        refuse(not isinstance(fingerprint, str), f"{path}: arms.{name}.fingerprint: no text: {fingerprint!r}")
        arms[name] = Arm(tuple(configs), fingerprint)
    return arms


def claim_folder(study: Study, directory: Path) -> None:
    """See that ``directory`` can take the study's cells: it is empty, or holds cells of this very study.

    Arms and seeds may be added to a study; an arm that has cells may not change.

    Raises:
        UserError: The folder holds something else, another study, or cells of an arm that has changed since.
    """
    if not (directory / RECORD).exists():
        refuse(
            directory.is_dir() and any(not entry.name.startswith(".") for entry in directory.iterdir()),
            f"--out {directory}: the folder is in use, and not by a study",
        )
        return
    before = _record(directory)
    arms = _recorded_arms(before.get("arms"), directory / RECORD)
    files.refuse_misplaced(directory, (*study.arms, BANK, files.FIGURES))
    refuse(
        before.get("name") != study.name,
        f"--out {directory}: the folder belongs to the study {before.get('name')!r}, not {study.name!r}",
    )
    for name, arm in study.arms.items():
        begun = any(cell.is_dir() for cell in (directory / name).glob("seed=*"))
        refuse(
            begun and (name not in arms or arms[name].fingerprint != arm.fingerprint),
            f"--out {directory}: the arm {name!r} has cells there, but its configs or threads have changed since;"
            " use another folder or remove the arm's",
        )


def _refuse_texts(text: Mapping[str, Any], path: Path) -> None:
    """Refuse what is no text where it must be, and a name that cannot be a folder's, as it is of several studies."""
    for key in ("name", "title", "note", "table"):
        refuse(
            not isinstance(text.get(key, ""), str),
            f"{path}: {key} must be text, not {text.get(key)!r}{unquoted(text.get(key))}",
        )
    refuse_no_folder(text["name"], f"{path}: name")


def _mapping(
    value: Any,  # noqa: ANN401 - whatever the file has
    called: str,
    required: Sequence[str],
    optional: Sequence[str],
    takes: str,
) -> dict[str, Any]:
    """Return what is a mapping of all keys that are required and no others than may be there; refuse what is not."""
    refuse(not isinstance(value, dict), f"{called} must be a mapping, not {value!r}")
    known = dict.fromkeys((*required, *optional))
    for key in value:
        if key not in known:
            near = did_you_mean(str(key), known) + unquoted(key)
            raise UserError(f"{called}: unknown key {key!r}{near}; {takes} {', '.join(known) or 'none'}")
    for key in required:
        refuse(key not in value, f"{called}: the key {key!r} is missing; {takes} {', '.join(known)}")
    return dict(value)


def _row(value: object, called: str, arms: Collection[str], kind: TableKind) -> Row:
    needed = ("arm", "against") if kind.paired else ("arm",)
    row = Row(**_mapping(value, called, needed, ("against", "paper"), "a row has"))
    for key, known in {"arm": arms, "against": arms, "paper": kind.papers}.items():
        name, there = getattr(row, key), ", ".join(known) or "none for this table"
        wrong = not isinstance(name, str) or name not in known
        if wrong and (name is not None or key in needed):
            near = did_you_mean(str(name), known) + unquoted(name)
            raise UserError(f"{called}.{key}: no {name!r}{near}; there is {there}")
    refuse(row.arm == row.against, f"{called}: an arm cannot be compared with itself")
    return row


def _seeds(value: object, called: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        return tuple(range(_integer(value, 1, called)))
    seeds = tuple(_integer(seed, 0, f"{called}[{index}]") for index, seed in enumerate(value))
    refuse(not seeds or len(set(seeds)) < len(seeds), f"{called} must be distinct, and at least one: {value!r}")
    return seeds


def _integer(value: Any, least: int, called: str) -> int:  # noqa: ANN401
    refuse(
        isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**32,
        f"{called} must be a whole number of at least {least} (and below 2**32), not {value!r}",
    )
    return int(value)
