"""Speech Commands: single spoken words by many speakers."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from aal.checks import refuse
from aal.data.audio import SUFFIXES
from aal.data.downloads import fetch, unpack
from aal.data.samples import Samples
from aal.datamodules.choice import distinct
from aal.datamodules.published import SPLITS
from aal.datamodules.recordings import Recordings, first_of_each
from aal.runs.files import PARTIAL

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
FOLDER = "speech_commands_v0.02"
ARCHIVE = f"{FOLDER}.tar.gz"
SHA256 = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
PARTS = {"train": "training", "val": "validation", "test": "testing"}
HASHES = 2**27  # the publisher's MAX_NUM_WAVS_PER_CLASS is one less


class SpeechCommands(Recordings):
    """Spoken words of a second, ``(16000,)`` in [-1, 1]: 105,829 clips of 35 words by 2,618 speakers.

    Clips are ``<speaker>_nohash_<n>.wav`` (or FLAC or OGG) in a folder a word, in ``root/speech_commands_v0.02`` or in
    ``root`` itself. The published parts are those of the publisher's rule, which hashes the speaker.
    Source: Warden, "Speech Commands", version 2, section 7. The ten words that are the default are those that paper
    *collision* calls AudioSet 10.

    Args:
        words: Which words, in the order of their labels.
        seconds: Length of a clip.
        options: Arguments of :class:`Recordings`. With ``test: held_out`` the parts are one, stratified; so they are
            with ``test: speakers``, which splits them 80/10/10 too, but keeps each speaker in one split, ``val`` and
            ``secured`` among them. With ``test: published`` pool and craft are of the training part, and there is a
            split ``val``, the validation part.

    Raises:
        UserError: Words named twice, or fewer than two; else as of :class:`Recordings`.
    """

    divisions: ClassVar[dict[str, dict[str, float]]] = SPLITS | {"speakers": SPLITS["held_out"]}
    source = f"http://download.tensorflow.org/data/{ARCHIVE}"

    def __init__(self, words: Sequence[str] = WORDS, seconds: float = 1.0, **options: Any) -> None:
        super().__init__(seconds, **options)
        self.classes, self.num_classes = distinct(words, "words"), len(words)
        for word in words:
            refuse(not word or Path(word).name != word or word.startswith("_"), f"words: no word is called {word!r}")

    def files(self, part: str) -> tuple[str, ...]:
        """Return the folders of the words."""
        itself = any((Path(self.root) / word).is_dir() for word in self.classes)
        inside = (Path(self.root) / FOLDER).is_dir() or not itself
        return tuple(f"{FOLDER}/{word}" if inside else word for word in self.classes)

    def fetch(self, absent: Sequence[str]) -> None:
        """Fetch the archive and unpack it, unless its folder is there already."""
        root = Path(self.root)
        if (root / FOLDER).exists():
            return
        fetch(self.source, root / ARCHIVE, f"sha256:{SHA256}")
        with tempfile.TemporaryDirectory(prefix=".", suffix=PARTIAL, dir=root) as folder:
            unpacked = Path(folder) / FOLDER
            unpacked.mkdir()
            unpack(root / ARCHIVE, unpacked)
            unpacked.rename(root / FOLDER)

    def load(self) -> dict[str, tuple[Samples, Tensor]]:
        """Return the splits, if all folders are there."""
        splits = super().load()
        return splits | {"val": self.read("val")} if self.test == "published" else splits

    def read(self, part: str) -> tuple[Samples, Tensor]:
        """Read a part.

        Args:
            part: ``train``, ``val`` or ``test`` where ``test: published`` was asked for, else only ``train``, which is
                then all clips.
        """
        found = [
            (path, label)
            for label, folder in enumerate(self.files(part))
            for path in sorted((Path(self.root) / folder).iterdir())
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        ]
        if self.test == "published":
            found = [(path, label) for path, label in found if published_part(speaker(path)) == part]
        samples, labels, paths = self.clips(found, part)
        self._speakers = [speaker(path) for path in paths]
        return samples, labels

    def where(self, part: str, name: str) -> str:
        """Return where a word has no clips."""
        published = f"in the published {PARTS[part]} part; test: speakers splits what is there"
        return published if self.test == "published" else "in its folder"

    def divide(
        self, samples: Samples, labels: Tensor, shares: dict[str, float], groups: Tensor | None = None
    ) -> dict[str, tuple[Samples, Tensor]]:
        """Split what was read last, with ``test: speakers`` by speaker."""
        if self.test == "speakers":
            groups = first_of_each(self._speakers)
        return super().divide(samples, labels, shares, groups)


def speaker(path: Path) -> str:
    """Return who speaks in a file ``<speaker>_nohash_<n>.wav``."""
    return path.name.split("_nohash_")[0]


def published_part(name: str) -> str:
    """Return the published part of a speaker: ``val`` for about 10 % of them, ``test`` for 10 %, else ``train``.

    Source: the function ``which_set`` in the README of the data set.

    Args:
        name: The speaker, as at the beginning of the file's name.
    """
    number = int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16)
    percentage = number % HASHES * (100 / (HASHES - 1))
    return "val" if percentage < 10 else "test" if percentage < 20 else "train"
