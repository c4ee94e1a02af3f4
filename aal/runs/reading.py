"""Run folders as tables and reports read them back."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aal.checks import refuse
from aal.runs import files
from aal.runs.documents import read_mapping

TEXTS = ("data", "strategy")
MAPPINGS = ("environment", "files")
MOST = 2**63
SHARE, COUNT = (0, 1), (0, MOST)
NUMBERS = {"accuracy": SHARE, "labels": COUNT, "seed": COUNT, "budget": COUNT, "pool": COUNT}  # each with its range
OF_ROUND = {"labels": COUNT, "accuracy": SHARE}


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        folder: The folder.
        summary: ``summary.json``; empty while the run has not finished.
        rounds: One object a round from ``rounds.jsonl``; empty before the first round's end.
        config: Text of ``config.yaml``, the resolved configuration; empty where there is none.
    """

    folder: Path
    summary: dict[str, Any]
    rounds: tuple[dict[str, Any], ...]
    config: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by their labels; empty where they have none, or the run has not finished."""
        return tuple(map(str, self.summary.get("classes") or ()))

    def called(self, label: int) -> str:
        """Return what a page calls a label: its class's name, where it has one."""
        return dict(enumerate(self.classes)).get(label, str(label))


def read_run(folder: Path) -> Run:
    """Read a run's folder, finished or not.

    Raises:
        UserError: There is no such folder, or what is in it is not what a run of this version writes.
    """
    refuse(not folder.is_dir(), f"{folder}: no such folder")
    config = folder / "config.yaml"
    return Run(
        folder=folder,
        summary=read_summary(folder) if (folder / "summary.json").exists() else {},
        rounds=read_rounds(folder),
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``summary.json`` of a finished run.

    Raises:
        UserError: The file is missing, or lacks what every run's summary has.
    """
    path = folder / "summary.json"
    summary: dict[str, Any] = files.read_json(path)
    refuse(not isinstance(summary, dict), f"{path}: not the summary of a run")
    for key in TEXTS:
        refuse(not isinstance(summary.get(key), str), f"{path}: {key} must be text, not {summary.get(key)!r}")
    for key, (least, most) in NUMBERS.items():
        wrong, range = not _within(summary, key, least, most), "from 0 to 1" if most == 1 else "of at least 0"
        refuse(wrong, f"{path}: {key} must be a number {range}, not {summary.get(key)!r}")
    for key in MAPPINGS:
        refuse(not isinstance(summary.get(key, {}), dict), f"{path}: {key} must hold keys with values")
    return summary


def read_rounds(folder: Path) -> tuple[dict[str, Any], ...]:
    """Return the records of ``rounds.jsonl``, none where there is no such file; a last line cut short is left out.

    Raises:
        UserError: The file holds something else.
    """
    path, called = folder / "rounds.jsonl", "the rounds of a run"
    lines = files.read_bytes(path).rpartition(b"\n")[0].splitlines() if path.exists() else []
    rounds = tuple(files.from_json(line, path, called) for line in lines)
    latest = -1
    for line, record in enumerate(rounds, start=1):
        wrong = not isinstance(record, dict) or any(not _within(record, key, *range) for key, range in OF_ROUND.items())
        wrong = wrong or any(isinstance(value, int) and abs(value) >= MOST for value in record.values())
        wrong = wrong or type(record.get("round")) is not int or record["round"] <= latest
        refuse(wrong, f"{path}: not {called}: line {line} is no record of a round")
        latest = record["round"]
    return rounds


def read_cells(directory: Path, arm: str, seeds: Collection[int]) -> dict[int, Run]:
    """Read the finished cells of a study's arm, by seed.

    Args:
        directory: The study's folder.
        arm: Name of the arm.
        seeds: The study's seeds; cells of others that the folder may hold are not read.

    Raises:
        UserError: A finished cell's file is broken, or its run had another seed than its folder says.
    """
    cells = {}
    for seed in sorted(seeds):
        folder = directory / arm / f"seed={seed}"
        if (folder / "summary.json").exists():
            cells[seed] = read_run(folder)
            had = cells[seed].summary["seed"]
            refuse(had != seed, f"{folder}: the run in it had the seed {had}")
    return cells


def number(record: Mapping[str, Any], key: str) -> float | None:
    """Return ``record[key]`` where it is a finite number, else None."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def _within(record: Mapping[str, Any], key: str, least: float, most: float) -> bool:
    found = number(record, key)
    return found is not None and least <= found <= most


def common(runs: Collection[Run], key: str) -> str | None:
    """Return what the summaries of all runs say under ``key``, or every value there is where they differ."""
    found = dict.fromkeys(str(run.summary[key]) for run in runs if key in run.summary)
    return " / ".join(found) or None


def part(run: Run, key: str) -> tuple[str, dict[str, Any]]:
    """Return the class, without its module, and the arguments that a run's configuration has under ``key``, if any."""
    path = run.folder / "config.yaml"
    return class_and_arguments(read_mapping(path).get(key) if path.is_file() else None)


def class_and_arguments(value: object) -> tuple[str, dict[str, Any]]:
    """Return the class, without its module, and the arguments of a part of a configuration, if it is one."""
    value = value if isinstance(value, dict) else {}
    arguments = next((value[key] for key in value if key not in ("class_path", "dict_kwargs")), None)
    return str(value.get("class_path", "")).rpartition(".")[2], arguments if isinstance(arguments, dict) else {}
