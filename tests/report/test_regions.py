"""Decision regions: what is drawn is what a classifier says, and what it was trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import Tensor, nn

from aal.data.samples import ImageSamples, TensorSamples
from aal.models import SoftKNNClassifier
from aal.pool import Pool
from aal.report.flip_figures import COLOURS, REGIONS, draw_regions, regions_figure, regions_of


class Quadrants(nn.Module):
    """Class 0 where the second element is below 0; above, 1 to the left of 1 and 2 to the right."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.unbind(1)
        classes = torch.where(second < 0, 0, torch.where(first < 1, 1, 2))
        return nn.functional.one_hot(classes, 3).float()


POINTS = torch.tensor([[-1.0, -2.0], [3.0, 2.0], [0.0, 1.0]])


def test_regions_are_the_classes_of_the_grids_points() -> None:
    regions = regions_of(Quadrants(), POINTS, resolution=49)
    left, right, bottom, top = regions.extent
    assert (left, right, bottom, top) == pytest.approx((1 - 2.4, 1 + 2.4, -2.4, 2.4))  # the points' square and a tenth
    columns, rows = torch.linspace(left, right, 49), torch.linspace(bottom, top, 49)
    for row in range(49):
        for column in range(49):
            wanted = 0 if rows[row] < 0 else 1 if columns[column] < 1 else 2
            assert regions.classes[row, column] == wanted
    assert regions.classes.unique().tolist() == [0, 1, 2]


def test_a_grid_larger_than_a_batch_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = regions_of(Quadrants(), POINTS, resolution=20)
    monkeypatch.setattr("aal.report.flip_figures.BATCH", 7)
    assert torch.equal(regions_of(Quadrants(), POINTS, resolution=20).classes, whole.classes)


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)).train()
    regions_of(model, POINTS, resolution=3)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_single_point_has_a_plane_around_it() -> None:
    left, right, _, _ = regions_of(Quadrants(), POINTS[:1], resolution=3).extent
    assert (left, right) == pytest.approx((-1.6, -0.4))


def test_the_figure_shows_regions_and_points_in_the_colours_of_their_classes() -> None:
    regions = regions_of(Quadrants(), POINTS, resolution=49)
    labels, flipped = torch.tensor([0, 2, 0]), torch.tensor([False, False, True])
    (axes,) = regions_figure(regions, POINTS, labels, flipped, "Round 3").axes
    assert axes.get_title(loc="left") == "Round 3"
    (image,) = axes.images
    assert np.array_equal(image.get_array(), regions.classes.numpy())
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    half = 4.8 / 48 / 2
    assert (left, right, bottom, top) == pytest.approx((-1.4 - half, 3.4 + half, -2.4 - half, 2.4 + half))
    right_ones, wrong_ones = axes.collections
    assert right_ones.get_offsets().tolist() == [[-1, -2], [3, 2]]
    assert [to_hex(colour) for colour in right_ones.get_facecolor()] == [COLOURS[0], COLOURS[2]]
    assert wrong_ones.get_offsets().tolist() == [[0, 1]]
    assert [to_hex(colour) for colour in wrong_ones.get_facecolor()] == [COLOURS[0]]
    pale = [image.cmap(image.norm(label)) for label in range(3)]
    assert all(np.argmax(pale[k][:3]) == np.argmax(np.array(_rgb(COLOURS[k]))) for k in range(3))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["label 0", "label 1", "label 2", "mislabelled"]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def test_a_round_is_drawn_where_samples_are_points_of_the_plane(tmp_path: Path) -> None:
    module = SoftKNNClassifier(num_classes=2, sample_shape=(2,))
    module.network.take_in(POINTS, torch.tensor([0, 1, 1]))
    pool = Pool(3)
    pool.label(torch.tensor([0, 1]), torch.tensor([0, 1]), round=0, strategy="x", labelers=torch.tensor([0, 0]))
    draw_regions(tmp_path, 4, module, TensorSamples(POINTS), pool, torch.tensor([1]))
    assert (tmp_path / REGIONS.format(4)).read_bytes().startswith(b"\x89PNG")
    images = ImageSamples(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))
    draw_regions(tmp_path, 5, module, images, pool, torch.tensor([1]))
    assert not (tmp_path / REGIONS.format(5)).exists()
