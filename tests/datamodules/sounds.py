"""Tiny data sets of noise, in the form in which Speech Commands and AudioSet are published."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000
SAMPLES = 400  # of a tiny clip
TINY = {"seconds": SAMPLES / RATE}
LABELS = {
    **{"/m/0bt9lr": "Dog", "/m/01yrx": "Cat", "/m/015p6": "Bird", "/m/09x0r": "Speech", "/m/07qf0zm": "Howl"},
    **{"/m/0342h": "Guitar", "/m/05r5c": "Piano", "/m/026t6": "Drum", "/m/03kmc9": "Siren", "/m/07jdr": "Train"},
    **{"/m/06mb1": "Rain", "/m/01j3sz": "Laughter"},
}
ONTOLOGY = {"/m/0jbk": ("Animal", ["/m/0bt9lr", "/m/01yrx", "/m/015p6"]), "/m/0bt9lr": ("Dog", ["/m/07qf0zm"])}


def noise(path: Path, seed: int, samples: int = SAMPLES) -> None:
    """Write a clip of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, samples), RATE)


def speakers(part: str) -> Iterator[str]:
    """Give speakers of a published part: the first digits of a SHA-1 of a number, taken as the rule in print has it."""
    for number in itertools.count():
        name = hashlib.sha1(str(number).encode()).hexdigest()[:8]
        share = int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2**27 / (2**27 - 1)
        if part == ("val" if share < 0.1 else "test" if share < 0.2 else "train"):
            yield name


def speech_commands(
    folder: Path, words: Sequence[str] = ("yes", "no", "up"), train: int = 20, val: int = 5, test: int = 5
) -> dict[str, Any]:
    """Write clips of some words, by speakers of every published part who say each word once."""
    home = folder / "speech_commands_v0.02"
    seeds = itertools.count()
    for part, number in (("train", train), ("val", val), ("test", test)):
        for name in itertools.islice(speakers(part), number):
            for word in words:
                noise(home / word / f"{name}_nohash_0.wav", next(seeds))
    return {"root": str(folder), "words": list(words), **TINY}


def segments(path: Path, rows: Sequence[tuple[str, float, Sequence[str]]]) -> None:
    """Write a table of segments of ten seconds: video, start and labels."""
    labels = [label for _, _, own in rows for label in own]
    lines = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        f"# num_ytids={len(rows)}, num_segs={len(rows)}, num_unique_labels={len(set(labels))}, "
        f"num_positive_labels={len(labels)}",
        "# YTID, start_seconds, end_seconds, positive_labels",
        *(f'{video}, {start:.3f}, {start + 10:.3f}, "{",".join(own)}"' for video, start, own in rows),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def ontology(path: Path) -> None:
    """Write the labels as ``ontology.json``."""
    entries = {mid: (name, []) for mid, name in LABELS.items()} | ONTOLOGY
    path.write_text(json.dumps([{"id": m, "name": n, "child_ids": c} for m, (n, c) in entries.items()], indent=2))


def names(path: Path) -> None:
    """Write the labels as ``class_labels_indices.csv``."""
    rows = [f'{index},{mid},"{name}"' for index, (mid, name) in enumerate(LABELS.items())]
    path.write_text("\n".join(["index,mid,display_name", *rows]) + "\n")


def audio_set(folder: Path, labels: Sequence[str] = tuple(LABELS)[:3]) -> dict[str, Any]:
    """Write tables and clips of some labels, by machine ID; every clip has a further label that nobody asks for."""
    seeds = itertools.count()
    for table, number in (("balanced_train", 20), ("eval", 5)):
        rows = [
            (f"{table[:4]}-_{mid[-2:]}{k:03d}", 30.0 + k, (mid, "/m/09x0r")) for k in range(number) for mid in labels
        ]
        segments(folder / "audioset" / f"{table}_segments.csv", rows)
        for video, start, _ in rows:
            noise(folder / "audioset" / "clips" / table / f"Y{video}_{start:.3f}_{start + 10:.3f}.wav", next(seeds))
    ontology(folder / "audioset" / "ontology.json")
    return {"root": str(folder), "labels": [LABELS[labels[0]], *labels[1:]], **TINY}
