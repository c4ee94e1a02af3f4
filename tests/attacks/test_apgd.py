"""APGD and APGD-T: closed forms on affine classifiers, and planted losses."""

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import APGD, APGDT, BIM, PGD
from aal.attacks.apgd import checkpoints
from aal.attacks.ascent import log_odds
from aal.errors import UserError
from aal.seeds import generator

DUAL = {"linf": 1.0, "l2": 2.0}
WIDE = (-50.0, 50.0)


def affine(classes: int, size: int = 6) -> nn.Linear:
    layer = nn.Linear(size, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, size, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.copy_(torch.randn(classes, generator=generator(0, "bias"), dtype=torch.float64))
    return layer


def points(n: int = 40, size: int = 6) -> Tensor:
    return torch.randn(n, size, generator=generator(0, "points"), dtype=torch.float64)


@pytest.mark.parametrize("norm", ["linf", "l2"])
class TestOnAffineClassifiers:
    @pytest.mark.parametrize("attack", [APGD, lambda **other: APGD(loss="dlr", **other), APGDT], ids=["ce", "dlr", "t"])
    def test_with_two_classes_the_loss_is_the_analytic_worst_case(self, attack: type[APGD], norm: str) -> None:
        model, x = affine(2), points()
        y = model(x).argmax(1)
        result = attack(radius=0.4, norm=norm)(model, x, y, bounds=WIDE)
        worst = log_odds(model(x), y) + 0.4 * torch.linalg.vector_norm(model.weight[1] - model.weight[0], DUAL[norm])
        assert torch.equal(result.success, worst > 0)
        kept = ~result.success
        assert 0 < kept.sum() < 40, "the case must have both"
        torch.testing.assert_close(result.info["loss"][kept], worst[kept].detach())
        torch.testing.assert_close(log_odds(model(result.x), y)[kept], worst[kept])

    def test_with_many_classes_all_that_can_be_fooled_are(self, norm: str) -> None:
        """Only with one class after another: the cross entropy and DLR follow the class that is ahead."""
        model, x = affine(7), points(200)
        logits = model(x)
        y = logits.argmax(1)
        lead = logits.gather(1, y[:, None]) - logits
        slope = torch.linalg.vector_norm(model.weight[y][:, None] - model.weight[None], DUAL[norm], dim=2)
        possible = (lead < 0.3 * slope).any(1)
        result = APGDT(radius=0.3, norm=norm)(model, x, y, bounds=WIDE)
        assert torch.equal(result.success, possible)
        assert 20 < possible.sum() < 180

    def test_a_target_is_reached_where_it_can_be(self, norm: str) -> None:
        model, x = affine(2), points()
        y = model(x).argmax(1)
        worst = log_odds(model(x), y) + 0.4 * torch.linalg.vector_norm(model.weight[1] - model.weight[0], DUAL[norm])
        for attack in (
            APGD(radius=0.4, norm=norm),
            APGD(radius=0.4, norm=norm, loss="dlr"),
            APGDT(radius=0.4, norm=norm),
        ):
            assert torch.equal(attack(model, x, y, target=1 - y, bounds=WIDE).success, worst > 0)


class Peak(nn.Module):
    """One dimension; the loss rises towards ``at`` from both sides, and class 1 begins ``width`` before it."""

    def __init__(self, at: float, width: float) -> None:
        super().__init__()
        self.at, self.width, self.seen = at, width, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        z = self.width - (x - self.at).abs()
        return torch.cat([-z, z], dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_narrow_peak_that_steps_of_one_length_jump_over_is_found(norm: str) -> None:
    x, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0])
    assert not BIM(radius=0.3, steps=100, step_size=0.06, norm=norm)(Peak(0.59, 0.01), x, y).success.any()
    result = APGD(radius=0.3, steps=100, norm=norm)(Peak(0.59, 0.01), x, y)
    assert result.success.all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steps_begin_with_twice_the_radius_and_are_halved_until_they_are_short(norm: str) -> None:
    model = Peak(0.59, -0.1)  # which no point fools
    x, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0])
    result = APGD(radius=0.3, steps=100, norm=norm)(model, x, y)
    way = torch.cat(model.seen).squeeze(1)
    assert len(way) == 101
    assert (way[1] - 0.5).abs() == pytest.approx(0.3), "a step of 0.6 ends at the ball's edge"
    assert (way[2:22] - way[1:21]).abs().max() > 0.3
    assert (way[-6:] - 0.59).abs().max() < 0.6 / 2**5
    assert (way - 0.59).abs().min() == (result.x.squeeze() - 0.59).abs(), "the best point is returned"


def test_a_halved_step_goes_on_from_the_best_point_so_far() -> None:
    model = Peak(0.59, -0.1)
    APGD(radius=0.3, steps=100)(model, torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0]))
    way = torch.cat(model.seen).squeeze(1)
    best = way[:23][(way[:23] - 0.59).abs().argmin()]
    step = 0.3 * (0.59 - best).sign()
    ahead = (best + step).clamp(0.2, 0.8)
    expected = (best + 0.75 * (ahead - best) + 0.25 * (best - way[21])).clamp(0.2, 0.8)
    torch.testing.assert_close(way[23], expected)


def test_progress_is_judged_at_the_checkpoints_of_the_paper() -> None:
    assert sorted(checkpoints(100)) == [0, 22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(checkpoints(10)) == [0, 3, 5, 6, 7, 8, 9, 10]
    assert checkpoints(1) == {0, 1}


def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network that tells rings apart, where straight steps of one length do not help."""
    torch.manual_seed(0)
    x = torch.rand(400, 8, generator=generator(0, "rings"))
    y = ((x - 0.5).norm(dim=1) * 10).long() % 3
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    right = model(x).argmax(1) == y
    return model.double(), x[right].double(), y[right]


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.015), ("l2", 0.06)])
def test_on_a_trained_network_it_fools_no_fewer_than_pgd_in_as_many_steps(norm: str, radius: float) -> None:
    model, x, y = trained()
    fixed = PGD(radius=radius, norm=norm, steps=50)(model, x, y)
    found = APGD(radius=radius, norm=norm, steps=50)(model, x, y)
    assert found.success.sum() >= fixed.success.sum()
    kept = ~found.success & ~fixed.success
    assert 20 < kept.sum() < 0.9 * len(x)
    assert found.info["loss"][kept].mean() >= fixed.info["loss"][kept].mean() - 1e-6


class Reachable(nn.Module):
    """Four classes with label 0 ahead; 1 and 2 come next, but only 3, the last, can be reached, with a high x."""

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones_like(x)
        return torch.cat([ones, 0.9 * ones, 0.8 * ones, 4 * (x - 0.63)], dim=1)


def test_class_after_class_is_tried_until_one_is_reached() -> None:
    x, y = torch.full((5, 1), 0.5, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    result = APGDT(radius=0.4, steps=20)(Reachable(), x, y)
    assert result.success.all()
    assert (result.queries > 1 + 2 * 21).all(), "the first two tries went all the way"
    assert (result.queries <= 1 + 3 * 21).all()
    assert not APGDT(radius=0.4, steps=20, targets=2)(Reachable(), x, y).success.any()
    aimed = APGDT(radius=0.4, steps=20)(Reachable(), x, y, target=torch.full((5,), 3))
    assert aimed.success.all()
    assert (aimed.queries <= 1 + 21).all()
    missed = APGDT(radius=0.4, steps=20)(Reachable(), x, y, target=torch.ones(5, dtype=torch.int64))
    assert not missed.success.any()
    assert (missed.queries == 1 + 21).all()


def test_fooled_samples_are_finished() -> None:
    model, x = affine(2), points()
    y = model(x).argmax(1)
    result = APGD(radius=0.4)(model, x, y, bounds=WIDE)
    assert (result.queries[~result.success] == 101).all()
    assert (result.queries[result.success] < 10).all()


def test_a_sample_that_is_wrong_to_begin_with_is_left_alone_by_apgd_t() -> None:
    model, x = affine(3), points()
    y = (model(x).argmax(1) + 1) % 3
    result = APGDT(radius=0.4)(model, x, y, bounds=WIDE)
    assert torch.equal(result.x, x)
    assert result.success.all()
    assert (result.queries == 1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: APGD(radius=-1), "radius: must be at least 0"),
        (lambda: APGD(loss="cw"), "loss: must be one of ce, dlr"),
        (lambda: APGD(norm="l1"), "norm: must be linf or l2"),
        (lambda: APGDT(norm="l1"), "norm: must be linf or l2"),
        (lambda: APGDT(targets=0), "targets: must be at least 1"),
        (lambda: APGDT(steps=0), "steps: must be at least 1"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
