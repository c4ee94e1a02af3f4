"""Square Attack: what it proposes, how many queries it takes, and that it needs no gradient."""

import math

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import Square
from aal.attacks.ascent import log_odds
from aal.attacks.square import as_image, l2_square, linf_square, stripes, tiles, window_size
from aal.errors import UserError
from aal.seeds import generator

WIDE = (-50.0, 50.0)
SEEDS = torch.arange(12)


def affine(size: int = 16) -> nn.Sequential:
    layer = nn.Linear(size, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, size, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)


def points(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(0, "points"), dtype=torch.float64)


class Seen(nn.Module):
    """A model that counts the samples it sees, and never shows a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.samples = model, 0

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.samples += len(x)
        logits: Tensor = self.model(x.detach())
        return logits


def test_in_linf_an_affine_classifier_is_pushed_to_the_analytic_worst_case() -> None:
    model, x = affine(), points(30, 1, 4, 4)
    y = model(x).argmax(1)
    result = Square(radius=0.2, queries=1500)(model, x, y, bounds=WIDE)
    worst = log_odds(model(x), y) + 0.2 * (model[1].weight[1] - model[1].weight[0]).abs().sum()
    assert torch.equal(result.success, worst > 0)
    kept = ~result.success
    assert 0 < kept.sum() < 30, "the case must have both"
    torch.testing.assert_close(result.info["margin"][kept], worst[kept].detach())


@pytest.mark.slow
def test_in_l2_an_affine_classifier_is_pushed_most_of_the_way_to_the_analytic_worst_case() -> None:
    model, x = affine(), points(30, 1, 4, 4)
    y = model(x).argmax(1)
    result = Square(radius=0.5, norm="l2", queries=1000)(model, x, y, bounds=WIDE)
    before = log_odds(model(x), y).detach()
    most = 0.5 * float((model[1].weight[1] - model[1].weight[0]).detach().norm())
    kept = ~result.success
    assert 0 < kept.sum() < 30, "the case must have both"
    gained = (result.info["margin"] - before)[kept] / most
    assert (gained > 0.6).all()
    assert gained.mean() > 0.75
    assert (gained <= 1 + 1e-9).all()
    assert (result.success <= (before + most > 0)).all()
    torch.testing.assert_close(result.distance[kept], torch.full_like(gained, 0.5), rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_target_is_approached(norm: str) -> None:
    model, x = affine(), points(30, 1, 4, 4)
    y = model(x).argmax(1)
    free = Square(radius=0.5, norm=norm, queries=100)(model, x, y, bounds=WIDE)
    aimed = Square(radius=0.5, norm=norm, queries=100)(model, x, y, target=1 - y, bounds=WIDE)
    assert torch.equal(aimed.x, free.x), "with two classes the target is any but the label"
    assert 0 < free.success.sum() < 30


class Blind(nn.Module):
    """Samples are rounded to 8 bits: nothing here has a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        z = (x.detach().flatten(1) * 255).round().mean(1, keepdim=True) - 134
        return torch.cat([-z, z], dim=1)


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.1), ("l2", 1.6)])
def test_it_needs_no_gradient(norm: str, radius: float) -> None:
    x = torch.rand(10, 3, 8, 8, generator=generator(0, "x")) * 0.4 + 0.3
    y = torch.zeros(10, dtype=torch.int64)
    model = Seen(Blind())
    result = Square(radius=radius, norm=norm, queries=1000)(model, x, y)
    assert result.success.all()
    assert (result.queries > 1).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_queries_are_what_the_model_saw_and_no_more_than_allowed(norm: str) -> None:
    x = points(30, 1, 4, 4)
    y = affine()(x).argmax(1)
    y[4] = 1 - y[4]
    model = Seen(affine())
    result = Square(radius=0.2, norm=norm, queries=60)(model, x, y, bounds=WIDE)
    assert result.queries.sum() == model.samples
    assert (result.queries[~result.success] == 60).all()
    assert (result.queries[result.success] < 60).any()
    assert result.queries[4] == 1, "a sample that is wrong to begin with is left alone"
    assert torch.equal(result.x[4], x[4])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(7,), (40,), (1, 40), (3, 5, 8), (2, 3, 4, 5)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_samples_of_any_shape_are_attacked(norm: str, shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    model, x = affine(size), points(20, *shape)
    y = model(x).argmax(1)
    radius = 0.3 if norm == "linf" else 0.3 * size**0.5
    result = Square(radius=radius, norm=norm, queries=300)(model, x, y, bounds=WIDE)
    assert result.x.shape == x.shape
    before = log_odds(model(x), y)
    after = log_odds(model(result.x), y)
    order = math.inf if norm == "linf" else 2.0
    dual = torch.linalg.vector_norm(model[1].weight[1] - model[1].weight[0], 1.0 if norm == "linf" else 2.0)
    gained = ((after - before) / (radius * dual))[~result.success]
    assert len(gained) > 0
    assert (gained > 0.4).all()
    assert (torch.linalg.vector_norm((result.x - x).flatten(1), order, dim=1) <= radius * (1 + 1e-9)).all()


def test_samples_are_seen_as_images() -> None:
    assert as_image(torch.zeros(2, 3, 4, 5)).shape == (2, 3, 4, 5)
    assert as_image(torch.zeros(2, 9)).shape == (2, 1, 1, 9)
    assert as_image(torch.zeros(2, 3, 9)).shape == (2, 3, 1, 9)
    assert as_image(torch.zeros(2, 3, 4, 5, 6)).shape == (2, 3, 20, 6)
    assert as_image(torch.zeros(2)).shape == (2, 1, 1, 1)


def test_squares_shrink_as_the_paper_schedules_it() -> None:
    sides = {query: window_size(0.8, query, 10_000, 28, 28)[0] for query in (1, 10, 11, 50, 51, 500, 501, 8001)}
    areas = {1: 0.8, 10: 0.8, 11: 0.4, 50: 0.4, 51: 0.2, 500: 0.1, 501: 0.05, 8001: 0.8 / 512}
    assert sides == {query: max(round(28 * math.sqrt(area)), 1) for query, area in areas.items()}
    assert window_size(0.8, 6, 5_000, 28, 28) == window_size(0.8, 12, 10_000, 28, 28), "it is spread over the queries"


def test_where_no_square_fits_a_rectangle_of_the_same_area_is_taken() -> None:
    assert window_size(0.8, 1, 1000, 1, 1000) == (1, 800)
    assert window_size(0.8, 1, 1000, 4, 1000) == (4, 800)
    assert window_size(0.5, 1, 1000, 1000, 2) == (500, 2)
    assert window_size(1.0, 1, 1000, 1, 1) == (1, 1)


def box(changed: Tensor) -> tuple[int, int]:
    """The height and width of the smallest rectangle around what changed, (C, H, W)."""
    rows, columns = changed.any(2).any(0).nonzero(), changed.any(1).any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def test_stripes_are_columns_of_the_radius() -> None:
    d = stripes(points(12, 3, 6, 5), 0.1, SEEDS)
    assert (d == d[:, :, :1]).all()
    torch.testing.assert_close(d.abs(), torch.full_like(d, 0.1))
    assert 0.3 < (d > 0).double().mean() < 0.7
    assert not torch.equal(d[0], d[1])


def test_a_linf_square_sets_each_channel_of_one_square_to_an_end_and_always_changes_something() -> None:
    x = torch.rand(12, 2, 8, 8, generator=generator(0, "x"), dtype=torch.float64)
    now = (x + stripes(x, 0.1, SEEDS)).clamp_(0, 1)
    seen = set()
    for query in range(2, 40):
        new = linf_square(x, now, 0.1, 0.0, 1.0, SEEDS, query, (3, 3))
        assert ((new - x).abs() <= 0.1 + 1e-12).all()
        for k in range(12):
            changed = new[k] != now[k]
            assert changed.any()
            height, width = box(changed)
            assert max(height, width) <= 3
            rows, columns = (changed.any(dim).any(0).nonzero().min() for dim in (2, 1))
            seen.add((int(rows), int(columns)))
            for channel in range(2):
                there = changed[channel]
                ends = ((x[k, channel] + 0.1).clamp(0, 1), (x[k, channel] - 0.1).clamp(0, 1))
                assert any(torch.equal(new[k, channel][there], end[there]) for end in ends)
    assert len(seen) > 30, "everywhere"


def test_tiles_take_up_the_radius() -> None:
    for shape in ((12, 3, 10, 10), (12, 1, 28, 28), (12, 1, 1, 30), (12, 2, 3, 3), (12, 1, 1, 1)):
        d = tiles(points(*shape), 0.7, SEEDS)
        assert d.shape == shape
        torch.testing.assert_close(d.flatten(1).norm(dim=1), torch.full((12,), 0.7, dtype=torch.float64))
    d = tiles(points(12, 1, 10, 10), 0.7, SEEDS)
    assert (d[:, :, :1, :2].sum((2, 3)).abs() > 0).all()
    torch.testing.assert_close(d[:, :, :2, :2].sum((1, 2, 3)), torch.zeros(12).double(), msg="halves of opposite sign")


def test_an_l2_square_moves_what_another_had_and_what_is_unused() -> None:
    x = points(12, 3, 9, 9)
    now = x + 0.5 * tiles(x, 1.0, SEEDS)
    for query in range(2, 12):
        d = l2_square(x, now, 1.0, SEEDS, query, (3, 3))
        torch.testing.assert_close(d.flatten(1).norm(dim=1), torch.ones(12).double(), msg="all of the radius is used")
        changed = d != now - x
        assert (changed.any(1).flatten(1).sum(1) <= 18).all(), "two squares"
        assert (changed.any(1).flatten(1).sum(1) >= 9).all()
        emptied = (d == 0) & changed
        assert emptied.any(), "one is emptied"


def test_the_two_shapes_are_pyramids_side_by_side() -> None:
    """From no perturbation at all a square is the shape itself, whose halves have opposite signs."""
    x = torch.zeros(64, 1, 6, 6, dtype=torch.float64)
    d = l2_square(x, x, 1.0, torch.arange(64), 2, (6, 6))[:, 0]
    weights = (1, 1 / 4, 1 / 9, 1 / 16)  # of nested squares with sides of 1, 3, 5 and 7
    half = torch.zeros(3, 6, dtype=torch.float64)  # its centre is (1, 3)
    for i in range(3):
        for j in range(6):
            far = max(abs(i - 1), abs(j - 3))
            half[i, j] = sum(weight for k, weight in enumerate(weights) if k >= far)
    shape = torch.cat([half, -half])
    shape = shape / shape.norm()
    kinds = [shape, -shape, shape.T, -shape.T]
    found = [next(n for n, kind in enumerate(kinds) if torch.allclose(d[k], kind)) for k in range(64)]
    assert set(found) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Square(radius=-1), "radius: must be at least 0"),
        (lambda: Square(norm="l1"), "norm: must be linf or l2"),
        (lambda: Square(queries=1), "queries: must be at least 2"),
        (lambda: Square(area=0.0), "area: must be above 0"),
        (lambda: Square(area=1.5), "area: must be at most 1"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
