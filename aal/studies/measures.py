"""What a run's rounds say about labels, data and time, and the settings that name numbers of labels."""

from typing import Any

from aal.checks import refuse
from aal.runs.reading import Run, number
from aal.studies.paired import ALIKE
from aal.studies.study import Study

COLUMNS = "columns"  # the setting that lists numbers of labels


def accuracy_at(run: Run, labels: int) -> float | None:
    """Return the accuracy of the round trained on just that many labels; None where there was none."""
    return next((number(record, "accuracy") for record in run.rounds if record.get("labels") == labels), None)


def seconds_at(run: Run, labels: int) -> float | None:
    """Return the seconds that the query with just that many labels took; None where there was none."""
    for record in run.rounds:
        queried = number(record, "queried")
        if queried and number(record, "labels") == labels + queried:  # a record has the query before its round
            return number(record, "seconds_query")
    return None


def data(record: dict[str, Any]) -> float | None:
    """Return the effective data that a round was trained on: labels, crafted copies and pseudo-labelled samples."""
    labels = number(record, "labels")
    return None if labels is None else labels + sum(number(record, key) or 0 for key in ("crafted", "pseudo"))


def final_data(run: Run) -> float | None:
    """Return the effective data of a run's last round."""
    return data(run.rounds[-1]) if run.rounds else None


def first_reaching(run: Run, accuracy: float) -> dict[str, Any] | None:
    """Return the record of the first round whose accuracy is at least that high; None where there was none."""
    least = accuracy - ALIKE
    return next((record for record in run.rounds if (number(record, "accuracy") or 0.0) >= least), None)


def check_columns(study: Study, called: str) -> None:
    """Refuse a setting ``columns`` that is not a list of ascending numbers of labels.

    Raises:
        UserError: Says so; the line starts with ``called``.
    """
    columns = study.settings[COLUMNS]
    whole = isinstance(columns, list) and all(type(labels) is int and labels > 0 for labels in columns)
    ascending = whole and columns and columns == sorted(set(columns))
    refuse(not ascending, f"{called}: settings.{COLUMNS} must list numbers of labels, ascending, not {columns!r}")
