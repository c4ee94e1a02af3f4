"""Clips in a report: spectrograms in closed form, what is embedded, and files that are not clips."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aal.errors import UserError
from aal.report.page import LONGEST_SOUND
from aal.report.pair_figures import (
    COLUMNS,
    RANGE,
    scale_figure,
    sounds_figure,
    spectrogram,
    spectrogram_figure,
    spectrograms,
)
from aal.report.pairs import read_pairs
from aal.report.run_page import write_run_report
from aal.report.style import render
from tests.report.test_pages import Page, assert_self_contained
from tests.studies.made_runs import make_poisons, make_run, make_sounds, wav_bytes

RATE = 8000


def tone(hertz: float, amplitude: float, length: int = 4000, rate: int = RATE) -> torch.Tensor:
    return (amplitude * 2**15 * (2 * torch.pi * hertz * torch.arange(length) / rate).sin()).round()


@pytest.mark.parametrize("amplitude", [1.0, 0.1])
@pytest.mark.parametrize("hertz", [500, 1250, 3000])
def test_a_tone_is_as_loud_as_it_is_and_where_it_is(hertz: float, amplitude: float) -> None:
    shown = spectrogram(tone(hertz, amplitude), RATE)
    assert (shown.seconds, shown.highest) == (0.5, 4.0)
    rows, columns = shown.levels.shape
    inner = shown.levels[:, columns // 10 : -columns // 10]
    loudest = inner.argmax(0)
    assert (loudest == round(hertz / 4000 * (rows - 1))).all()
    assert torch.allclose(inner.amax(0), torch.tensor(20 * math.log10(amplitude)), atol=0.05)
    far = (torch.arange(rows) - loudest[0]).abs() > 3
    assert (inner[far] < inner.amax() - 40).all()


def test_a_click_is_at_its_time() -> None:
    clip = torch.zeros(4000)
    clip[3000] = 2**15
    shown = spectrogram(clip, RATE)
    assert shown.levels.mean(0).argmax() * shown.hop == pytest.approx(3000 / RATE, abs=shown.hop)


@pytest.mark.parametrize(("length", "rate"), [(1, 16000), (31, 8000), (16000, 16000), (441000, 44100), (10**6, 1)])
def test_any_clip_has_a_spectrogram_of_bounded_size(length: int, rate: int) -> None:
    shown = spectrogram(torch.zeros(length), rate)
    assert shown.levels.isfinite().all()
    assert shown.levels.shape[1] <= COLUMNS + 1
    assert shown.levels.shape[0] <= 2049
    last = (shown.levels.shape[1] - 1) * shown.hop
    assert 0 <= shown.seconds - last <= shown.hop + 1e-9, "columns from the first sample to the last"


def test_all_spectrograms_share_one_scale_and_the_difference_is_that_of_the_clips(tmp_path: Path) -> None:
    make_sounds(tmp_path / "poisons", count=2)
    pairs = read_pairs(tmp_path, 2)
    shown, scale = spectrograms(pairs)
    assert scale.vmax == pytest.approx(20 * math.log10(8000 / 2**15), abs=0.2)
    assert scale.vmax - scale.vmin == RANGE
    for base, poison, difference in shown:
        middle = base.levels.shape[1] // 2
        quarter, half = (base.levels.shape[0] - 1) // 4, (base.levels.shape[0] - 1) // 2
        for one, low, high in ((base, 8000, 0), (poison, 8000, 1000), (difference, 0, 1000)):
            for row, amplitude in ((quarter, low), (half, high)):
                level = float(one.levels[row, middle])
                wanted = 20 * math.log10(max(amplitude, 1e-3) / 2**15)
                assert level == pytest.approx(wanted, abs=0.2) if amplitude else level < -70
    figure = sounds_figure(pairs)
    axes = [one for one in figure.axes if one.images]
    assert len(axes) == 6
    assert {id(one.images[0].norm) for one in axes} == {id(axes[0].images[0].norm)}
    assert "tone" in axes[0].get_title(loc="left")
    assert "SNR 18.1 dB" in axes[2].get_title(loc="left")
    assert (axes[0].get_xlim(), axes[0].get_ylim()) == ((0, 0.2), (0, 4))
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("s", "kHz")
    for drawn in (figure, spectrogram_figure(shown[0][0], scale), scale_figure(scale)):
        assert render(drawn) == render(drawn)


def test_what_is_said_of_a_pair_of_clips(tmp_path: Path) -> None:
    make_sounds(tmp_path / "poisons", count=1)
    (pair,) = read_pairs(tmp_path, 1)
    assert pair.is_sound
    assert pair.title == "tone 0"
    assert pair.change.startswith("SNR 18.1 dB, ‖δ‖∞ = 1,000/32,768, ‖δ‖₂ = 0.86")
    assert pair.distances == "‖f-μ‖ 9 → 0.8 (0.7 before saving)"
    assert replace(pair, ratio=None).change.startswith("no SNR: the base is silent")
    assert replace(pair, ratio=None, figures={**pair.figures, "perturbation_l2": 0.0}).change.startswith(
        "SNR: unchanged"
    )


@pytest.mark.slow
def test_clips_are_in_the_page_as_they_are_on_disk(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", pairs=False, snr=18.1)
    make_sounds(folder / "poisons", count=3)
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert_self_contained(page)
    assert "media-src data:" in page.source
    wanted = [(folder / "poisons" / f"{k:05}_{kind}.wav").read_bytes() for k in range(3) for kind in ("base", "poison")]
    assert page.sounds == wanted
    for text in ("tone 2", "SNR 18.1 dB", "1,000/32,768", "‖f-μ‖ 9.2 → 0.8", "dB"):
        assert text in page.text
    assert (folder / "figures" / "pairs.png").exists()
    first = page.source
    write_run_report(folder)
    assert (folder / "report.html").read_text() == first


def test_long_clips_are_named_and_not_in_the_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", pairs=False)
    make_sounds(folder / "poisons", count=1, length=LONGEST_SOUND // 2)  # and the header: just too long
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert page.sounds == []
    assert "base: poisons/00000_base.wav" in page.text
    assert "poison: poisons/00000_poison.wav" in page.text


def change_one(folder: Path, change: dict[str, object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["poisons"][0] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        {"base_file": "cut.wav"},
        {"base_file": "header.wav"},
        {"base_file": "chunk.wav"},
        {"base_file": "empty.wav"},
        {"base_file": "stereo.wav"},
        {"base_file": "slower.wav"},
        {"base_file": "shorter.wav"},
        {"base_file": "image.png"},
        {"base_file": "../secret.wav"},
        {"base_file": "link.wav"},
        {"snr": "loud"},
    ],
)
def test_files_that_are_no_clips_are_named(tmp_path: Path, change: dict[str, object]) -> None:
    folder = tmp_path / "poisons"
    make_sounds(folder, count=1)
    whole = (folder / "00000_base.wav").read_bytes()
    (tmp_path / "secret.wav").write_bytes(whole)
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "cut.wav").write_bytes(whole[:-10])
    (folder / "header.wav").write_bytes(whole[:20])
    (folder / "chunk.wav").write_bytes(whole[:12] + b"junk" + (10**6).to_bytes(4, "little") + whole[12:])
    (folder / "empty.wav").write_bytes(wav_bytes(np.zeros(0, np.int16)))
    (folder / "stereo.wav").write_bytes(whole[:22] + b"\x02\x00" + whole[24:])
    (folder / "slower.wav").write_bytes(wav_bytes(np.zeros(1600, np.int16), 4000))
    (folder / "shorter.wav").write_bytes(wav_bytes(np.zeros(1599, np.int16)))
    make_poisons(tmp_path / "images", count=1)
    (folder / "image.png").write_bytes((tmp_path / "images" / "00000_base.png").read_bytes())
    change_one(folder, change)
    with pytest.raises(UserError, match=r"manifest\.json: poisons\[0\]"):
        read_pairs(tmp_path, 1)


def test_images_and_sound_in_one_manifest_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "poisons"
    make_poisons(folder, count=1)
    image = json.loads((folder / "manifest.json").read_text())["poisons"]
    make_sounds(folder, count=1)
    sound = json.loads((folder / "manifest.json").read_text())["poisons"]
    (folder / "manifest.json").write_text(json.dumps({"poisons": image + sound}))
    with pytest.raises(UserError, match="some of the poisons are images and some are sound"):
        read_pairs(tmp_path, 2)


def test_samples_that_are_neither_are_a_sentence_of_the_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for path in (folder / "poisons").glob("*.png"):
        path.write_bytes(b"\x10" + bytes(100))
    write_run_report(folder)
    text = Page(folder / "report.html").text
    assert "The pairs cannot be shown" in text
    assert "neither a PNG image nor a WAV clip" in text
    assert not (folder / "figures" / "pairs.png").exists()
