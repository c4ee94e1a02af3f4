"""A study: arms of one experiment over the same seeds. Everything in its file is checked before a cell starts."""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aal import files
from aal.documents import read_mapping, to_yaml
from aal.errors import UserError

Config = str | dict[str, Any]  # the path of a config file, or the config itself written inline

REQUIRED = ("name", "configs", "seeds", "arms", "table", "rows")
OPTIONAL = ("title", "note", "threads")
PAPER_DATA = ("STL10", "CIFAR10", "AudioSet")  # the data sets of Table I
SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
RECORD = "study.yaml"
BANK = "features"  # folder of the feature bank that its cells share
RESERVED = (RECORD, "table.csv", "report.html", "figures", BANK)  # what else a study's folder holds


@dataclass(frozen=True)
class Row:
    """A row of the table: a poisoned arm beside the clean arm that it is compared with.

    Attributes:
        arm: The poisoned arm.
        clean: The clean one.
        paper: The data set whose figures in the paper are to stand beside ours, although the setting is not quite the
            paper's; None: they do where the setting is the same.
    """

    arm: str
    clean: str
    paper: str | None = None


@dataclass(frozen=True)
class Arm:
    """One arm: its configs in the order they are laid over each other, and a hash of what they say."""

    configs: tuple[Config, ...]
    fingerprint: str


@dataclass(frozen=True)
class Study:
    """A study as its file says it, resolved.

    Attributes:
        name: Short name.
        title: Headline of the report.
        note: Sentence printed with the table; may be empty.
        seeds: Seeds of every arm, each 0 or more.
        threads: CPU threads of torch in each cell. Part of the study, since sums depend on it.
        table: Name of the table's maker in :data:`aal.studies.tables.TABLES`.
        rows: Pairs of arms that the table compares.
        arms: Arms by name, in the order of the file.
    """

    name: str
    title: str
    note: str
    seeds: tuple[int, ...]
    threads: int
    table: str
    rows: tuple[Row, ...]
    arms: dict[str, Arm]


def read_study(path: Path, tables: Collection[str], seeds: int | None = None) -> Study:
    """Read and check a study file.

    Args:
        path: The YAML file; config paths in it are relative to its folder.
        tables: Names of the tables there are.
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
    threads = text.get("threads", 1)
    arms = _arms(path, text["configs"], text["arms"], _integer(threads, 1, f"{path}: threads"))
    return Study(
        name=text["name"],
        title=text.get("title") or text["name"],
        note=text.get("note", ""),
        seeds=_seeds(text["seeds"] if seeds is None else seeds, f"{path}: seeds" if seeds is None else "--seeds"),
        threads=threads,
        table=text["table"],
        rows=_rows(path, text["rows"], arms),
        arms=arms,
    )


def fingerprint(configs: tuple[Config, ...], threads: int, called: str) -> str:
    """Hash what the configs of an arm say (their content, not their names or comments) and its threads.

    Raises:
        UserError: A config file cannot be read; the line starts with ``called``.
    """
    content = [
        config if isinstance(config, dict) else read_mapping(Path(config), f"{called}[{index}]")
        for index, config in enumerate(configs)
    ]
    return hashlib.sha256(json.dumps([content, threads], sort_keys=True, default=str).encode()).hexdigest()


def save_study(study: Study, directory: Path) -> None:
    """Record a study in its folder, so that a report can be made from the folder alone."""
    files.write_text(directory / RECORD, to_yaml(asdict(study)))


def load_study(directory: Path) -> Study:
    """Read back what :func:`save_study` recorded.

    Raises:
        UserError: The folder holds no study, or its record was changed by something else.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder")
    path = directory / RECORD
    if not path.exists():
        raise UserError(f"{directory}: no study was run into this folder (it has no {RECORD})")
    record = read_mapping(path)
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
    for name, arm in study.arms.items():
        if next((directory / name).glob("seed=*/config.yaml"), None) is None:  # nothing was run yet
            continue
        if name not in before.arms or before.arms[name].fingerprint != arm.fingerprint:
            raise UserError(
                f"--out {directory}: the arm {name!r} has cells there, but its configs or threads have changed since;"
                " use another folder or remove the arm's"
            )


def _arms(path: Path, base: object, arms: object, threads: int) -> dict[str, Arm]:
    if not isinstance(arms, dict) or not arms:
        raise UserError(f"{path}: arms must name at least one arm, each with a list of configs")
    shared = _configs(path, base, f"{path}: configs")
    if not shared:
        raise UserError(f"{path}: configs must name at least one config file")
    resolved = {}
    for name, own in arms.items():
        if not isinstance(name, str) or not SAFE.fullmatch(name) or name.lower() in RESERVED:
            raise UserError(f"{path}: arms: {name!r} cannot name a folder; use letters, digits, '_', '-' and inner '.'")
        configs = shared + _configs(path, own, f"{path}: arms.{name}")
        resolved[name] = Arm(configs, fingerprint(configs, threads, f"{path}: configs of {name}"))
    if len({name.lower() for name in resolved}) < len(resolved):
        raise UserError(f"{path}: arms: two names differ only in case, which some file systems cannot tell apart")
    return resolved


def _configs(path: Path, value: object, called: str) -> tuple[Config, ...]:
    if not isinstance(value, list):
        raise UserError(f"{called} must be a list of config files and inline configs, not {value!r}")
    configs: list[Config] = []
    for index, item in enumerate(value):
        if isinstance(item, dict) and all(isinstance(key, str) for key in item):
            configs.append(item)
        elif isinstance(item, str):
            file = (path.parent / item).resolve()
            read_mapping(file, f"{called}[{index}]")
            configs.append(str(file))
        else:
            raise UserError(f"{called}[{index}] must be the path of a config or a config itself, not {item!r}")
    return tuple(configs)


def _rows(path: Path, value: object, arms: Collection[str]) -> tuple[Row, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{path}: rows must list at least one {{arm: ..., clean: ...}}")
    rows = []
    for index, item in enumerate(value):
        called = f"{path}: rows[{index}]"
        if not isinstance(item, dict) or set(item) - {"paper"} != {"arm", "clean"}:
            raise UserError(f"{called} must be {{arm: ..., clean: ...}}, with paper: ... where asked, not {item!r}")
        for key in ("arm", "clean"):
            if item[key] not in arms:
                raise UserError(f"{called}.{key}: no arm {item[key]!r}; there is {', '.join(arms)}")
        if item["arm"] == item["clean"]:
            raise UserError(f"{called}: an arm cannot be compared with itself")
        paper = item.get("paper")
        if paper is not None and paper not in PAPER_DATA:
            raise UserError(f"{called}.paper: the paper has no data set {paper!r}; there is {', '.join(PAPER_DATA)}")
        rows.append(Row(item["arm"], item["clean"], paper))
    return tuple(rows)


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
