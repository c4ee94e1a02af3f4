"""Run folders and studies in the real format, made without running anything."""

import io
import json
import math
import wave
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from aal.runs import files
from aal.studies.likeness import papers_setting

INITIAL, POOL, POISONS = 20, 1417, 100

SETTING = {
    "class_path": "aal.callbacks.PoisonInjection",
    "init_args": {
        "attack": {"class_path": "aal.attacks.CollisionAttack", "init_args": {"beta": 1e-5}},
        "n": POISONS,
        "mu": "zero",
        "screen": True,
        "balance": True,
    },
}


def make_run(
    folder: Path,
    *,
    seed: int = 0,
    head: str = "NN1",
    poisoned: bool = True,
    budget: int = POISONS,
    query_size: int = 1,
    final: float = 0.5,
    success: float = 1.0,
    pairs: bool = True,
    poison: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **summary: float | str,
) -> Path:
    """Write a finished run whose accuracy goes from 0.3 to ``final`` and which queries ``success`` of the poisons.

    ``config`` is laid over its configuration, ``summary`` over its summary.
    """
    noise = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    resolved = {"seed_everything": seed, "poison": (poison or SETTING) if poisoned else None, **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(resolved))
    rounds, found = [], 0.0
    for index in range(math.ceil(budget / query_size) + 1):
        queried = min(query_size, budget - (index - 1) * query_size) if index else 0
        labels = INITIAL + min(index * query_size, budget)
        share = (labels - INITIAL) / budget
        last = labels == INITIAL + budget
        accuracy = 0.3 + (final - 0.3) * math.sqrt(share) + (0 if last else noise.normal(0, 0.012))
        record = {"round": index, "labels": labels, "queried": queried, "accuracy": accuracy, "loss": 2 - accuracy}
        record |= {"train_loss": 0.1, "epochs": 30, "seconds_train": 0.2, "seconds_query": 0.01, "seconds": 0.25}
        if poisoned:
            before, found = found, round(success * (labels - INITIAL)) if not last else round(success * budget)
            record |= {"poison_queried": found}
            record |= {"poison_share": (found - before) / queried} if index else {}
        rounds.append(record)
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in rounds))
    numbers: dict[str, Any] = {
        "accuracy": final,
        "loss": 2 - final,
        "labels": INITIAL + budget,
        "rounds": len(rounds),
        "seed": seed,
        "data": "Digits",
        "head": head,
        "strategy": "Entropy",
        "budget": budget,
        "pool": POOL,
        "seconds": 30.0 + seed,
    }
    if poisoned:
        queried = round(success * budget)
        numbers |= {"poisons": POISONS, "poisons_queried": queried, "poison_success": queried / POISONS}
        numbers |= {"random_success": POISONS / POOL, "random_success_expected": budget / (POOL + POISONS)}
        numbers |= {"norm_initial": 9.0 + 0.1 * seed, "norm_crafted": 0.7, "norm_saved": 0.8}
        numbers |= {"squared_initial": 82.0 + seed, "squared_crafted": 0.5, "squared_saved": 0.66}
        numbers |= {"perturbation_l2": 1.2, "perturbation_linf": 0.1, "psnr": 16.5, "seconds_per_poison": 0.05}
        if pairs:
            make_poisons(folder / "poisons", seed)
    numbers |= summary
    numbers["environment"] = {"python": "3.11.7", "torch": "2.13.0", "device": "cpu", "data": {"sha256": "0123abcd"}}
    files.write_json(folder / "summary.json", numbers)
    return folder


def in_setting(table: str, name: str, of: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a configuration, and what a summary says besides, of a run with the setting of a paper's figure.

    ``of`` is what the keys begin with that are of another run, whose labels it trains on.
    """
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for key, wanted in papers_setting(table, name).items():
        if not key.startswith(of) or (not of and key.startswith("source.")):
            continue
        key = key.removeprefix(of)
        key = f"robust.untargeted.pgd{key.removeprefix('attack')}" if key.startswith("attack") else key
        first, *rest = key.split(".")
        value = wanted.get("from", wanted.get("to")) if isinstance(wanted, dict) else wanted
        value = None if isinstance(wanted, list) and None in wanted else value
        if not rest and first not in ("data", "model", "query", "poison", "retraining", "secured", "flips"):
            summary[first] = value
            continue
        place = config
        for part in (first, *rest[:-1]) if rest else ():
            place = place.setdefault(part, {"class_path": "some.Thing"}).setdefault("init_args", {})
        known = isinstance(value, str) and value[0].isupper()
        last = rest[-1] if rest else first
        place[last] = {**place.get(last, {}), "class_path": f"some.{value}"} if known else value
    return config, summary


def make_learning_run(
    folder: Path,
    accuracies: Mapping[int, float],
    *,
    seed: int = 0,
    strategy: str = "Random",
    network: str = "LeNet5",
    seconds: Mapping[int, float] | None = None,
    crafted: int = 0,
    pseudo: int = 0,
    backbone: dict[str, Any] | None = None,
    head: str | None = None,
    config: dict[str, Any] | None = None,
    **added: Any,
) -> Path:
    """Write a finished run without poison by its accuracy at each number of labels.

    ``seconds`` says how long the query with that many labels took; of each label queried there are ``crafted`` copies,
    and of each round but the first ``pseudo`` pseudo-labelled samples. A ``backbone`` with a ``head`` on it takes the
    place of the network. ``config`` is laid over its configuration, ``added`` over its summary.
    """
    folder.mkdir(parents=True)
    model = {"class_path": "aal.models.ConvClassifier", "init_args": {"network": {"class_path": f"a.{network}"}}}
    if backbone:
        model = {"class_path": "aal.models.TransferClassifier", "init_args": {"backbone": backbone}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed_everything": seed, "model": model, **(config or {})}))
    rounds: list[dict[str, Any]] = []
    before = initial = min(accuracies)
    for index, (labels, accuracy) in enumerate(sorted(accuracies.items())):
        record = {"round": index, "labels": labels, "queried": labels - before}
        counts = {"crafted": crafted * (labels - initial), "pseudo": pseudo if index else 0}
        record |= {name: count for name, count in counts.items() if count}
        record |= {"accuracy": accuracy, "loss": 2 - accuracy, "epochs": 30}
        record["seconds_query"] = (seconds or {}).get(before, 0.01) if index else 0.0
        rounds.append(record)
        before = labels
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in rounds))
    last = {key: rounds[-1][key] for key in ("accuracy", "labels", "loss")}
    summary = {**last, "rounds": len(rounds), "seed": seed, "data": "MNIST", "strategy": strategy, "seconds": 9.0}
    summary |= {"budget": before - initial, "pool": 54000 - initial, "ended_by": "budget", "environment": {}}
    summary |= ({"head": head} if head else {}) | added
    files.write_json(folder / "summary.json", summary)
    (folder / "report.html").touch()
    return folder


def make_flips_run(
    folder: Path,
    tries: Iterable[tuple[str, float | None, int, float]],
    *,
    seed: int = 0,
    clean: float = 0.8,
    config: dict[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """Write a finished run of flipped labels by selector, position, repeat and accuracy under ``pgd`` of each trial.

    Round 0 is on clean labels. Under the targeted attack ``aimed`` accuracy is 0.1 higher than under ``pgd``, and 0.05
    more are not taken for the target; natural accuracy is 0.99, of the first trial 0.98. ``summary`` is laid over the
    run's summary.
    """
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"seed_everything": seed, "flips": {"budget": 3}, **(config or {})})
    )
    rounds: list[dict[str, Any]] = []
    for index, (selector, position, repeat, pgd) in enumerate([("clean", None, 0, clean), *tries]):
        record = {"round": index, "labels": 600, "queried": 6 if index else 0, "epochs": 40, "selector": selector}
        record |= {} if position is None else {"position": position, "path_steps": 3 * position + 1}
        record |= {"repeat": repeat, "flips_memorised": 1.0} if index else {}
        record |= {"accuracy": 0.98 if index == 1 else 0.99, "loss": 0.1, "flips": 6 if index else 0, "memorised": 1}
        record |= {"robust_natural": 0.985, "robust_pgd": pgd}
        record |= {"robust_aimed": pgd + 0.1, "robust_aimed_not_target": pgd + 0.15, "seconds_robust": 1.5}
        rounds.append(record)
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in rounds))
    strategy = ", ".join(dict.fromkeys(record["selector"] for record in rounds[1:])) or "clean"
    numbers = {"accuracy": 0.99, "loss": 0.1, "labels": 600, "rounds": len(rounds), "seed": seed, "data": "MNIST"}
    numbers |= {"strategy": strategy, "budget": 6, "pool": 0, "targets": {"0": 1, "1": 0}, "not_memorised": []}
    numbers |= {"passed_over": {}, "ended_by": "selections", "seconds": 9.0, "environment": {}}
    files.write_json(folder / "summary.json", numbers | summary)
    return folder


def make_poisons(folder: Path, seed: int = 0, count: int = 12) -> None:
    """Write base/poison pairs of 8 x 8 grey images and their manifest."""
    noise = np.random.default_rng(seed)
    entries = []
    for index in range(count):
        y, x = np.mgrid[:8, :8]
        base = np.clip(255 - 70 * np.abs(np.hypot(x - 3.5, (y - 3.5) * 0.8) - 2.5), 0, 255).round()
        base = np.roll(base, index % 3, axis=1).astype(np.uint8)
        poison = np.clip(base + noise.integers(-25, 26, (8, 8)), 0, 255).astype(np.uint8)
        names = f"{index:05}_base.png", f"{index:05}_poison.png"
        for name, image in zip(names, (base, poison), strict=True):
            files.write_bytes(folder / name, png_bytes(image))
        change = (poison.astype(float) - base) / 255
        entry = {"index": POOL + INITIAL + index, "base": index, "label": index % 10}
        entry |= {"norm_initial": 9.0 + 0.1 * index, "norm_crafted": 0.7, "norm_saved": 0.8, "iterations": 300}
        entry |= {"perturbation_l2": float(np.linalg.norm(change)), "perturbation_linf": float(np.abs(change).max())}
        entry |= {"psnr": float(-10 * np.log10(np.square(change).mean()))}
        entries.append(entry | {"base_file": names[0], "poison_file": names[1]})
    files.write_json(folder / "manifest.json", {"attack": "CollisionAttack", "poisons": entries})


def png_bytes(image: np.ndarray) -> bytes:
    """Encode an image as PNG."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def make_sounds(folder: Path, count: int = 12, length: int = 1600, rate: int = 8000) -> None:
    """Write base/poison pairs of clips and their manifest: tones of 1 kHz, and of 2 kHz an eighth as loud added."""
    entries = []
    tone = np.sin(2 * np.pi * 1000 * np.arange(length) / rate), np.sin(2 * np.pi * 2000 * np.arange(length) / rate)
    for index in range(count):
        base = (8000 * tone[0]).round()
        change = (1000 * tone[1]).round()
        names = f"{index:05}_base.wav", f"{index:05}_poison.wav"
        for name, clip in zip(names, (base, base + change), strict=True):
            files.write_bytes(folder / name, wav_bytes(clip.astype(np.int16), rate))
        entry = {"index": POOL + INITIAL + index, "base": index, "label": index % 3, "class": f"tone {index % 3}"}
        entry |= {"norm_initial": 9.0 + 0.1 * index, "norm_crafted": 0.7, "norm_saved": 0.8, "iterations": 300}
        entry |= {"perturbation_l2": float(np.linalg.norm(change) / 2**15), "perturbation_linf": 1000 / 2**15}
        entry |= {"snr": float(20 * np.log10(np.linalg.norm(base) / np.linalg.norm(change)))}
        entries.append(entry | {"base_file": names[0], "poison_file": names[1]})
    files.write_json(folder / "manifest.json", {"attack": "CollisionAttack", "poisons": entries})


def wav_bytes(clip: np.ndarray, rate: int = 8000) -> bytes:
    """Encode int16 samples as a mono WAV."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(clip.astype("<i2").tobytes())
    return data.getvalue()


def make_study_file(folder: Path, **changes: object) -> Path:
    """Write a valid study of two arms over three seeds with its configs; a change of None takes the key away."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text("data: Digits\npoison:\n  mu: zero\n")
    (folder / "nn2.yaml").write_text("model: NN2\n")
    study: dict[str, Any] = {
        "name": "tiny",
        "configs": ["base.yaml"],
        "seeds": 3,
        "arms": {"clean": [{"poison": None}], "poisoned": []},
        "table": "collision",
        "rows": [{"arm": "poisoned", "against": "clean"}],
    }
    study = {key: value for key, value in {**study, **changes}.items() if value is not None}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path
