"""FAB-T: closed forms on affine classifiers and a sphere, bounds, radii and targets."""

import math

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import FABT
from aal.attacks.boundary import onto_hyperplane
from aal.errors import UserError
from aal.networks import LeNet5
from aal.seeds import generator

DUAL = {"linf": 1.0, "l2": 2.0}
ORDER = {"linf": math.inf, "l2": 2.0}
WIDE = (-50.0, 50.0)


def affine(classes: int = 4, size: int = 6) -> nn.Linear:
    layer = nn.Linear(size, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, size, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.copy_(torch.randn(classes, generator=generator(0, "bias"), dtype=torch.float64))
    return layer


def lead(model: nn.Linear, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the label is ahead of every class (B, C), and the gradient of the class less the label (B, C, D)."""
    with torch.no_grad():
        logits = model(x)
        return logits.gather(1, y[:, None]) - logits, model.weight[None] - model.weight[y][:, None]


@pytest.mark.parametrize("norm", ["linf", "l2"])
class TestOnAffineClassifiers:
    def test_the_distance_is_the_closed_form(self, norm: str) -> None:
        model = affine()
        x = torch.randn(40, 6, generator=generator(0, "points"), dtype=torch.float64)
        y = model(x).argmax(1)
        gap, slope = lead(model, x, y)
        distances = gap / torch.linalg.vector_norm(slope, DUAL[norm], dim=2)
        wanted = distances.scatter(1, y[:, None], math.inf).amin(1)
        result = FABT(norm=norm, steps=20)(model, x, y, bounds=WIDE)
        assert result.success.all()
        torch.testing.assert_close(result.distance, wanted, rtol=1e-5, atol=0)
        assert (result.distance >= wanted).all()

    def test_within_bounds_it_is_the_shortest_way_onto_a_boundary_within_them(self, norm: str) -> None:
        model = affine()
        x = torch.rand(40, 6, generator=generator(0, "points"), dtype=torch.float64)
        y = model(x).argmax(1)
        gap, slope = lead(model, x, y)
        sizes = torch.full((40, 4), math.inf, dtype=torch.float64)
        for label in range(4):
            d = onto_hyperplane(x, slope[:, label], gap[:, label], norm, 0.0, 1.0)
            met = (slope[:, label] * d).sum(1) >= gap[:, label] - 1e-9
            there = met & (label != y)
            sizes[there, label] = torch.linalg.vector_norm(d, ORDER[norm], dim=1)[there]
        wanted = sizes.amin(1)
        free = (gap / torch.linalg.vector_norm(slope, DUAL[norm], dim=2)).scatter(1, y[:, None], math.inf).amin(1)
        possible = wanted.isfinite()
        assert (wanted > free * 1.01)[possible].sum() > 10, "the bounds must matter"
        result = FABT(norm=norm, steps=50)(model, x, y)
        assert torch.equal(result.success, possible)
        torch.testing.assert_close(result.distance[possible], wanted[possible], rtol=5e-3, atol=0)
        assert (result.distance >= wanted)[possible].all()
        assert torch.equal(result.x[~possible], x[~possible])

    def test_a_target_is_reached_not_merely_approached(self, norm: str) -> None:
        """The way to the target's region may lead past the label's boundary into a third class."""
        model = affine(classes=6)
        x = torch.randn(40, 6, generator=generator(0, "points"), dtype=torch.float64)
        y = model(x).argmax(1)
        target = (y + 1) % 6
        result = FABT(norm=norm, steps=50)(model, x, y, target=target, bounds=WIDE)
        assert result.success.double().mean() > 0.8
        assert torch.equal(model(result.x).argmax(1)[result.success], target[result.success])
        gap, slope = lead(model, x, y)
        alone = (gap / torch.linalg.vector_norm(slope, DUAL[norm], dim=2)).gather(1, target[:, None]).squeeze(1)
        assert (result.distance[result.success] >= alone[result.success]).all()
        near = result.success & (result.distance < alone * 1.001)
        assert near.sum() > 10, "where no third class is in the way the label's boundary is what counts"

    def test_a_radius_ends_the_search_with_the_first_perturbation_within_it(self, norm: str) -> None:
        model = affine()
        x = torch.randn(40, 6, generator=generator(0, "points"), dtype=torch.float64)
        y = model(x).argmax(1)
        smallest = FABT(norm=norm, steps=20)(model, x, y, bounds=WIDE)
        radius = float(smallest.distance.median()) * 1.001
        result = FABT(norm=norm, radius=radius, steps=20)(model, x, y, bounds=WIDE)
        assert torch.equal(result.success, smallest.distance <= radius)
        assert torch.equal(result.x[~result.success], x[~result.success])
        assert (result.queries[result.success] < smallest.queries[result.success]).all()


class Sphere(nn.Module):
    """Class 0 inside of a sphere around 0.5, class 1 outside."""

    def forward(self, x: Tensor) -> Tensor:
        z = (x - 0.5).square().sum(1, keepdim=True) - 0.3**2
        return torch.cat([-z, z], dim=1)


def test_on_a_curved_boundary_the_nearest_point_is_approached() -> None:
    directions = torch.randn(30, 5, generator=generator(0, "directions"), dtype=torch.float64)
    x = 0.5 + directions / directions.norm(dim=1, keepdim=True) * torch.linspace(0.05, 0.29, 30).double()[:, None]
    y = torch.zeros(30, dtype=torch.int64)
    result = FABT(norm="l2")(Sphere(), x, y)
    assert result.success.all()
    torch.testing.assert_close(result.distance, 0.3 - (x - 0.5).norm(dim=1), rtol=1e-2, atol=0)


class Seen(nn.Module):
    """A model that counts the samples it sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.samples = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.samples += len(x)
        logits: Tensor = self.model(x)
        return logits


class Offset(nn.Module):
    """A network whose logits are about a hundredth apart, with a constant added to all."""

    def __init__(self, added: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network, self.added = LeNet5((1, 28, 28), 10), added

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x) + self.added
        return logits


def test_steps_near_the_boundary_are_longer_than_what_rounding_hides() -> None:
    x = torch.rand(12, 1, 28, 28, generator=generator(0, "x"))
    y = Offset(0.0)(x).argmax(1)
    plain, added = (FABT(norm="l2", steps=10)(Offset(constant), x, y).distance for constant in (0.0, 1000.0))
    assert (added / plain).max() < 1.1


def test_queries_are_what_the_model_saw() -> None:
    for radius in (None, 0.1):
        model = Seen(affine())
        x = torch.rand(20, 6, generator=generator(0, "points"), dtype=torch.float64)
        y = affine()(x).argmax(1)
        y[3] = (y[3] + 1) % 4
        result = FABT(radius=radius, steps=10)(model, x, y)
        assert result.queries.sum() == model.samples
        assert result.queries[3] == 1, "a sample that is wrong to begin with is left alone"
        assert torch.equal(result.x[3], x[3])


def test_no_more_classes_are_tried_than_asked_for() -> None:
    model, x = affine(), torch.rand(20, 6, generator=generator(0, "points"), dtype=torch.float64)
    y = model(x).argmax(1)
    one, all_ = (FABT(steps=10, targets=targets)(model, x, y) for targets in (1, 9))
    assert (one.queries <= 1 + 2 * 10 + 4).all()
    assert (all_.queries >= 1 + 3 * 2 * 10).all()
    assert (all_.queries <= 1 + 3 * (2 * 10 + 4)).all()
    better = all_.success & ~one.success | (all_.distance < one.distance)
    assert better.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FABT(radius=-1), "radius: must be at least 0"),
        (lambda: FABT(norm="l1"), "norm: must be linf or l2"),
        (lambda: FABT(targets=0), "targets: must be at least 1"),
        (lambda: FABT(steps=0), "steps: must be at least 1"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


def test_what_fools_the_logit_of_a_sigmoid_fools_its_probability() -> None:
    """On the boundary the logit is about 0, where its own precision is far finer than the probability's."""
    torch.manual_seed(0)
    x, head = torch.rand(100, 48), nn.Linear(48, 1)
    with torch.no_grad():
        head.bias -= head(x).mean()
        y = (head(x) > 0).squeeze(1).long()
    result = FABT(norm="l2", steps=6)(nn.Sequential(head, nn.Sigmoid()), x, y)
    assert result.success.all()
    alone = torch.cat([head(row[None]).sigmoid() for row in result.x]).squeeze(1)
    assert torch.equal((alone > 0.5).long(), 1 - y)
