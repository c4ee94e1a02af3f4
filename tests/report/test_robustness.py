"""The report's part on robustness: its numbers are those of the evaluation, whatever else is missing or broken."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from aal.attacks import FGSM
from aal.report.pair_figures import examples_figure
from aal.report.run_page import write_run_report
from aal.report.style import POISON, render
from aal.robustness import Evaluation, Examples, Outcome
from tests.report.test_pages import EVIL, Page, assert_self_contained
from tests.studies.made_runs import make_run


def evaluation(target: Tensor | None = None, names: tuple[str, ...] = ("weak", "strong")) -> Evaluation:
    """Ten samples of two classes, the last of which is misclassified; ``weak`` fools 2, ``strong`` all."""
    index, label = torch.arange(10), torch.tensor([0] * 5 + [1] * 5)
    natural = label.clone()
    natural[9] = 0
    found = Evaluation("f", index, label, target, natural)
    for name, fools in zip(names, (2, 9), strict=True):
        outcome = Outcome.none(FGSM(), [], natural)
        outcome.radius = None if name == names[1] else 0.0314
        outcome.after[:fools] = 1 - label[:fools]
        outcome.distance[:fools] = torch.arange(fools) / 4.0
        outcome.queries[:9] = 7
        found.attacks[name] = outcome
    curve = Outcome.none(FGSM(), [0.1, 0.5], natural)
    curve.after[:6], curve.tried[:9] = 1 - label[:6], torch.tensor([1, 1, 1, 2, 2, 2, 2, 2, 2])
    found.curves[names[0]] = curve
    return found


def made(folder: Path, found: Evaluation, rounds: tuple[int, ...] = (3, 100)) -> Path:
    """Write a run whose records and folder hold ``found`` for these rounds."""
    make_run(folder, pairs=False)
    records = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    for at in rounds:
        records[at] |= {f"robust_{name}": value for name, value in found.figures().items()}
        found.save(folder / "robust" / f"round={at}.json", complete=True)
    (folder / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_tiles_tables_and_figures_say_what_was_found(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", evaluation())
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert_self_contained(page)
    assert "adversarial accuracy, weak 0.700 radius 0.0314, natural: 0.900" in page.text
    assert "adversarial accuracy, strong 0.000 natural: 0.900" in page.text
    assert "10 test samples" in page.text
    assert "weak: FGSM(radius=0.03137254901960784, norm='linf') 0.700 — 7.0" in page.text
    assert "norm='linf') 0.000 1.000 7.0" in page.text, "mean distance of the nine that were fooled"
    assert (
        "class samples natural weak strong 0 5 1.000 0.600 0.000 1 5 0.800 0.800 0.000 all 10 0.900 0.700" in page.text
    )
    for name in ("robust_rounds.png", "robust_radii.png"):
        assert (folder / "figures" / name).read_bytes() in page.images


def test_targeted_figures_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", evaluation(1 - torch.tensor([0] * 5 + [1] * 5)))
    write_run_report(folder)
    text = Page(folder / "report.html").text
    assert "natural: 0.900, not target: 0.700" in text
    assert "weak weak: not target" in text
    assert "The attacks aim at a class" in text


def test_one_evaluated_round_is_no_curve_over_rounds(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", evaluation(), rounds=(100,))
    write_run_report(folder)
    assert not (folder / "figures" / "robust_rounds.png").exists()
    assert (folder / "figures" / "robust_radii.png").exists()


def test_a_run_without_evaluation_says_nothing_of_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    write_run_report(folder)
    assert "obust" not in Page(folder / "report.html").text
    assert not list((folder / "figures").glob("robust*"))


@pytest.mark.parametrize("text", [None, "", "{}", '{"figures": 3}'])
def test_a_broken_evaluation_does_not_cost_the_report(text: str | None, tmp_path: Path) -> None:
    folder = made(tmp_path / "run", evaluation())
    path = folder / "robust" / "round=100.json"
    path.unlink() if text is None else path.write_text(text)
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert "The evaluation cannot be shown: " in page.text
    assert "round=100.json" in page.text


def test_hostile_texts_are_only_text_and_hostile_names_no_files(tmp_path: Path) -> None:
    found = evaluation()
    found.attacks["weak"].attack = EVIL
    folder = made(tmp_path / "run", found)
    write_run_report(folder)
    page = Page(folder / "report.html")
    assert_self_contained(page)
    assert EVIL in page.text
    folder = made(tmp_path / "other", evaluation(names=("/../../../secret", "strong")))
    write_run_report(folder)
    assert "can name no attack" in Page(folder / "report.html").text


def shown(x: Tensor, change: float, bounds: tuple[float, float] = (0.0, 1.0)) -> Examples:
    n = len(x)
    return Examples(x, x + change, torch.arange(n), torch.arange(n), torch.arange(n) + 1, bounds)


def strips(figure: Figure | None) -> list[tuple[Any, ...]]:
    """Return of each strip its texts, title first, and what is drawn below the title."""
    assert figure is not None
    assert render(figure)[:4] == b"\x89PNG"
    (axes,) = figure.axes
    drawn = list(axes.images) or axes.lines[::2]  # every second line is a frame
    texts = [text.get_text() for text in axes.texts]
    return list(zip(batched(texts, 4), batched(drawn, 3), strict=True))


def batched(items: Sequence[Any], n: int) -> list[Sequence[Any]]:
    return [items[k : k + n] for k in range(0, len(items), n)]


@pytest.mark.parametrize(("channels", "bounds"), [(1, (0.0, 1.0)), (3, (0.0, 255.0)), (1, (-1.0, 1.0))])
def test_an_image_is_beside_the_attacked_one_and_a_difference_that_is_seen(
    channels: int, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    x = low + (high - low) * torch.full((2, channels, 4, 4), 0.25, dtype=torch.float64)
    found = strips(examples_figure(shown(x, 0.03 * (high - low), bounds)))
    assert [texts[0] for texts, _ in found] == ["label 0: predicted 0 → 1", "label 1: predicted 1 → 2"]
    for texts, images in found:
        values = [torch.as_tensor(image.get_array()).double() for image in images]
        assert [value.shape for value in values] == [(4, 4, 3)] * 3
        for value, expected in zip(values, (0.25, 0.28, 0.5 + 16 * 0.03), strict=True):
            torch.testing.assert_close(value, torch.full_like(value, expected), rtol=0, atol=1e-9)
        assert texts[1:] == ["sample", "attacked", "difference,\n16-fold"]


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (12, 4)])
def test_pictures_keep_their_proportions_and_nothing_lies_over_them(size: tuple[int, int]) -> None:
    figure = examples_figure(shown(torch.rand(3, 3, *size), 0.01))
    images = [image for _, three in strips(figure) for image in three]
    assert figure is not None
    boxes = [one.get_window_extent() for one in (*images, *figure.axes[0].texts)]
    assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert [box.height / box.width for box in boxes[:9]] == pytest.approx([size[0] / size[1]] * 9)


@pytest.mark.parametrize("shape", [(2, 300), (2, 1, 300)])
def test_a_sound_is_a_waveform(shape: tuple[int, ...]) -> None:
    x = torch.linspace(-1, 0.9, 600).view(shape)
    for (_, lines), signal in zip(strips(examples_figure(shown(x, 0.1, (-1.0, 1.0)))), x, strict=True):
        drawn = [torch.tensor(line.get_ydata()) for line in lines]
        torch.testing.assert_close(drawn[0] * 2 - 1, signal.flatten().double(), rtol=0, atol=1e-6)
        torch.testing.assert_close(drawn[1] - drawn[0], torch.full((300,), 0.05).double(), rtol=0, atol=1e-6)
        assert lines[1].get_color() == POISON


def test_data_without_bounds_are_drawn_in_their_own() -> None:
    ((_, lines),) = strips(examples_figure(shown(torch.linspace(-7, 5, 20)[None], 2.0, (-torch.inf, torch.inf))))
    assert min(lines[0].get_ydata()) == 0
    assert max(lines[1].get_ydata()) == 1


def test_samples_of_another_shape_are_not_drawn() -> None:
    assert examples_figure(shown(torch.zeros(2, 5, 4, 4), 0.1)) is None
    assert examples_figure(shown(torch.zeros(2, 5, 4), 0.1)) is None


def test_nothing_changed_is_drawn_too() -> None:
    ((_, images),) = strips(examples_figure(shown(torch.full((1, 1, 4, 4), 0.5), 0.0)))
    assert (torch.as_tensor(images[2].get_array()) == 0.5).all()
