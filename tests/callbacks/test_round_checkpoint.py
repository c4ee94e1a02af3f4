"""A run goes on over what it was started with, or says in one line what is another."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from aal.attacks import CollisionAttack
from aal.callbacks import PoisonInjection, QueryRounds, RoundCheckpoint, RunRecords, WholeCheckpointIO, last_checkpoint
from aal.cli.trainer import TRAINER_DEFAULTS
from aal.datamodules import ImageFolder
from aal.errors import UserError
from aal.models import TransferClassifier
from aal.networks import DenseHead, DigitBackbone
from aal.report.pairs import read_pairs
from aal.strategies import Entropy
from tests.commands import ROOT

SHIPPED = ROOT / "aal" / "networks" / "weights" / "digit_backbone.safetensors"


def run(place: Path, seed: int = 0, poisoned: bool = True) -> Path:
    """Run, or go on, over the images and with the weights in a folder; return the run's folder."""
    out = place / "run"
    trainer = pl.Trainer(
        default_root_dir=out,
        accelerator="cpu",
        logger=False,
        **TRAINER_DEFAULTS,
        plugins=[WholeCheckpointIO()],
        callbacks=[
            *([PoisonInjection(CollisionAttack(beta=0, steps=20), n=3)] if poisoned else []),
            QueryRounds(Entropy(), initial=6, budget=2, max_epochs=2),
            RunRecords(),
            RoundCheckpoint(),
        ],
    )
    backbone = DigitBackbone(weights=str(place / "weights.safetensors"))
    saved = last_checkpoint(out)
    trainer.fit(
        TransferClassifier(backbone, DenseHead(), 3),
        ImageFolder(root=str(place / "data"), size=8, gray=True, seed=seed),
        ckpt_path=saved if saved.exists() else None,
    )
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run beside its images and weights."""
    place = tmp_path_factory.mktemp("made")
    images, labels = load_digits(return_X_y=True)
    for index, (image, label) in enumerate(zip(images[:400], labels, strict=False)):
        if label < 3:
            file = place / "data" / "abc"[label] / f"{index:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image.reshape(8, 8) * 255 / 16).astype(np.uint8)).save(file)
    shutil.copy(SHIPPED, place / "weights.safetensors")
    run(place)
    return place


def first(place: Path, name: str = "a") -> Path:
    return sorted((place / "data" / name).iterdir())[0]


def other_image(path: Path) -> None:
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def other_weights(place: Path) -> None:
    tensors = load_file(place / "weights.safetensors")
    save_file({**tensors, "dense.bias": tensors["dense.bias"] + 1e-6}, place / "weights.safetensors")


def in_json(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def manifest(change: Callable[[list[dict]], object]) -> Callable[[Path], None]:
    return lambda place: in_json(place / "run/poisons/manifest.json", lambda found: change(found["poisons"]))


def larger(place: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(place / "run/poisons/00001_poison.png")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def saved_anew(place: Path) -> None:
    checkpoint = torch.load(place / "run/checkpoints/last.ckpt", weights_only=True)
    weights = checkpoint["state_dict"]
    torch.save(
        {**checkpoint, "state_dict": {name: tensor[:1] for name, tensor in weights.items()}},
        place / "run/checkpoints/last.ckpt",
    )


def of_another_run(place: Path) -> None:
    other = place.with_name("other")
    shutil.copytree(place, other)
    shutil.rmtree(other / "run")
    shutil.copy(run(other, seed=1) / "checkpoints/last.ckpt", place / "run/checkpoints/last.ckpt")


def instead(name: str) -> Callable[[Path], None]:
    """Put a folder in the place of a file."""

    def change(place: Path) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return change


POISONS, CHECKPOINT, RECORDS = "run/poisons/", "run/checkpoints/last.ckpt", "run/rounds.jsonl"
CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "an image less": (lambda place: first(place).unlink(), "holds poisons of another data"),
    "other weights": (other_weights, "holds poisons of another backbone"),
    "a class of another name": (
        lambda place: (place / "data/c").rename(place / "data/d"),
        "data, the classes: the run in .* was started with a, b, c, now there is a, b, d; put it back",
    ),
    "another poison": (lambda place: other_image(place / POISONS / "00001_poison.png"), "00001_poison.png: altered"),
    "a poison less": (lambda place: (place / POISONS / "00001_poison.png").unlink(), "00001_poison.png: no such file"),
    "another image of a base": (
        lambda place: other_image(place / POISONS / "00001_base.png"),
        "00001_base.png: altered",
    ),
    "a torn poison": (
        lambda place: cut(place / POISONS / "00001_poison.png"),
        "00001_poison.png: .*; the checkpoint was saved with it: put it back as it was, or remove .*/checkpoints, and",
    ),
    "a poison of another size": (larger, "00001_poison.png: altered"),
    "another base": (manifest(lambda rows: rows[0].update(base=rows[0]["base"] + 1)), "manifest.json: altered"),
    "another label": (
        manifest(lambda rows: rows[0].update(label=(rows[0]["label"] + 1) % 3)),
        "manifest.json: altered",
    ),
    "a label that there is not": (manifest(lambda rows: rows[0].update(label=77)), "manifest.json: altered"),
    "a row less": (manifest(lambda rows: rows.pop()), "manifest.json: altered"),
    "a row that is a list": (manifest(lambda rows: rows.insert(0, [])), "manifest.json: altered"),
    "a deep manifest": (
        lambda place: (place / POISONS / "manifest.json").write_text("[" * 9999 + "]" * 9999),
        r"manifest.json: not JSON \(nested too deeply\)",
    ),
    "no manifest": (
        lambda place: (place / POISONS / "manifest.json").unlink(),
        "needs the folder poisons/ as it left it",
    ),
    "a folder for a manifest": (
        instead(POISONS + "manifest.json"),
        r"manifest.json: cannot be read \(Is a directory\)",
    ),
    "a flipped bit": (lambda place: flipped_bit(place / CHECKPOINT), "last.ckpt: not as this run saved it"),
    "a checkpoint of other shapes": (saved_anew, "last.ckpt: not as this run saved it"),
    "the checkpoint of another run": (of_another_run, "last.ckpt: not as this run saved it"),
    "a folder for a checkpoint": (instead(CHECKPOINT), r"last.ckpt: cannot be read \(Is a directory\)"),
    "no inputs, and others": (
        lambda place: ((place / "run/inputs.json").unlink(), (place / "data/c").rename(place / "data/d")),
        "last.ckpt: not as this run saved it",
    ),
    "other inputs": (
        lambda place: in_json(place / "run/inputs.json", lambda found: found["inputs"].clear()),
        "inputs.json: altered",
    ),
    "another record": (
        lambda place: (place / RECORDS).write_text((place / RECORDS).read_text().replace("0.", "1.", 1)),
        "rounds.jsonl: cut or altered",
    ),
    "a folder for records": (instead(RECORDS), r"rounds.jsonl: cannot be read \(Is a directory\)"),
}
IMAGES: dict[str, Callable[[Path], object]] = {
    "less": lambda place: first(place).unlink(),
    "another": lambda place: other_image(first(place)),
    "of another class": lambda place: first(place).rename(place / "data/b/0.png"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_a_run_does_not_go_on_over_other_images(name: str, made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "place")
    shutil.rmtree(place / "run")
    run(place, poisoned=False)
    IMAGES[name](place)
    line = r"data, the split \w+: the run in .* was started with \d+ samples, SHA-256 .*, now there is \d+ samples, "
    with pytest.raises(UserError, match=line):
        run(place, poisoned=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_run_does_not_go_on_over_anything_else(name: str, made: Path, tmp_path: Path) -> None:
    change, said = CHANGES[name]
    place = shutil.copytree(made, tmp_path / "place")
    change(place)
    with pytest.raises(UserError, match=said) as refused:
        run(place)
    assert "\n" not in str(refused.value)


def test_other_weights_are_named_where_nothing_was_crafted_of_them(made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "place")
    shutil.rmtree(place / "run")
    run(place, poisoned=False)
    other_weights(place)
    with pytest.raises(UserError, match=r"model, its pre-trained weights: the run in .* was started with "):
        run(place, poisoned=False)


def test_a_run_goes_on_elsewhere(made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(made, tmp_path / "place")
    ledger = (place / "run/ledger.csv").read_bytes()
    (place / "run/ledger.csv").unlink()
    assert (run(place) / "ledger.csv").read_bytes() == ledger


def test_a_torn_poison_is_crafted_again_where_no_checkpoint_was_saved_with_it(made: Path, tmp_path: Path) -> None:
    """As the line says that refuses one where there is a checkpoint."""
    place = shutil.copytree(made, tmp_path / "place")
    poison, ledger = place / POISONS / "00001_poison.png", (place / "run/ledger.csv").read_bytes()
    whole = poison.read_bytes()
    cut(poison)
    shutil.rmtree(place / "run/checkpoints")
    assert (run(place) / "ledger.csv").read_bytes() == ledger
    assert poison.read_bytes() == whole


@pytest.mark.parametrize("kind", ["base", "poison"])
def test_a_report_shows_no_pair_that_was_altered(kind: str, made: Path, tmp_path: Path) -> None:
    out = shutil.copytree(made / "run", tmp_path / "run")
    assert len(read_pairs(out, 3)) == 3
    other_image(out / f"poisons/00002_{kind}.png")
    with pytest.raises(UserError, match=rf"poisons\[2\]: 00002_{kind}.png was altered since it was written"):
        read_pairs(out, 3)
