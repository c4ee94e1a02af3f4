"""FGSM, BIM and PGD: closed forms on affine classifiers, and planted cases."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import BIM, FGSM, PGD, Attack
from aal.attacks.ascent import log_odds, log_odds_and_gradient, own_units
from aal.attacks.norms import NORMS
from aal.errors import UserError
from aal.seeds import generator

DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}
WIDE = (-50.0, 50.0)
LongPGD = partial(PGD, steps=100, step_size=0.2)  # what a random start left beside the direction is forgotten


def affine(classes: int = 2, size: int = 6) -> nn.Linear:
    layer = nn.Linear(size, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, size, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.copy_(torch.randn(classes, generator=generator(0, "bias"), dtype=torch.float64))
    return layer


def points(n: int = 20, size: int = 6) -> Tensor:
    return torch.randn(n, size, generator=generator(0, "points"), dtype=torch.float64)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("kind", [FGSM, BIM, LongPGD], ids=["FGSM", "BIM", "PGD"])
class TestOnAffineClassifiers:
    def test_the_loss_is_the_analytic_worst_case(self, kind: Callable[..., Attack], norm: str) -> None:
        model, x = affine(), points()
        y = model(x).argmax(1)
        result = kind(radius=0.4, norm=norm)(model, x, y, bounds=WIDE)
        slope = torch.linalg.vector_norm(model.weight[1] - model.weight[0], DUAL[norm])
        before = log_odds(model(x), y)
        torch.testing.assert_close(result.info["loss"], (before + 0.4 * slope).detach())
        torch.testing.assert_close(log_odds(model(result.x), y), result.info["loss"])
        torch.testing.assert_close(result.distance, torch.full((20,), 0.4, dtype=torch.float64))
        assert torch.equal(result.success, before + 0.4 * slope > 0)
        assert 0 < result.success.sum() < 20, "the case must have both"

    def test_a_target_is_approached_as_far_as_can_be(self, kind: Callable[..., Attack], norm: str) -> None:
        model, x = affine(), points()
        y = model(x).argmax(1)
        result = kind(radius=0.4, norm=norm)(model, x, y, target=1 - y, bounds=WIDE)
        slope = torch.linalg.vector_norm(model.weight[1] - model.weight[0], DUAL[norm])
        torch.testing.assert_close(result.info["loss"], (log_odds(model(x), y) + 0.4 * slope).detach())

    def test_one_logit_is_two_classes(self, kind: Callable[..., Attack], norm: str) -> None:
        two = affine()
        one = nn.Linear(6, 1).double()
        with torch.no_grad():
            one.weight.copy_(two.weight[1:] - two.weight[:1])
            one.bias.copy_(two.bias[1:] - two.bias[:1])
        x, attack = points(), kind(radius=0.4, norm=norm)
        y = two(x).argmax(1)
        wanted = attack(two, x, y, bounds=WIDE)
        for model in (one, nn.Sequential(one, nn.Flatten(0)), nn.Sequential(one, nn.Sigmoid())):
            torch.testing.assert_close(attack(model, x, y, bounds=WIDE).x, wanted.x)


class Saturated(nn.Module):
    """Two classes whose probabilities round to 0 and 1 in single precision everywhere near 0.5."""

    def forward(self, x: Tensor) -> Tensor:
        z = 1e4 * (x.flatten(1).mean(1) - 0.3)
        return torch.stack([z, -z], dim=1)


class EndsInSigmoid(nn.Module):
    """A sigmoid at the end, out of which the last dimension is taken."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.end, self.scale = nn.Sigmoid(), scale

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.end(self.scale * (x.flatten(1).mean(1, keepdim=True) - 0.3))
        return logit.squeeze(1)


class SigmoidInside(nn.Module):
    """A sigmoid that is the last module there is, but not the last to be called."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Linear(6, 4), nn.Linear(4, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        logit: Tensor = self.second(self.act(self.first(x)))
        return logit


@pytest.mark.parametrize("model", [Saturated(), EndsInSigmoid(-1e4)], ids=["softmax", "sigmoid"])
def test_a_saturated_model_still_has_a_direction(model: nn.Module) -> None:
    x = torch.full((3, 1, 4, 4), 0.5)
    y = torch.zeros(3, dtype=torch.int64)
    result = PGD(radius=0.25)(model, x, y)
    assert result.success.all()


def test_a_sigmoid_inside_the_model_is_not_taken_for_its_end() -> None:
    torch.manual_seed(0)
    model, x = SigmoidInside(), torch.rand(8, 6)
    y = (model(x).squeeze(1) > 0).long()
    result = FGSM(radius=0.1)(model, x, y)
    after = model(result.x).squeeze(1)
    torch.testing.assert_close(torch.where(y == 1, -after, after), result.info["loss"])
    assert torch.equal(result.success, (after > 0) != (y == 1))


def test_log_odds_order_points_as_the_cross_entropy_does_and_have_its_direction() -> None:
    logits = torch.randn(7, 5, generator=generator(0, "logits"), dtype=torch.float64).requires_grad_()
    labels = torch.arange(7) % 5
    p = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    torch.testing.assert_close(log_odds(logits, labels), ((1 - p) / p).log())
    (entropy,) = torch.autograd.grad(nn.functional.cross_entropy(logits, labels, reduction="sum"), logits)
    torch.testing.assert_close(log_odds_and_gradient(logits.detach(), labels)[1] * (1 - p)[:, None], entropy)
    (odds,) = torch.autograd.grad(log_odds(logits, labels).sum(), logits)
    torch.testing.assert_close(log_odds_and_gradient(logits.detach(), labels)[1], odds)


def test_in_their_own_units_all_classes_but_the_highest_have_a_weight_together() -> None:
    logits = 5 * torch.randn(50, 6, generator=generator(0, "logits"), dtype=torch.float64)
    scaled = (logits - logits.amax(1, keepdim=True)) / own_units(logits)
    torch.testing.assert_close(
        scaled.exp().sum(1) - 1, torch.full((50,), math.exp(-2)).double(), rtol=0.05, atol=0, msg="not all of Newton's"
    )
    torch.testing.assert_close(own_units(logits[:, :2]), (logits[:, :1] - logits[:, 1:2]).abs() / 2)
    torch.testing.assert_close(own_units(1e-5 * logits + 3), 1e-5 * own_units(logits))
    assert (torch.ones(1, 4) / own_units(torch.ones(1, 4))).isfinite().all(), "without any difference too"


@pytest.mark.parametrize("low", [-60.0, -1e4, -1e9, -1e30])
def test_a_class_far_below_the_others_has_no_part_in_the_unit(low: float) -> None:
    logits = torch.randn(50, 4, generator=generator(0, "logits"))
    further = torch.cat([logits, torch.full((50, 1), low)], 1)
    torch.testing.assert_close(own_units(further), own_units(logits))


class Wall(nn.Module):
    """One dimension; the loss falls before it rises: from 0.5 only a start above 0.6 finds class 1, which is at 0.8."""

    def forward(self, x: Tensor) -> Tensor:
        z = torch.where(x < 0.6, 0.5 - x, (x - 0.8) * 5)
        return torch.cat([-z, z], dim=1) * 3 - torch.tensor([-4.0, 4.0]) * (x < 0.6)


def test_restarts_find_what_one_start_does_not() -> None:
    x, y = torch.full((60, 1), 0.5), torch.zeros(60, dtype=torch.int64)
    once = PGD(radius=0.4, steps=20)(Wall(), x, y)
    often = PGD(radius=0.4, steps=20, restarts=10)(Wall(), x, y)
    assert 0.05 < once.success.double().mean() < 0.6
    assert often.success.double().mean() > 0.9
    assert (often.success | ~once.success).all()
    assert torch.equal(often.queries[once.success], once.queries[once.success]), "fooled samples are left alone"
    assert not PGD(radius=0.4, random_start=False)(Wall(), x, y).success.any()


class Hill(nn.Module):
    """One dimension; class 1 between 0.55 and 0.6 alone, with the loss highest at its middle."""

    def forward(self, x: Tensor) -> Tensor:
        z = 0.025 - (x - 0.575).abs()
        return torch.cat([-z, z], dim=1)


def test_the_best_point_of_the_way_is_returned_not_the_last() -> None:
    x, y = torch.tensor([[0.5]]), torch.tensor([0])
    result = BIM(radius=0.3, steps=4, step_size=0.06)(Hill(), x, y)  # 0.56, 0.62, 0.56, 0.62
    assert result.success
    torch.testing.assert_close(result.x, torch.tensor([[0.56]]))


def test_an_early_stop_ends_each_sample_at_its_first_success() -> None:
    model, x = affine(), points()
    y = model(x).argmax(1)
    margins = -log_odds(model(x), y)
    slope = (model.weight[1] - model.weight[0]).abs().sum()
    steps = (margins / (0.02 * slope)).floor().long() + 1
    result = BIM(radius=0.4, steps=20, early_stop=True)(model, x, y, bounds=WIDE)
    assert torch.equal(result.queries, 1 + steps.clamp_max(20))
    assert torch.equal(result.success, steps <= 20)
    torch.testing.assert_close(result.distance, 0.02 * steps.clamp_max(20).double())


def test_a_start_replaces_the_first_random_one_and_is_put_into_the_ball() -> None:
    x, y = torch.full((4, 1), 0.5), torch.zeros(4, dtype=torch.int64)
    fooled = PGD(radius=0.4, steps=10)(Wall(), x, y, start=torch.full((4, 1), 0.7))
    assert fooled.success.all()
    far = PGD(radius=0.05, steps=1, step_size=1e-9)(Wall(), x, y, start=torch.full((4, 1), 0.9))
    torch.testing.assert_close(far.x, torch.full((4, 1), 0.55))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_step_size_is_in_the_units_of_the_data(norm: str) -> None:
    model = affine()
    x = torch.rand(6, 6, generator=generator(0, "x"), dtype=torch.float64)
    y = model(x).argmax(1)
    plain = PGD(radius=0.1, norm=norm)(model, x, y)
    scaled = nn.Sequential(nn.Linear(6, 6, bias=False), model).double()
    with torch.no_grad():
        scaled[0].weight.copy_(torch.eye(6) / 255)
    bytes_ = PGD(radius=25.5, norm=norm)(scaled, x * 255, y, bounds=(0.0, 255.0))
    torch.testing.assert_close(bytes_.x / 255, plain.x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FGSM(radius=-1), "radius: must be at least 0"),
        (lambda: BIM(steps=0), "steps: must be at least 1"),
        (lambda: PGD(norm="l3"), "norm: must be one of"),
        (lambda: PGD(step_size=0.0), "step_size: must be above 0"),
        (lambda: PGD(restarts=3, random_start=False), "restarts: tries without random_start"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]


def test_the_sizes_in_the_table_of_norms_are_those_reported() -> None:
    model, x = affine(), points()
    for norm in ("linf", "l2", "l1"):
        result = PGD(radius=0.3, norm=norm)(model, x, torch.zeros(20, dtype=torch.int64), bounds=WIDE)
        torch.testing.assert_close(result.distance, NORMS[norm].size(result.x - x))
