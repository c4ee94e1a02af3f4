"""DeepFool: closed forms on affine classifiers, brute force in two dimensions, and what each shortcut costs."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import DeepFool
from aal.errors import RunStopped, UserError
from aal.seeds import generator

WIDE = (-1e3, 1e3)
NORMS = ["l2", "linf"]
ORDERS = {"l2": 2.0, "linf": math.inf}
DUAL = {"l2": 2.0, "linf": 1.0}
CLOSE = 1.1e-3  # how near the boundary a perturbation ends, of its size

norms = pytest.mark.parametrize("norm", NORMS)


def draw(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(0, name), dtype=torch.float64)


def affine(classes: int, features: int = 12) -> nn.Linear:
    layer = nn.Linear(features, classes).double()
    with torch.no_grad():
        layer.weight.copy_(draw(f"weight {classes}", classes, features))
        layer.bias.copy_(draw(f"bias {classes}", classes))
    return layer


def network(classes: int, features: int, gain: float = 1.0) -> nn.Sequential:
    """A smooth network, the more curved the higher the gain."""
    layers = nn.Sequential(nn.Linear(features, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, classes))
    with torch.no_grad():
        for name, parameter in layers.double().named_parameters():
            scale = gain / math.sqrt(parameter.shape[1]) if parameter.ndim == 2 else gain / 5
            parameter.copy_(draw(f"{name} {classes} {features}", *parameter.shape) * scale)
    return layers


def labels_of(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(x).argmax(1)
    return found


def size(d: Tensor, norm: str) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(d.flatten(1), ORDERS[norm], dim=1)
    return found


class Counted(nn.Module):
    """Counts the samples that go through forwards and backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        outputs: Tensor = self.model(x)
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: self._went_back(len(gradient)))
        return outputs

    def _went_back(self, samples: int) -> None:
        self.backwards += samples


class Function(nn.Module):
    """A classifier given as a function."""

    def __init__(self, function: Any) -> None:  # noqa: ANN401 - from tensor to tensor
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.function(x)
        return outputs


@norms
class TestAffineClassifiers:
    def test_the_distance_to_one_of_many_classes_is_that_to_the_nearest_hyperplane(self, norm: str) -> None:
        model, x = affine(7), draw("x", 40, 12)
        y = labels_of(model, x)
        logits, weight = model(x).detach(), model.weight.detach()
        gaps = logits.gather(1, y[:, None]) - logits
        slopes = torch.linalg.vector_norm(weight[None] - weight[y][:, None], DUAL[norm], dim=2)
        distances = (gaps / slopes).scatter(1, y[:, None], math.inf)
        result = DeepFool(norm=norm, exact=True)(model, x, y, bounds=WIDE)
        nearest = distances.min(1)
        assert result.success.all()
        assert torch.equal(result.info["class"], nearest.indices)
        torch.testing.assert_close(result.info["linearised"], nearest.values, rtol=1e-10, atol=0)
        torch.testing.assert_close(result.info["crossing"], 1.02 * nearest.values, rtol=1e-10, atol=0)
        assert torch.equal(result.info["steps"], torch.ones_like(y))
        torch.testing.assert_close(result.distance, nearest.values, rtol=CLOSE, atol=0)
        assert (result.distance >= nearest.values).all()
        torch.testing.assert_close(result.distance, size(result.x - x, norm))

    @pytest.mark.parametrize("sigmoid", [False, True])
    @pytest.mark.parametrize("targeted", [False, True])
    def test_the_distance_to_the_other_of_two_classes(self, norm: str, sigmoid: bool, targeted: bool) -> None:
        layer, x = affine(1), draw("x", 40, 12)
        model = nn.Sequential(layer, nn.Sigmoid()) if sigmoid else layer
        f = layer(x).detach().squeeze(1)
        y = (f > 0).long()
        result = DeepFool(norm=norm)(model, x, y, target=1 - y if targeted else None, bounds=WIDE)
        wanted = f.abs() / torch.linalg.vector_norm(layer.weight.detach(), DUAL[norm])
        assert result.success.all()
        assert torch.equal((layer(result.x).squeeze(1) > 0).long(), 1 - y)
        torch.testing.assert_close(result.distance, wanted, rtol=CLOSE, atol=0)
        assert (result.distance >= wanted).all()

    @pytest.mark.parametrize("other", [{"overshoot": 0.0}, {"overshoot": 0.5}, {"refinements": 0}, {"steps": 1}])
    def test_how_it_is_searched_does_not_change_the_distance(self, norm: str, other: dict[str, Any]) -> None:
        model, x = affine(2), draw("x", 40, 12)
        y = labels_of(model, x)
        f = (model(x) @ torch.tensor([1.0, -1.0], dtype=torch.float64)).detach().abs()
        wanted = f / torch.linalg.vector_norm(model.weight[0].detach() - model.weight[1].detach(), DUAL[norm])
        result = DeepFool(norm=norm, **other)(model, x, y, bounds=WIDE)
        assert result.success.all()
        torch.testing.assert_close(result.distance, wanted, rtol=CLOSE, atol=0)

    def test_within_bounds_the_distance_is_that_of_the_clipped_perturbation(self, norm: str) -> None:
        """Most elements are at an end of the range or near it: without bounds the perturbation would be smaller."""
        model = affine(2)
        x = torch.rand(60, 12, generator=generator(0, "box"), dtype=torch.float64).mul(3).sub(1).clamp(0, 1)
        with torch.no_grad():
            y = labels_of(model, x)
            slope = (model.weight[1 - y] - model.weight[y]).double()
            f = model(x).gather(1, y[:, None]) - model(x).gather(1, 1 - y[:, None])
        wanted = clipped_distance(x, slope, f.squeeze(1), norm)
        free = f.squeeze(1) / torch.linalg.vector_norm(slope, DUAL[norm], dim=1)
        assert (wanted > 1.1 * free).double().mean() > 0.4, "the bounds matter"
        result = DeepFool(norm=norm)(model, x, y)
        assert result.success.all()
        assert ((result.x >= 0) & (result.x <= 1)).all()
        torch.testing.assert_close(result.distance, wanted, rtol=3 * CLOSE, atol=0)
        assert (result.distance >= wanted).all()

    def test_elements_that_the_bounds_hold_do_not_make_a_class_near(self, norm: str) -> None:
        """Class 1 has the steeper slope, but along an element that is at the end of its range already."""
        model = Function(lambda x: torch.stack([0 * x[:, 0], 9 * x[:, 0] + 0.1 * x[:, 1] - 9.55, x[:, 2] - 0.9], dim=1))
        x, y = torch.tensor([[1.0, 0.5, 0.5]], dtype=torch.float64), torch.tensor([0])
        free = DeepFool(norm=norm)(model, x, y, bounds=(0.0, 1.2))
        assert int(free.info["class"]) == 1
        assert float(free.distance) < 0.06
        held = DeepFool(norm=norm)(model, x, y)
        assert int(held.info["class"]) == 2
        assert int(held.info["steps"]) == 1
        assert float(held.info["linearised"]) == pytest.approx(0.4)
        assert float(held.distance) == pytest.approx(0.4, rel=CLOSE)

    def test_where_the_bounds_end_before_the_boundary_the_last_point_is_returned(self, norm: str) -> None:
        model = Function(lambda x: torch.stack([x.sum(1) * 0, x.sum(1) - 5], dim=1))
        x = torch.full((2, 4), 0.5, dtype=torch.float64)
        result = DeepFool(norm=norm)(model, x, torch.zeros(2, dtype=torch.long))
        assert not result.success.any()
        torch.testing.assert_close(result.x, torch.ones_like(x))
        torch.testing.assert_close(result.distance, size(torch.ones_like(x) - x, norm))


def clipped_distance(x: Tensor, slope: Tensor, f: Tensor, norm: str) -> Tensor:
    """Bisect for the smallest perturbation within [0, 1] along which an affine function rises by ``f``."""

    def moved(t: Tensor) -> Tensor:
        return (x + t[:, None] * (slope if norm == "l2" else slope.sign())).clamp(0, 1) - x

    low, high = torch.zeros_like(f), torch.full_like(f, 100.0)
    for _ in range(80):
        middle = (low + high) / 2
        enough = (moved(middle) * slope).sum(1) > f
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return size(moved(high), norm)


@norms
class TestCurvedClassifiers:
    def test_brute_force_finds_nothing_nearer_and_not_much_less(self, norm: str) -> None:
        model = network(5, 2)
        axis = torch.linspace(-2, 2, 601, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        x = torch.rand(60, 2, generator=generator(0, "points"), dtype=torch.float64) * 4 - 2
        y = labels_of(model, x)
        away = torch.cdist(x, grid, p=ORDERS[norm]).masked_fill(labels_of(model, grid) == y[:, None], math.inf)
        brute, cell = away.min(1).values, 4 / 600
        result = DeepFool(norm=norm, refinements=5)(model, x, y, bounds=(-2, 2))
        assert result.success.all()
        assert (result.distance > brute - cell).all()
        more = result.distance / (brute + cell / 2)
        assert more.median() < 1.01
        assert (more < 1.05).double().mean() > 0.9
        crossing = result.info["crossing"] / (brute + cell / 2)
        assert (crossing < 1.05).double().mean() < 0.6, "the point that the steps reach is farther"

    def test_a_perturbation_one_per_cent_smaller_fools_nobody(self, norm: str) -> None:
        model, x = network(10, 12), torch.rand(60, 12, generator=generator(0, "x"), dtype=torch.float64)
        y = labels_of(model, x)
        result = DeepFool(norm=norm)(model, x, y, bounds=(-1.0, 2.0))
        assert result.success.all()
        assert torch.equal(labels_of(model, result.x), result.info["class"])
        assert torch.equal(labels_of(model, x + 0.99 * (result.x - x)), y)

    def test_refinements_only_make_it_smaller(self, norm: str) -> None:
        model, x = network(10, 12, gain=3.0), torch.rand(60, 12, generator=generator(0, "x"), dtype=torch.float64)
        y = labels_of(model, x)
        distances = [DeepFool(norm=norm, refinements=k)(model, x, y, bounds=(-1.0, 2.0)).distance for k in (0, 1, 2, 5)]
        for fewer, more in pairwise(distances):
            assert (more <= fewer * (1 + CLOSE)).all()
            assert more.mean() < 0.999 * fewer.mean()

    def test_the_target_is_reached_and_is_farther(self, norm: str) -> None:
        model, x = network(4, 12), torch.rand(60, 12, generator=generator(0, "x"), dtype=torch.float64)
        y = labels_of(model, x)
        nearest = DeepFool(norm=norm)(model, x, y, bounds=(-3.0, 4.0))
        farther = 0
        for shift in (1, 2, 3):
            target = (y + shift) % 4
            result = DeepFool(norm=norm)(model, x, y, target=target, bounds=(-3.0, 4.0))
            assert torch.equal(labels_of(model, result.x) == target, result.success)
            assert result.success.double().mean() > 0.9
            same = result.success & (nearest.info["class"] == target)
            torch.testing.assert_close(result.distance[same], nearest.distance[same], rtol=0.2, atol=0)
            farther += int((result.distance > nearest.distance * (1 + CLOSE)).sum())
        assert farther > 60


class TestLeavingOutClasses:
    def test_classes_with_wide_gaps_are_left_out_and_nothing_changes(self) -> None:
        model, x = network(10, 12), torch.rand(60, 12, generator=generator(0, "x"), dtype=torch.float64)
        y = labels_of(model, x)
        some, all_of_them = Counted(model), Counted(model)
        quick = DeepFool()(some, x, y, bounds=(-1.0, 2.0))
        exact = DeepFool(exact=True)(all_of_them, x, y, bounds=(-1.0, 2.0))
        torch.testing.assert_close(quick.x, exact.x, rtol=0, atol=1e-9)
        assert torch.equal(quick.info["class"], exact.info["class"])
        assert some.backwards < 0.8 * all_of_them.backwards

    def test_only_the_exact_way_sees_a_class_that_is_near_for_its_slope_alone(self) -> None:
        """Class 1 is 1 away with slope 1, class 2 has a gap of 3 and so many times the slope."""

        def distance(slope: float, **other: bool) -> float:
            model = Function(lambda x: torch.cat([0 * x[:, :1], x[:, :1] - 1, slope * x[:, 1:] - 3], dim=1))
            result = DeepFool(**other)(model, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]), bounds=WIDE)
            return float(result.distance)

        assert distance(6.0, exact=True) == pytest.approx(0.5, rel=CLOSE)
        assert distance(6.0) == pytest.approx(1.0, rel=CLOSE)
        assert distance(2.9, exact=True) == distance(2.9) == pytest.approx(1.0, rel=CLOSE)

    def test_the_nearest_classes_save_slopes(self) -> None:
        model, x = network(10, 12, gain=2.0), torch.rand(60, 12, generator=generator(0, "x"), dtype=torch.float64)
        y = labels_of(model, x)
        backwards, distances = {}, {}
        for classes in (1, 3, None):
            counted = Counted(model)
            result = DeepFool(classes=classes, exact=True)(counted, x, y, bounds=(-1.0, 2.0))
            backwards[classes], distances[classes] = counted.backwards, result.distance.mean()
            assert result.success.all()
        assert backwards[1] < backwards[3] < backwards[None]
        assert distances[3] <= 1.02 * distances[None]

    def test_the_nearest_class_alone_may_be_one_that_is_never_reached(self) -> None:
        """As linearised class 1 is nearest, but it saturates; class 2 is 2 away."""
        model = Function(lambda x: torch.cat([0 * x[:, :1], 0.9 * x[:, :1].tanh() - 1, x[:, 1:] - 2], dim=1))
        x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
        results = {k: DeepFool(classes=k)(model, x, y, bounds=(-3.0, 3.0)) for k in (1, 2, 5, None)}
        assert float(results[1].info["linearised"]) == pytest.approx(1 / 0.9)
        assert not results[1].success
        for classes in (2, 5, None):
            assert results[classes].success
            assert int(results[classes].info["class"]) == 2
            assert 2 <= float(results[classes].distance) < 3.7

    def test_classes_are_compared_as_linearised_not_by_their_gaps(self) -> None:
        model = Function(lambda x: torch.cat([0 * x[:, :1], x[:, :1] - 1, 3 * x[:, 1:2] - 1.5, x[:, 2:] - 1.2], dim=1))
        x, y = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0])
        result = DeepFool(classes=1)(model, x, y, bounds=WIDE)
        assert int(result.info["class"]) == 2
        assert float(result.distance) == pytest.approx(0.5, rel=CLOSE)


class TestWhatCannotBeStepped:
    def test_what_is_wrong_already_stays_as_it_is(self) -> None:
        model, x = network(10, 12), torch.rand(20, 12, generator=generator(0, "x"), dtype=torch.float64)
        right = labels_of(model, x)
        wrong = torch.arange(20) % 2 == 0
        y = torch.where(wrong, (right + 1) % 10, right)
        result = DeepFool()(model, x, y, bounds=(-1.0, 2.0))
        assert result.success.all()
        assert torch.equal(result.x[wrong], x[wrong])
        assert torch.equal(result.distance == 0, wrong)
        assert torch.equal(result.info["steps"] == 0, wrong)
        assert torch.equal(result.info["linearised"] == 0, wrong)
        assert torch.equal(result.info["class"][wrong], right[wrong])
        reached = DeepFool()(model, x, y, target=right, bounds=(-1.0, 2.0))
        assert reached.success.all()
        assert torch.equal(reached.x, x)

    @norms
    def test_a_sample_without_slope_does_not_keep_the_others(self, norm: str) -> None:
        """Behind 0 the classifier is flat."""
        model = Function(lambda x: torch.stack([0 * x[:, 0], x[:, 0].clamp_min(0) - 1], dim=1))
        x = torch.tensor([[-0.5], [0.5]], dtype=torch.float64)
        result = DeepFool(norm=norm)(model, x, torch.zeros(2, dtype=torch.long), bounds=(-2.0, 2.0))
        assert result.success.tolist() == [False, True]
        assert float(result.x[0]) == -0.5
        assert float(result.x[1]) == pytest.approx(1.0, abs=1e-3)
        assert result.info["linearised"].tolist() == [math.inf, pytest.approx(0.5)]
        assert result.info["steps"].tolist() == [0, 1]
        assert int(result.queries[0]) < 5

    @norms
    def test_a_class_that_is_nearly_reached_is_given_up_for_one_that_can_be(self, norm: str) -> None:
        """Class 1 is always the nearest as linearised, and nowhere the highest."""
        model = Function(lambda x: torch.stack([0 * x[:, 0], -0.1 - x[:, 0] ** 2, x[:, 1] - 2], dim=1))
        x, y = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([0])
        result = DeepFool(norm=norm)(model, x, y, bounds=(-3.0, 3.0))
        assert result.success.all()
        assert int(result.info["class"]) == 2
        assert int(result.info["steps"]) < 6
        never = DeepFool(norm=norm)(model, x, y, target=torch.tensor([1]), bounds=(-3.0, 3.0))
        assert not never.success
        assert int(never.info["steps"]) == 50

    @norms
    def test_a_slope_that_is_not_finite_is_not_followed(self, norm: str) -> None:
        """The square root has an infinite slope at 0; the other element leads beyond the boundary."""
        model = Function(lambda x: torch.stack([0 * x[:, 0], x[:, 0].sqrt() * 0.1 + x[:, 1] - 0.5], dim=1))
        result = DeepFool(norm=norm)(model, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]))
        assert result.success.all()
        assert 0.3 < float(result.distance) <= 0.5 * (1 + CLOSE)

    def test_outputs_that_break_on_the_way_are_named_by_their_sample(self) -> None:
        layer = affine(3)
        x = draw("x", 6, 12)

        def breaks(points: Tensor) -> Tensor:
            moved = (points[:, None] - x[None]).abs().amax(2)
            second = (moved.argmin(1) == 2) & (moved.amin(1) > 0)
            return torch.where(second[:, None], math.nan, layer(points))

        with pytest.raises(RunStopped, match=r"not finite for samples \[2\]"):
            DeepFool()(Function(breaks), x, labels_of(layer, x), bounds=WIDE)

    def test_a_tie_at_the_sample_is_left(self) -> None:
        model = Function(lambda x: torch.stack([0 * x[:, 0], x.sum(1)], dim=1) + 1)
        result = DeepFool()(model, torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0]), bounds=(-1.0, 1.0))
        assert result.success.all()
        assert 0 < float(result.distance) < 1e-6

    def test_logits_that_are_all_negative_are_as_good_as_others(self) -> None:
        layer, x = affine(5), draw("x", 20, 12)
        y = labels_of(layer, x)
        wanted = DeepFool()(layer, x, y, bounds=WIDE)
        found = DeepFool()(Function(lambda points: layer(points) - 500), x, y, bounds=WIDE)
        torch.testing.assert_close(found.distance, wanted.distance, rtol=CLOSE, atol=0)

    @norms
    def test_in_single_precision_a_success_is_one_in_any_batch(self, norm: str) -> None:
        model = network(10, 12).float()
        x = torch.rand(200, 12, generator=generator(0, "x"))
        y = labels_of(model, x)
        result = DeepFool(norm=norm)(model, x, y, bounds=(-1.0, 2.0))
        assert result.success.all()
        alone = torch.cat([labels_of(model, row) for row in result.x.split(1)])
        assert torch.equal(alone, result.info["class"])
        assert (alone != y).all()

    @norms
    def test_samples_of_16_bits_are_attacked_in_their_own_units(self, norm: str) -> None:
        model, x = network(5, 12).float(), torch.rand(40, 12, generator=generator(0, "x"))
        y = labels_of(model, x)
        wanted = DeepFool(norm=norm)(model, x, y)
        scaled = Function(lambda points: model(points / 65535 + 32768 / 65535))
        found = DeepFool(norm=norm)(scaled, x * 65535 - 32768, y, bounds=(-32768.0, 32767.0))
        both = wanted.success & found.success
        assert both.double().mean() > 0.9
        torch.testing.assert_close(found.distance[both] / 65535, wanted.distance[both], rtol=0.01, atol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("norm", "l1"), ("steps", 0), ("overshoot", -0.1), ("overshoot", math.nan), ("refinements", -1), ("classes", 0)],
)
def test_values_that_make_no_sense_are_refused(key: str, value: Any) -> None:  # noqa: ANN401 - any wrong one
    with pytest.raises(UserError, match=key):
        DeepFool(**{key: value})
