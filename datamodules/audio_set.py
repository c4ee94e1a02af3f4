"""AudioSet: pieces of ten seconds of videos, with labels of what is heard."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from aal.checks import refuse
from aal.data.audio import SUFFIXES
from aal.data.samples import Samples
from aal.datamodules.published import distinct
from aal.datamodules.recordings import Recordings
from aal.datamodules.segments import Ontology, Segment, read_segments

FOLDER = "audioset"
LABELS = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"
ONTOLOGY_SOURCE = "https://raw.githubusercontent.com/audioset/ontology/master/"
TABLES_SOURCE = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
SHOWN = 3  # names of missing clips in a message


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
        tables = (Path(self.root) / self.files(part)[0]).parent
        folder = tables if self.clip_folder is None else Path(self.clip_folder)
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
    for place, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix.lower() in SUFFIXES:
                found.setdefault(stem, Path(place) / file)
    return found
