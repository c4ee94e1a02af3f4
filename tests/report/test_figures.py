"""Figures: what they draw is what the records say."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from aal.errors import UserError
from aal.report.curves import Panel, accuracy_figure, expected_share, poison_curve, poison_figure, record_curve
from aal.report.features import SHOWN, features_figure, principal_components
from aal.report.pair_figures import amplified, images_figure, png
from aal.report.pairs import FIGURES, read_pairs
from aal.report.style import PALETTE, POISON, render
from aal.runs.reading import Run, read_run
from aal.studies.study import Row, Study
from aal.studies.study_page import arm_colours
from tests.studies.made_runs import make_poisons, make_run, png_bytes, wav_bytes


def made(tmp_path: Path, rounds: list[dict[str, float]], **summary: float) -> Run:
    return Run(tmp_path, summary, tuple(rounds), "")


def test_accuracy_is_mean_and_sd_over_the_labels_that_all_runs_have(tmp_path: Path) -> None:
    one = made(tmp_path, [{"labels": 20, "accuracy": 0.2}, {"labels": 21, "accuracy": 0.4}])
    two = made(tmp_path, [{"labels": 20, "accuracy": 0.4}, {"labels": 21, "accuracy": 0.8}, {"labels": 22}])
    curve = record_curve("arm", POISON, [one, two])
    assert curve is not None
    assert curve.sd is not None
    assert curve.x.tolist() == [20, 21]
    assert curve.mean.tolist() == pytest.approx([0.3, 0.6])
    assert curve.sd.tolist() == pytest.approx([0.2 / math.sqrt(2), 0.4 / math.sqrt(2)])
    assert record_curve("arm", POISON, []) is None
    assert record_curve("arm", POISON, [made(tmp_path, [])]) is None


def test_share_of_poison_is_cumulative_over_what_was_queried(tmp_path: Path) -> None:
    found = [0, 1, 1, 2]
    rounds = [{"labels": 20 + index, "poison_queried": poisons} for index, poisons in enumerate(found)]
    curve = poison_curve("arm", POISON, [made(tmp_path, rounds)])
    assert curve is not None
    assert (curve.x.tolist(), curve.mean.tolist(), curve.sd) == ([1, 2, 3], pytest.approx([1, 1 / 2, 2 / 3]), None)
    clean = made(tmp_path, [{"labels": 20}, {"labels": 21}])
    assert poison_curve("arm", POISON, [clean]) is None
    assert expected_share(clean) == {}
    assert expected_share(made(tmp_path, [], poisons=100, pool=300)) == {"random": 0.25}


def texts(axes: Axes) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.xy for text in axes.texts}  # type: ignore[attr-defined]


def test_the_accuracy_figure_draws_lines_bands_and_names(tmp_path: Path) -> None:
    runs = [
        made(tmp_path, [{"labels": 20, "accuracy": 0.2 + shift}, {"labels": 30, "accuracy": 0.6 + shift}])
        for shift in (0, 0.2)
    ]
    high, near = record_curve("high", "#0072b2", runs), record_curve("near", POISON, runs)
    assert high is not None
    assert near is not None
    figure = accuracy_figure([Panel("left", (high, near)), Panel("right", (high,))])
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["high", "near"]
    assert left.lines[0].get_xydata().tolist() == [[20, pytest.approx(0.3)], [30, pytest.approx(0.7)]]
    assert to_hex(left.lines[1].get_color()) == POISON
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.3 - 0.2 / math.sqrt(2))
    assert left.get_ylim() == right.get_ylim()
    assert left.get_xlabel()
    assert left.get_ylabel()
    heights = [xy[1] for xy in texts(left).values()]
    assert set(texts(left)) == {"high", "near"}
    assert abs(heights[0] - heights[1]) > 0.05  # two curves that end alike: their names do not overlap


def test_runs_that_end_at_different_numbers_of_labels_are_drawn_in_full(tmp_path: Path) -> None:
    runs = [
        made(tmp_path, [{"labels": 64 * (k + 1), "accuracy": 0.5 + k / 10} for k in range(rounds)]) for rounds in (2, 4)
    ]
    curve = record_curve("short and long", POISON, runs)
    assert curve is not None
    assert curve.x.tolist() == [64, 128]
    mean, *own = accuracy_figure([Panel("", (curve,))]).axes[0].lines
    assert mean.get_xdata().tolist() == [64, 128]
    assert [line.get_xdata().tolist() for line in own] == [[64, 128], [64, 128, 192, 256]]
    assert own[1].get_ydata() == pytest.approx([0.5, 0.6, 0.7, 0.8])
    alike = record_curve("alike", POISON, [runs[1], runs[1]])
    assert alike is not None
    assert alike.runs == ()


def test_many_names_at_one_end_stay_apart_and_inside(tmp_path: Path) -> None:
    rounds = [{"labels": 20, "poison_queried": 0}, {"labels": 21, "poison_queried": 1}]
    curves = [poison_curve(f"arm {index}", POISON, [made(tmp_path, rounds)]) for index in range(9)]
    figure = poison_figure([Panel("", tuple(curve for curve in curves if curve is not None), {"random": 0.02})])
    heights = sorted(xy[1] for xy in texts(figure.axes[0]).values())
    assert len(heights) == 10
    assert all(high - low > 0.05 for low, high in itertools.pairwise(heights))
    assert heights[-1] <= 1.0
    level = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert level[0].get_ydata()[0] == 0.02


def test_the_same_figure_renders_to_the_same_bytes(tmp_path: Path) -> None:
    make_poisons(tmp_path / "poisons")
    first, second = (render(images_figure(read_pairs(tmp_path, 2))) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_a_planted_plane_is_found_and_signs_are_fixed() -> None:
    draws = torch.Generator().manual_seed(0)
    along = torch.tensor([[0.0, 0, -3, 4, 0], [1, 0, 0, 0, 0]], dtype=torch.float64)
    along = along / along.norm(dim=1, keepdim=True)
    points = (torch.randn(6000, 2, generator=draws, dtype=torch.float64) * torch.tensor([10.0, 3.0])) @ along + 5
    mean, components, shares = principal_components(points[:4500], points[4500:])
    assert torch.allclose(mean, points.mean(0))
    assert torch.allclose(components, torch.tensor([[0, 0, -0.6, 0.8, 0], [1, 0, 0, 0, 0]]).double(), atol=0.02)
    assert shares.tolist() == pytest.approx([100 / 109, 9 / 109], abs=0.02)
    exact = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    assert torch.allclose(components.abs(), exact.Vh[:2].abs(), atol=1e-8)
    turned = principal_components(-points)[1]
    assert torch.allclose(turned, components, atol=1e-8)


@pytest.mark.parametrize(("points", "size"), [(300, 120), (60, 500), (40, 7), (2, 9)])
def test_the_components_are_those_of_the_whole_decomposition(points: int, size: int) -> None:
    draws = torch.Generator().manual_seed(0)
    scales = 0.9 ** torch.arange(size, dtype=torch.float64)
    features = (torch.randn(points, size, generator=draws, dtype=torch.float64) * scales).flip(1) - 3
    mean, components, shares = principal_components(features[:1], features[1:])
    _, sizes, exact = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    exact = exact[:2] * exact[:2].gather(1, exact[:2].abs().argmax(1, keepdim=True)).sign()
    assert torch.allclose(mean, features.mean(0))
    assert torch.allclose(shares, (sizes.square() / sizes.square().sum())[:2], atol=1e-8)
    known = min(points - 1, 2)  # two points have one direction
    assert torch.allclose(components[:known], exact[:known], atol=1e-5)
    assert torch.allclose(components.norm(dim=1), torch.ones(2).double())


class Within(TorchDispatchMode):
    """Fails where a tensor of more than ``most`` entries is made."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: dict | None = None
    ) -> object:
        made = func(*args, **kwargs or {})
        for tensor in made if isinstance(made, tuple | list) else [made]:
            assert not isinstance(tensor, torch.Tensor) or tensor.numel() <= self.most, func
        return made


def test_wide_features_need_no_more_memory_than_their_own() -> None:
    points = torch.randn(300, 20_000, generator=torch.Generator().manual_seed(0))
    points[:, 3] *= 200
    points[:, 17_000] *= 150
    with Within(points.numel()):
        _, components, shares = principal_components(points[:200], points[200:])
    assert components.argmax(1).tolist() == [3, 17_000]
    assert shares[0] > shares[1] > 0.2


def test_the_components_are_those_of_the_points_that_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[int, ...]] = []
    fit = principal_components

    def noted(*features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        fitted.extend(tuple(some.shape) for some in features)
        return fit(*features)

    monkeypatch.setattr("aal.report.features.principal_components", noted)
    features_figure(torch.randn(SHOWN + 100, 3), torch.ones(7, 3), tmp_path / "x.png")
    assert fitted == [(SHOWN, 3), (7, 3)]


@pytest.mark.parametrize("size", [1, 2, 40])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_scatter_is_drawn_for_any_feature_size(tmp_path: Path, size: int, suffix: str) -> None:
    draws = torch.Generator().manual_seed(0)
    pool, poison = torch.randn(30, size, generator=draws), torch.zeros(10, size)
    path = tmp_path / "figures" / f"features{suffix}"
    features_figure(pool, poison, path)
    first = path.read_bytes()
    if suffix == ".png":
        colours = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3).astype(int)
        for wanted in (POISON, "#0072b2"):  # both kinds are to be seen
            target = np.array([int(wanted[at : at + 2], 16) for at in (1, 3, 5)])
            assert (np.abs(colours - target).sum(1) < 40).sum() > 20
        features_figure(pool, poison, path)
        assert path.read_bytes() == first


def test_features_that_are_not_finite_or_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        features_figure(torch.tensor([[1.0, float("nan")]]), torch.zeros(1, 2), tmp_path / "x.png")
    with pytest.raises(ValueError, match="finite"):
        features_figure(torch.zeros(0, 2), torch.zeros(0, 2), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_no_poison_and_features_all_alike_are_drawn(tmp_path: Path) -> None:
    features_figure(torch.ones(5, 3), torch.zeros(0, 3), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_pairs_are_those_of_the_manifest(tmp_path: Path) -> None:
    make_poisons(tmp_path / "poisons")
    entries = json.loads((tmp_path / "poisons" / "manifest.json").read_text())["poisons"]
    pairs = read_pairs(tmp_path, 5)
    indices = [pair.figures["index"] for pair in pairs]
    assert len(pairs) == len(set(indices)) == 5
    assert [pair.figures["index"] for pair in read_pairs(tmp_path, 5)] == indices
    for pair in pairs:
        (entry,) = (entry for entry in entries if entry["index"] == pair.figures["index"])
        assert pair.figures == {key: entry[key] for key in FIGURES}
        assert pair.ratio == entry["psnr"]
        for saved, key in ((pair.base, "base_file"), (pair.poison, "poison_file")):
            wanted = np.asarray(Image.open(tmp_path / "poisons" / entry[key]).convert("RGB"))
            assert np.array_equal(saved.values.permute(1, 2, 0).numpy(), wanted)
            assert (saved.name, saved.sample_rate) == (entry[key], None)
    assert len(read_pairs(tmp_path, 99)) == len(entries)


def test_the_difference_is_amplified_about_grey(tmp_path: Path) -> None:
    make_poisons(tmp_path / "poisons")
    pairs = read_pairs(tmp_path, 4)
    images, factor = amplified(pairs)
    assert factor == 127 // 25
    for pair, image in zip(pairs, images, strict=True):
        assert torch.equal(image.int() - 128, factor * (pair.poison.values.int() - pair.base.values.int()))
        (tmp_path / "x.png").write_bytes(png(image))
        read = np.asarray(Image.open(tmp_path / "x.png"))
        assert np.array_equal(read, image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    "change",
    [
        {"base_file": "../secret.png"},
        {"base_file": "/etc/hostname"},
        {"base_file": ".."},
        {"base_file": ""},
        {"base_file": None},
        {"base_file": "gone.png"},
        {"base_file": "link.png"},
        {"base_file": "manifest.json"},
        {"base_file": "broken.png"},
        {"base_file": "large.png"},
        {"base_file": "other_size.png"},
        {"norm_saved": "small"},
        {"norm_saved": None},
        {"norm_crafted": None},
        {"perturbation_linf": "large"},
        {"psnr": "loud"},
        {"class": 3},
        {"base_file": "sound.wav"},
        {"base_file": "float.safetensors"},
        {"base_file": "huge.png"},
        {"label": True},
    ],
)
def test_nothing_outside_the_folder_is_read_and_what_is_broken_is_named(
    tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "poisons"
    make_poisons(folder, count=1)
    whole = png_bytes(np.zeros((8, 8), np.uint8))
    (tmp_path / "secret.png").write_bytes(whole)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "broken.png").write_bytes(png_bytes(np.arange(4096, dtype=np.uint8).reshape(64, 64))[:-60])
    (folder / "large.png").write_bytes(whole[:16] + (60000).to_bytes(4, "big") * 2 + whole[24:])
    (folder / "other_size.png").write_bytes(png_bytes(np.zeros((9, 9), np.uint8)))
    (folder / "sound.wav").write_bytes(wav_bytes(np.zeros(8, np.int16)))
    (folder / "float.safetensors").write_bytes(b"\x10" + bytes(100))
    with (folder / "huge.png").open("wb") as file:
        file.truncate(2**26 + 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["poisons"][0] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json: poisons\[0\]"):
        read_pairs(tmp_path, 1)


@pytest.mark.parametrize("change", [{"psnr": None}, {"class": ""}, {"class": " \n"}])
def test_what_a_poison_may_lack_is_not_asked_for(tmp_path: Path, change: dict[str, object]) -> None:
    make_poisons(tmp_path / "poisons", count=1)
    path = tmp_path / "poisons" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["poisons"][0] |= change
    path.write_text(json.dumps(manifest))
    (pair,) = read_pairs(tmp_path, 1)
    assert pair.title == f"label {manifest['poisons'][0]['label']}"
    assert pair.ratio == manifest["poisons"][0]["psnr"]


def test_what_is_said_of_a_pair_of_images(tmp_path: Path) -> None:
    make_poisons(tmp_path / "poisons", count=1)
    path = tmp_path / "poisons" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["poisons"][0] |= {"class": "airplane", "perturbation_l2": 1.25, "perturbation_linf": 25 / 255}
    manifest["poisons"][0] |= {"psnr": 18.26, "norm_initial": 9.0, "norm_crafted": 0.7, "norm_saved": 0.85}
    path.write_text(json.dumps(manifest))
    (pair,) = read_pairs(tmp_path, 1)
    assert (pair.title, pair.is_sound) == ("airplane", False)
    assert pair.change == "PSNR 18.3 dB, ‖δ‖∞ = 25/255, ‖δ‖₂ = 1.25"
    assert pair.distances == "‖f-μ‖ 9 → 0.85 (0.7 before saving)"
    nothing = {**pair.figures, "perturbation_l2": 0.0, "perturbation_linf": 0.0}
    assert replace(pair, ratio=None, figures=nothing).change == "PSNR: unchanged, ‖δ‖∞ = 0/255, ‖δ‖₂ = 0"


def test_a_hostile_class_is_drawn_as_it_is_and_cut(tmp_path: Path) -> None:
    make_poisons(tmp_path / "poisons", count=1)
    path = tmp_path / "poisons" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["poisons"][0]["class"] = r"$\frac{$ " + 40 * "very long "
    path.write_text(json.dumps(manifest))
    (pair,) = read_pairs(tmp_path, 1)
    assert len(pair.title) <= 40
    assert render(images_figure([pair])).startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["[]", "{}", '{"poisons": []}', '{"poisons": 3}', '{"poisons": [3]}', "{"])
def test_a_manifest_of_something_else_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "poisons").mkdir()
    (tmp_path / "poisons" / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        read_pairs(tmp_path, 1)


def test_arms_keep_their_colours_and_the_same_attack_has_the_same_one() -> None:
    rows = (*(Row(f"a{index}", "a") for index in range(len(PALETTE) + 1)), Row("b0", "b"))
    given = arm_colours(Study("", "", "", (0,), 1, "collision", rows, {}))
    assert given["a0"] == given["b0"] == (PALETTE[0], False)
    assert given["a"] == given["b"]
    assert given[f"a{len(PALETTE)}"] == (PALETTE[0], True)
    assert len(set(given.values())) == len(PALETTE) + 2


def test_figures_of_a_made_run_are_drawn_from_its_records(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", query_size=10, success=0.5))
    curve = poison_curve("poison", POISON, [run])
    assert curve is not None
    assert curve.x.tolist() == list(range(10, 101, 10))
    assert curve.mean.tolist() == pytest.approx([0.5] * 10)
