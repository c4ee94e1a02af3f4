"""AudioSet: pieces of ten seconds of videos, with labels of what is heard, and the published tables of both."""

import csv
import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from aal.checks import refuse
from aal.data.audio import SUFFIXES
from aal.data.decoding import files_below
from aal.data.samples import Samples
from aal.datamodules.choice import distinct
from aal.datamodules.recordings import Recordings
from aal.errors import UserError, did_you_mean
from aal.runs.files import read_json

FOLDER = "audioset"
LABELS = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"
ONTOLOGY_SOURCE = "https://raw.githubusercontent.com/audioset/ontology/master/"
TABLES_SOURCE = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
SHOWN = 3  # names of missing clips in a message
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
        chosen = [self.ids.get(label, label) for label in labels]
        for label, mid in zip(labels, chosen, strict=True):
            if mid not in self.children:
                raise UserError(f"{key}: {self.path} has no label {label!r}{did_you_mean(label, self.ids)}")
        owners: dict[str, set[int]] = {}
        for position, mid in enumerate(chosen):
            for inner in self._below(mid):
                owners.setdefault(inner, set()).add(position)
        for position, mid in enumerate(chosen):
            for other in owners[mid] - {position}:
                raise UserError(f"{key}: {labels[position]} is or lies within {labels[other]}; leave one of them out")
        return owners

    def _below(self, mid: str) -> Collection[str]:
        """Return a label and all labels within it."""
        found, waiting = {mid}, [mid]
        while waiting:
            new = set(self.children.get(waiting.pop(), ())) - found
            found |= new
            waiting += new
        return found


class AudioSet(Recordings):
    """Clips of ten seconds, ``(160000,)`` in [-1, 1], each with exactly one of some labels of AudioSet's ontology.

    The published tables lie in ``root/audioset`` or in ``root`` itself: ``balanced_train_segments.csv`` (or
    unbalanced), ``eval_segments.csv`` for ``test: published``, and ``ontology.json``. A label stands for the labels
    within it too; not so where there is ``class_labels_indices.csv`` instead of the ontology. ``download`` fetches
    these, which come without checksums: their own counts are checked. The clips are YouTube's and cannot be fetched.

    A clip is a file of just the segment, such as ``<YTID>.wav``, ``Y<YTID>.flac``, ``<YTID>_30000.ogg`` or
    ``<YTID>_30.000_40.000.wav``, anywhere below ``clips``. Segments without a clip, and those with several of the
    labels, are left out and named in ``skipped``.

    Source: Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017.

    Args:
        labels: Display names, such as ``Dog``, or machine IDs, such as ``/m/0bt9lr``, in the order of their classes.
        clips: Folder of the clips; ``null`` for that of the tables.
        segments: Which table the training part is.
        seconds: Length of a clip.
        options: Arguments of :class:`Recordings`. With ``strict`` a segment without a clip is an error, too.

    Raises:
        UserError: Labels named twice, or fewer than two; else as of :class:`Recordings`.
    """

    source = "https://research.google.com/audioset"

    def __init__(
        self,
        labels: Sequence[str],
        clips: str | None = None,
        segments: Literal["balanced_train", "unbalanced_train"] = "balanced_train",
        seconds: float = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(seconds, **options)
        self.classes, self.num_classes = distinct(labels, "labels"), len(labels)
        self.clip_folder = clips
        self.tables = {"train": f"{segments}_segments.csv", "test": "eval_segments.csv"}
        self._on_disk: dict[str, Path] = {}

    def files(self, part: str) -> tuple[str, ...]:
        """Return the file of the labels, and the table."""
        root = Path(self.root)
        inside = "" if any((root / file).exists() for file in (ONTOLOGY, LABELS, self.tables[part])) else f"{FOLDER}/"
        names = next((file for file in (ONTOLOGY, LABELS) if (root / inside / file).exists()), ONTOLOGY)
        return (f"{inside}{names}", f"{inside}{self.tables[part]}")

    def address(self, name: str) -> tuple[str, None]:
        """Return where a table is given; the clips are for the user to bring."""
        return (ONTOLOGY_SOURCE if name == ONTOLOGY else TABLES_SOURCE) + name, None

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read the clips of a part."""
        samples, labels, _ = self.clips(self._present(self._asked(part), part), part)
        return samples, labels

    def where(self, part: str, name: str) -> str:
        """Return which table a class lacks clips of."""
        return f"in {self.tables[part]}"

    def _asked(self, part: str) -> list[tuple[Segment, int]]:
        """Return the segments of a part that have exactly one of the labels, each with its class."""
        names, table = (Path(self.root) / file for file in self.files(part))
        ontology = Ontology(names)
        within = ontology.within(self.classes, "labels")
        asked = []
        for segment in read_segments(table):
            for label in segment.labels:
                refuse(
                    label not in ontology.children,
                    f"{names}: lacks the label {label} that {table} has: truncated or altered",
                )
            own = set[int]().union(*(within.get(label, ()) for label in segment.labels))
            if len(own) == 1:
                asked.append((segment, own.pop()))
            elif own:
                self.skipped[segment.name] = "labelled " + " and ".join(self.classes[label] for label in sorted(own))
        return asked

    def _present(self, asked: list[tuple[Segment, int]], part: str) -> list[tuple[Path, int]]:
        """Return the files of those segments that there are files of."""
        folder = (Path(self.root) / self.files(part)[0]).parent if self.clip_folder is None else Path(self.clip_folder)
        self._on_disk = self._on_disk or sounds(folder)
        stems = [next((stem for stem in segment.stems() if stem in self._on_disk), None) for segment, _ in asked]
        found = [
            (self._on_disk[stem], label) for stem, (_, label) in zip(stems, asked, strict=True) if stem is not None
        ]
        missing = [segment.name for stem, (segment, _) in zip(stems, asked, strict=True) if stem is None]
        names = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        refuse(
            missing and (self.strict or not found),
            f"clips: {len(missing)} of the {len(asked)} clips of {self.tables[part]} are not below "
            f"{folder}: {names}; they are YouTube's and cannot be fetched here: put <YTID>.wav there"
            + (", or set strict: false" if found else ""),
        )
        self.skipped |= dict.fromkeys(missing, f"no such clip below {folder}")
        return found


def sounds(folder: Path) -> dict[str, Path]:
    """Return the sound files anywhere below a folder by their names without suffix; of several the first by path.

    Raises:
        UserError: There is no such folder.
    """
    refuse(not folder.is_dir(), f"clips: there is no folder {folder}")
    found: dict[str, Path] = {}
    for path in files_below(folder):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, path)
    return found


def _tree(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return machine ID, name and children of every label of ``ontology.json``."""
    try:
        return [(entry["id"], entry["name"], tuple(entry["child_ids"])) for entry in read_json(path)]
    except (TypeError, KeyError):
        raise UserError(f"{path}: not a list of labels with id, name and child_ids: altered") from None


def _names(path: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return machine ID and name of every label of ``class_labels_indices.csv``."""
    rows = list(_rows(path))
    for number, row in rows:
        refuse(len(row) != 3, f"{path}: line {number} is not index,mid,display_name: truncated or altered")
    return [(mid, name, ()) for _, (_, mid, name) in rows[1:]]  # without the header


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
