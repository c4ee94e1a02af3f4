"""Poisons as they are on disk: images and sound, read back, beside what the manifest and the summary say of them."""

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from aal.attacks import Attack, CollisionAttack
from aal.callbacks import PoisonInjection, QueryRounds, RoundCheckpoint, RunRecords, WholeCheckpointIO, last_checkpoint
from aal.cli.trainer import TRAINER_DEFAULTS
from aal.data.samples import AudioSamples, ImageSamples
from aal.errors import UserError
from aal.features import key as feature_key
from aal.models import TransferClassifier
from aal.networks import DenseHead
from aal.poisons.poison_folder import KIND, PoisonFolder
from aal.runs.files import write_sealed
from aal.strategies import Entropy
from tests import sounds
from tests.commands import fit, results
from tests.sounds import CLASSES, RATE, Ear, Halve, Tones


def sound_run(out: Path, attack: Attack, bank: str | None = None, saved: Path | None = None) -> Path:
    """Craft from tones, query four labels, and leave what a run leaves."""
    data = Tones(seed=1, bank=bank)
    trainer = pl.Trainer(
        default_root_dir=out,
        accelerator="cpu",
        logger=False,
        **TRAINER_DEFAULTS,
        plugins=[WholeCheckpointIO()],
        callbacks=[
            PoisonInjection(attack, n=12),
            QueryRounds(Entropy(), initial=6, budget=4, max_epochs=3),
            RunRecords(),
            RoundCheckpoint(),
        ],
    )
    trainer.fit(TransferClassifier(Ear(), DenseHead(), CLASSES), data, ckpt_path=saved)
    return out


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose samples are sound."""
    return sound_run(tmp_path_factory.mktemp("sound") / "run", CollisionAttack(beta=0, steps=60))


def rows(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / "poisons" / "manifest.json").read_text())["poisons"]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def clip(path: Path) -> np.ndarray:
    """Read a clip as floats, with nothing of the package."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float) / 2**15


def test_figures_of_sound_are_of_the_clips_on_disk(sound: Path) -> None:
    data, ear, listed = Tones(seed=1), Ear(), rows(sound)
    data.setup("fit")
    assert len(listed) == 12
    silent = 0
    for row in listed:
        base, poison = (clip(sound / "poisons" / row[key]) for key in ("base_file", "poison_file"))
        change = poison - base
        assert np.array_equal(base, data.samples["craft"][torch.tensor([row["base"]])][0].double().numpy())
        assert row["perturbation_l2"] == pytest.approx(np.sqrt((change**2).sum()))
        assert row["perturbation_linf"] == pytest.approx(np.abs(change).max())
        if base.any():
            assert row["snr"] == pytest.approx(10 * np.log10((base**2).sum() / (change**2).sum()))
        else:
            silent += 1
            assert row["snr"] is None
        with torch.no_grad():
            after = ear(torch.tensor(poison).float()[None]).norm()
        assert row["norm_saved"] == pytest.approx(float(after), rel=1e-4, abs=1e-7)
        assert row["class"] == data.classes[row["label"]]
        assert "psnr" not in row
    assert 0 < silent < 12
    heard = [row["snr"] for row in listed if row["snr"] is not None]
    found = summary(sound)
    assert found["snr"] == pytest.approx(np.mean(heard))
    assert found["perturbation_l2"] == pytest.approx(np.mean([row["perturbation_l2"] for row in listed]))
    assert found["perturbation_linf"] == pytest.approx(np.mean([row["perturbation_linf"] for row in listed]))
    assert found["norm_saved"] < 0.5 * found["norm_initial"], "no collision in 16 bits"
    assert {row["label"] for row in listed} == set(range(CLASSES))


def test_the_ratio_is_of_what_was_changed(tmp_path: Path) -> None:
    run = sound_run(tmp_path / "run", Halve())  # the change is as large as the poison
    found = [row["snr"] for row in rows(run) if row["snr"] is not None]
    assert found == pytest.approx([20 * np.log10(2)] * 11, abs=0.01)
    assert summary(run)["snr"] == pytest.approx(20 * np.log10(2), abs=0.01)


def test_an_attack_that_changes_nothing_has_no_ratio(tmp_path: Path) -> None:
    run = sound_run(tmp_path / "run", Halve(rest=True))
    assert [row["snr"] for row in rows(run)] == [None] * 12
    assert summary(run)["snr"] is None
    assert summary(run)["perturbation_l2"] == summary(run)["perturbation_linf"] == 0
    assert "SNR: unchanged" in (run / "report.html").read_text()


def test_the_report_shows_clips_to_look_at_and_to_listen_to(sound: Path) -> None:
    page = (sound / "report.html").read_text()
    assert page.count("<audio") == 2 * 9
    for text in ("mean SNR of poison", "/32,768", "middle", "before saving"):
        assert text in page
    assert (sound / "figures" / "pairs.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_does_not_go_on_without_its_poisons(sound: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(sound, run)
    (run / "poisons" / "manifest.json").unlink()
    with pytest.raises(UserError, match="needs the folder poisons/ as it left it"):
        sound_run(run, CollisionAttack(beta=0, steps=60), saved=last_checkpoint(run))


def test_finished_poisons_are_taken_from_the_manifest(sound: Path) -> None:
    recipe = json.loads((sound / "poisons" / "manifest.json").read_text())["recipe"]
    data = Tones(seed=1)
    data.setup("fit")
    folder = PoisonFolder(sound / "poisons", data.samples["craft"], recipe)
    assert folder.rows == rows(sound)
    assert folder.mean("snr") == summary(sound)["snr"]
    assert int(folder.column("snr").isnan().sum()) == sum(row["snr"] is None for row in folder.rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["poisons"][3].pop("perturbation_l2"),
        lambda found: found["poisons"][0].update(snr="loud"),
        lambda found: found["poisons"][0].update(poison_file="../../elsewhere.wav"),
        lambda found: found["poisons"].insert(0, 3),
        lambda found: found.pop("recipe"),
        lambda found: found.update(poisons={}),
        lambda found: found.pop("sha256"),
    ],
)
def test_a_manifest_that_was_altered_is_one_line(
    change: Callable[[dict[str, Any]], object], sound: Path, tmp_path: Path
) -> None:
    found = json.loads((sound / "poisons" / "manifest.json").read_text())
    recipe = dict(found["recipe"])
    change(found)
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(
        UserError, match=r"manifest\.json: altered since it was written, or not the manifest of"
    ) as caught:
        PoisonFolder(tmp_path, AudioSamples(torch.zeros(1, 2000).short(), RATE), recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("base", "x", "base of poison 2 is no number but 'x'"),
        ("base", 1_000_000, r"poison 2 has the base 1e\+06, which there is not"),
        ("label", 77, "poison 2 has the label 77, which there is not"),
        ("label", 0.5, "poison 2 has the label 0.5, which there is not"),
    ],
)
def test_what_a_manifest_says_is_of_the_data(
    column: str, value: object, said: str, sound: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(sound, tmp_path / "run")
    found = json.loads((run / "poisons" / "manifest.json").read_text())
    del found["sha256"]
    found["poisons"][2][column] = value
    write_sealed(run / "poisons" / "manifest.json", KIND, found)
    with pytest.raises(UserError, match=rf"manifest\.json: {said}"):
        sound_run(run, CollisionAttack(beta=0, steps=60), saved=last_checkpoint(run))


@pytest.mark.parametrize(
    ("size", "mode", "said"),
    [(9, "RGB", r"has the shape \(3, 9, 9\), samples have"), (8, "I;16", "not an 8-bit")],
)
def test_a_poison_of_another_size_or_depth_is_named(size: int, mode: str, said: str, tmp_path: Path) -> None:
    x = torch.rand(2, 3, 8, 8)
    folder = PoisonFolder(tmp_path, ImageSamples((x * 255).byte()), {})
    folder.write(0, x, x)
    Image.new(mode, (size, size)).save(tmp_path / folder.name(1, "poison"))
    folder.record({"label": torch.zeros(2)}, None, write=True)
    with pytest.raises(UserError, match=rf"00001_poison\.png: {said}"):
        folder.read(0, 2)


def test_poisons_of_another_recipe_are_refused_by_its_words(sound: Path) -> None:
    recipe = json.loads((sound / "poisons" / "manifest.json").read_text())["recipe"]
    with pytest.raises(UserError, match="holds poisons of another mu, seed; choose another --out"):
        PoisonFolder(
            sound / "poisons", AudioSamples(torch.zeros(1, 2000).short(), RATE), recipe | {"mu": "one", "seed": 7}
        )


@pytest.mark.slow
def test_runs_that_share_a_bank_craft_once(tmp_path: Path) -> None:
    bank, nn2 = f"--data.init_args.bank={tmp_path / 'bank'}", "--model.init_args.head.hidden=8"
    runs = {"nn1": (bank,), "nn2": (bank, nn2), "alone": (nn2,), "one": (bank, "--poison.init_args.mu=one")}
    for name, arguments in runs.items():
        run = fit(tmp_path / name, *arguments)
        assert run.returncode == 0, run.stderr
    seconds = {name: [row["seconds"] for row in rows(tmp_path / name)] for name in runs}
    assert seconds["nn2"] == seconds["nn1"], "the seconds are those of the run that crafted them"
    assert seconds["alone"] != seconds["nn1"]
    assert results(tmp_path / "nn2") == results(tmp_path / "alone"), "where they are from changes nothing"
    left = sorted((tmp_path / "bank").glob("poisons-*"))
    assert len(left) == 2, "another recipe, other poisons"
    assert not list((tmp_path / "bank").glob(".poisons-*"))
    for folder in left:
        (folder / "00003_poison.png").write_bytes((folder / "00004_poison.png").read_bytes())
    run = fit(tmp_path / "again", bank, nn2)
    assert run.returncode == 0, run.stderr
    assert "poisons left by another run are damaged" in run.stderr
    assert results(tmp_path / "again") == results(tmp_path / "alone")


def left_by(folder: Path, attack: Attack) -> list[Path]:
    """Run into a bank; return what poisons are in it then."""
    sound_run(folder / f"run{len(list(folder.glob('run*')))}", attack, bank=str(folder / "bank"))
    return sorted((folder / "bank").glob("poisons-*"))


def test_other_code_of_an_attack_makes_other_poisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "faded.py"
    code = Path(sounds.__file__).read_text()
    source.write_text(code)
    found = feature_key.inspect.getsourcefile  # torch, too, asks it where it imports

    def moved(kind: object) -> str | None:
        return str(source) if getattr(kind, "__module__", "") == Halve.__module__ else found(kind)

    monkeypatch.setattr(feature_key.inspect, "getsourcefile", moved)
    assert len(left_by(tmp_path, Halve())) == 1
    assert len(left_by(tmp_path, Halve())) == 1
    source.write_text(code + "# another\n")
    assert len(left_by(tmp_path, Halve())) == 2


@pytest.mark.parametrize("harm", ["missing", "altered", "elsewhere", "no manifest"])
def test_damaged_poisons_are_not_taken(harm: str, sound: Path, tmp_path: Path) -> None:
    recipe = json.loads((sound / "poisons" / "manifest.json").read_text())["recipe"]
    samples, place = AudioSamples(torch.zeros(0, 2000, dtype=torch.int16), RATE), tmp_path / "left"
    PoisonFolder(sound / "poisons", samples, recipe).leave(place)
    whole = PoisonFolder(tmp_path / "whole", samples, recipe)
    assert whole.adopt(place)
    assert torch.equal(whole.read(0, 12), PoisonFolder(sound / "poisons", samples, recipe).read(0, 12))
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"mine")
    if harm == "missing":
        (place / "00005_poison.wav").unlink()
    elif harm == "altered":
        (place / "00005_poison.wav").write_bytes((place / "00006_poison.wav").read_bytes())
    elif harm == "elsewhere":
        manifest = (place / "manifest.json").read_text()
        (place / "manifest.json").write_text(manifest.replace("00005_poison.wav", "../outside.wav"))
    else:
        (place / "manifest.json").unlink()
    folder = PoisonFolder(tmp_path / "run", samples, recipe)
    with pytest.warns(UserWarning, match="damaged"):
        assert not folder.adopt(place)
    assert not folder.rows
    assert not (tmp_path / "run").exists()
    assert outside.read_bytes() == b"mine"
    assert not place.exists(), "the next run would be told of it again"
