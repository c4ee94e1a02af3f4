"""Whether a paper's figure may stand beside ours: what a run was, compared with the setting that the paper states."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aal.runs.documents import read_mapping
from aal.runs.reading import Run, class_and_arguments

PAPERS = Path(__file__).with_name("papers")
SAME = "[ ]: the paper's figure, printed where the run has the setting that the paper states."

Figures = Mapping[str, float | str]  # a paper's, by the key of the column that they stand in
Facts = Mapping[str, Any]  # what a run was, by name
Setting = Mapping[str, Any]  # what a fact must be, by its name


@cache
def papers() -> list[dict[str, Any]]:
    """Read what all papers print, and under which setting, by the kind of table."""
    return [read_mapping(path) for path in sorted(PAPERS.glob("*.yaml"))]


def papers_figures(table: str) -> dict[str, Figures]:
    """Return what the papers print for a kind of table, by the names that the rows of a study may use for it."""
    return {
        name: {column: figure for column, figure in zip(one["columns"], row, strict=True) if figure is not None}
        for one in (paper[table] for paper in papers() if table in paper)
        for name, row in one["rows"].items()
    }


def papers_setting(table: str, name: str) -> Setting:
    """Return the setting of the figures of that name: that of the whole table, and what each part of the name adds."""
    one = next(paper[table] for paper in papers() if name in paper.get(table, {}).get("rows", ()))
    parts = [one["setting"].get(part, {}) for part in ("all", *name.split("/"))]
    return {key: wanted for part in parts for key, wanted in part.items()}


def facts_of(run: Run) -> Facts:
    """Return what a run was: its summary, and its configuration as ``data``, ``data.limit``, ``model.backbone.name``.

    A class stands under its key by its short name, its arguments below it.
    """
    path = run.folder / "config.yaml"
    return {**run.summary, **_flat(read_mapping(path) if path.is_file() else {})}


def unlike(facts: Facts, setting: Setting) -> list[str]:
    """Return in what a run differs from a setting, in words; nothing where it does not."""
    wrong = {key: wanted for key, wanted in setting.items() if not _meets(facts.get(key), wanted)}
    return [f"{key}: {_told(facts.get(key))} (paper: {_told(wanted)})" for key, wanted in wrong.items()]


class Beside:
    """The paper's figures of a table's rows, and the reasons of those that have none.

    Args:
        table: The kind of table.
    """

    def __init__(self, table: str) -> None:
        self._table, self._printed = table, papers_figures(table)
        self._shown: list[str] = []
        self._refused: dict[str, list[str]] = {}

    def figures(self, arm: str, name: str | None, facts: Facts, otherwise: Setting = MappingProxyType({})) -> Figures:
        """Return the paper's figures of a name where a run has their setting.

        Args:
            arm: The run's arm.
            name: Under which name the paper's figures are listed; None, or one that is not: there are none.
            facts: What the run was.
            otherwise: What the setting of this run is instead.
        """
        if name not in self._printed:
            return {}
        wrong = unlike(facts, {**papers_setting(self._table, name), **otherwise})
        if wrong:
            self._refused.setdefault("; ".join(wrong), []).append(arm)
            return {}
        self._shown.append(name)
        return self._printed[name]

    @property
    def shown(self) -> list[str]:
        """The names whose figures stand in the table."""
        return list(dict.fromkeys(self._shown))

    def notes(self) -> Iterable[str]:
        """Say what the paper's figures are, and why rows have none."""
        yield from [SAME] if self._shown else []
        for why, arms in self._refused.items():
            yield f"No figure of the paper beside {', '.join(dict.fromkeys(arms))}: {why}."


def _flat(value: Any, key: str = "") -> Facts:  # noqa: ANN401 - whatever a configuration holds
    if not isinstance(value, dict):
        return {key: value}
    name, inner = class_and_arguments(value) if "class_path" in value else ("", value)
    facts: dict[str, Any] = {key: name} if name else {}
    for child, of in inner.items():
        facts |= _flat(of, f"{key}.{child}".removeprefix("."))
    return facts


def _meets(value: object, wanted: object) -> bool:
    """Whether a fact is as wanted: in a range, one of a list, the very things of a list, or equal."""
    if isinstance(wanted, Mapping):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return not wanted or (is_number and wanted.get("from", value) <= value <= wanted.get("to", value))
    if isinstance(wanted, list):
        return value in wanted or (isinstance(value, list) and set(value) == set(wanted) - {None})
    return value == wanted


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{end} {bound:,}" for end, bound in value.items())
    if isinstance(value, list):
        return " or ".join(map(_told, value))
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
