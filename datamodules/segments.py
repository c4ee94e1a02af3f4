"""AudioSet's published tables: which labels there are, and which segments of which videos have them."""

import csv
import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aal.checks import refuse
from aal.errors import UserError, did_you_mean
from aal.runs.files import read_json

COUNTS = re.compile(r"num_segs=(\d+),.*num_positive_labels=(\d+)")


class Segment(NamedTuple):
    """A piece of a video: the video's ID, where the piece begins and ends in seconds, and its labels' machine IDs."""

    video: str
    start: float
    end: float
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the segment is called."""
        return f"{self.video}_{self.start:.3f}_{self.end:.3f}"

    def stems(self) -> Iterator[str]:
        """Give the names, without suffix, that the usual downloaders save the segment under."""
        starts, ends = (
            (f"{time:.3f}", f"{time:g}", f"{time:.1f}", f"{round(1000 * time)}") for time in (self.start, self.end)
        )
        for video in (self.video, f"Y{self.video}"):
            yield video
            for start, end in zip(starts, ends, strict=True):
                yield from (f"{video}_{start}", f"{video}_{start}_{end}")


def read_segments(path: Path) -> list[Segment]:
    """Read a table of segments, such as ``eval_segments.csv``.

    Raises:
        UserError: The file is missing, a line is no segment, or there are not as many as the file's own header says.
    """
    segments: list[Segment] = []
    counts = -1, -1
    for number, row in _rows(path):
        if row[0].startswith("#"):
            if found := COUNTS.search(",".join(row)):
                counts = int(found[1]), int(found[2])
            continue
        try:
            video, start, end, labels = row
            segment = Segment(video, float(start), float(end), tuple(labels.split(",")))
            refuse(not 0 <= segment.start < segment.end < math.inf, "no piece of a video", ValueError)
            segments.append(segment)
        except ValueError:
            raise UserError(
                f"{path}: line {number} is no segment (YTID, start_seconds, end_seconds, labels): truncated or altered"
            ) from None
    rows = len(segments), sum(len(segment.labels) for segment in segments)
    refuse(counts == (-1, -1), f"{path}: no line with num_segs and num_positive_labels: truncated or altered")
    refuse(
        counts != rows,
        f"{path}: {rows[0]} segments with {rows[1]} labels, where its header says {counts[0]} with {counts[1]}: "
        "truncated or altered; delete it and fetch it again",
    )
    return segments


class Ontology:
    """AudioSet's labels by their names and machine IDs.

    Args:
        path: File ``ontology.json``, or ``class_labels_indices.csv``, which does not tell what lies within a label.

    Raises:
        UserError: The file is missing, truncated or altered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        entries = _tree(path) if path.suffix == ".json" else _names(path)
        self.ids = {name: mid for mid, name, _ in entries}
        self.children = {mid: children for mid, _, children in entries}

    def within(self, labels: Sequence[str], key: str) -> dict[str, set[int]]:
        """Return which labels each machine ID belongs to.

        Args:
            labels: Display names or machine IDs.
            key: What a message calls them.

        Returns:
            Positions in ``labels`` by machine ID: of the label itself and of those that it lies within.

        Raises:
            UserError: A label is unknown, given twice or within another one.
        """
        chosen = [self._id(label, key) for label in labels]
        owners: dict[str, set[int]] = {}
        for position, mid in enumerate(chosen):
            for inner in self._below(mid):
                owners.setdefault(inner, set()).add(position)
        for position, mid in enumerate(chosen):
            for other in owners[mid] - {position}:
                raise UserError(f"{key}: {labels[position]} is or lies within {labels[other]}; leave one of them out")
        return owners

    def _id(self, label: str, key: str) -> str:
        if label in self.ids:
            return self.ids[label]
        if label in self.children:
            return label
        raise UserError(f"{key}: {self.path} has no label {label!r}{did_you_mean(label, self.ids)}")

    def _below(self, mid: str) -> Collection[str]:
        """Return a label and all labels within it."""
        found, waiting = {mid}, [mid]
        while waiting:
            new = set(self.children.get(waiting.pop(), ())) - found
            found |= new
            waiting += new
        return found


def _tree(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return machine ID, name and children of every label of ``ontology.json``."""
    try:
        return [(entry["id"], entry["name"], tuple(entry["child_ids"])) for entry in read_json(path)]
    except (TypeError, KeyError):
        raise UserError(f"{path}: not a list of labels with id, name and child_ids: altered") from None


def _names(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return machine ID and name of every label of ``class_labels_indices.csv``."""
    entries: list[tuple[str, str, tuple[str, ...]]] = []
    for number, row in _rows(path):
        refuse(len(row) != 3, f"{path}: line {number} is not index,mid,display_name: truncated or altered")
        entries.append((row[1], row[2], ()))
    return entries[1:]  # without the header


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the lines of a published table that are not empty, each with its number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            yield from ((reader.line_num, row) for row in reader if row)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no table ({error}): truncated or altered") from None
