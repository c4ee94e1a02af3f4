"""What attacks on labels alone hold: nothing but labels is seen, each query is counted, and no budget is passed."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aal.attacks import OPT, HopSkipJump, SignOPT
from aal.attacks.black_box import Predict
from aal.attacks.hard_label import HardLabel
from aal.errors import RunStopped, UserError
from aal.seeds import generator

FREE = (-math.inf, math.inf)
L2: list[HardLabel] = [
    OPT(queries=1500, restarts=1),
    SignOPT(queries=1500, restarts=1, directions=50),
    HopSkipJump(queries=1500),
]
BOTH = [replace(attack, norm=norm) for attack in L2 for norm in ("l2", "linf")]
SMALL: list[HardLabel] = [replace(attack, queries=300, starts=10) for attack in BOTH]
ORDERS = {"l2": 2.0, "linf": math.inf}


def every(attacks: list[HardLabel]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "numbers"), dtype=torch.float64)


class Counted:
    """A function from samples to labels that counts, and that knows how to do nothing else."""

    def __init__(self, predict: Callable[[Tensor], Any]) -> None:
        self.predict, self.samples, self.most = predict, 0, 0

    def __call__(self, x: Tensor) -> object:
        assert not x.requires_grad
        assert not torch.is_grad_enabled()
        assert len(x) > 0
        self.samples, self.most = self.samples + len(x), max(self.most, len(x))
        return self.predict(x)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Class 1 on the far side of a plane through the origin."""
    return (x.flatten(1) @ weight > 0).long()


def ball(x: Tensor, radius: float = 1.0) -> Tensor:
    """Class 0 within a ball around the origin, 1 outside of it."""
    return (x.flatten(1).norm(dim=1) > radius).long()


def sectors(x: Tensor) -> Tensor:
    """Three classes around the origin of the plane, a third each."""
    return ((torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi) + 1) * 3).long() % 3


@every(BOTH)
class TestTheDistance:
    def test_to_a_plane_is_the_closed_form(self, attack: HardLabel) -> None:
        weight, x = randn(8), randn(8, 8, seed=1)
        predict = partial(linear, weight=weight)
        result = attack(predict, x, predict(x), bounds=FREE)
        dual = {"l2": 2.0, "linf": 1.0}[attack.norm]
        ratio = result.distance / ((x @ weight).abs() / torch.linalg.vector_norm(weight, dual))
        assert result.success.all()
        assert ratio.min() >= 1 - 1e-12
        assert ratio.median() < 1.03
        assert ratio.max() < 1.1

    def test_to_a_sphere_is_the_closed_form_from_within_and_from_without(self, attack: HardLabel) -> None:
        x = nn.functional.normalize(randn(8, 3)) * torch.tensor([0.4, 1.6], dtype=torch.float64).repeat(4)[:, None]
        result = attack(ball, x, ball(x), bounds=(-4.0, 4.0))
        assert torch.equal(ball(result.x), 1 - ball(x))
        assert (result.info["l2"] >= 0.6 - 1e-12).all()
        if attack.norm == "l2":
            assert result.distance.max() < 0.6 * 1.02
        else:  # the point of the sphere with x_i + t in all elements, signs towards it
            flat, sign = x.abs(), torch.where(x.norm(dim=1) < 1, 1.0, -1.0)[:, None]
            t = torch.linspace(0, 1, 20_001, dtype=torch.float64)
            size = (flat[:, None] + sign[:, None] * t[:, None]).clamp_min(0).norm(dim=2)
            wanted = t[((size > 1) != (flat.norm(dim=1) > 1)[:, None]).long().argmax(1)]
            assert (result.distance >= wanted - 1e-4).all()
            assert (result.distance / wanted).median() < 1.05

    def test_both_norms_are_told(self, attack: HardLabel) -> None:
        x = randn(4, 3) * 0.2
        result = attack(ball, x, ball(x), bounds=FREE)
        for name, order in ORDERS.items():
            torch.testing.assert_close(result.info[name], torch.linalg.vector_norm(result.x - x, order, dim=1))
        assert torch.equal(result.distance, result.info[attack.norm])


@every(SMALL)
class TestQueries:
    @pytest.mark.parametrize("queries", [0, 1, 2, 3, 12, 61, 200])
    def test_are_counted_and_no_more_than_allowed(self, attack: HardLabel, queries: int) -> None:
        x = 0.5 * nn.functional.normalize(randn(5, 6))
        x[3] *= 20
        y = torch.zeros(5, dtype=torch.int64)
        predict = Counted(ball)
        result = replace(attack, queries=queries)(predict, x, y, bounds=(-20.0, 20.0))
        assert predict.samples == result.queries.sum()
        assert (result.queries <= queries).all()
        if queries == 0:
            assert torch.equal(result.x, x)
            assert not result.success.any()
        else:
            assert torch.equal(result.success, ball(result.x) != y)
            assert result.queries[3] == 1, "what is wrong to begin with is left alone"
            assert result.distance[3] == 0
            assert result.success.all() or queries < 61
            assert (result.queries[:3] >= min(queries, 60) * 0.9).all(), "they are made use of"

    def test_are_those_that_each_sample_takes_alone(self, attack: HardLabel) -> None:
        x = 0.3 * randn(6, 4)
        together = attack(ball, x, ball(x), bounds=FREE)
        for row in range(6):
            predict, one = Counted(ball), slice(row, row + 1)
            alone = attack(predict, x[one], ball(x[one]), bounds=FREE, seeds=torch.tensor([row]))
            assert predict.samples == alone.queries[0] == together.queries[row]
            torch.testing.assert_close(alone.x[0], together.x[row], rtol=0, atol=1e-9)

    def test_one_class_alone_fails_within_the_budget(self, attack: HardLabel) -> None:
        x = randn(4, 6)
        for bounds in (FREE, (0.0, math.inf), (-5.0, 5.0)):
            inside, predict = x.clamp(*bounds), Counted(lambda x: torch.full((len(x),), 7))
            result = attack(predict, inside, torch.full((4,), 7), bounds=bounds)
            assert not result.success.any()
            assert torch.equal(result.x, inside)
            assert (result.distance == 0).all()
            assert predict.samples == result.queries.sum() <= 4 * attack.queries

    def test_chunks_are_bounded_and_change_nothing(self, attack: HardLabel) -> None:
        x = 0.3 * randn(6, 4)
        wanted, predict = attack(ball, x, ball(x), bounds=FREE), Counted(ball)
        found = replace(attack, chunk=7)(predict, x, ball(x), bounds=FREE)
        assert predict.most <= 7
        torch.testing.assert_close(found.x, wanted.x, rtol=0, atol=1e-9)
        assert torch.equal(found.queries, wanted.queries)

    def test_everything_but_the_sample_is_another_class(self, attack: HardLabel) -> None:
        """The infimum is 0: the search ends all the same."""
        x = randn(2, 3)
        result = attack(lambda p: (p[:, None] != x).any(2).all(1).long(), x, torch.zeros(2).long(), bounds=FREE)
        assert result.success.all()
        assert (result.queries <= attack.queries).all()
        assert (result.distance < 1e-6).all()


class Logits(nn.Module):
    """Three logits, or the labels that they give as logits of their own."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.network, self.hard = nn.Linear(4, 3).double(), hard
        with torch.no_grad():
            self.network.weight.copy_(randn(3, 4))
            self.network.bias.copy_(randn(3, seed=1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return nn.functional.one_hot(logits.argmax(1), 3).to(x.dtype) if self.hard else 1e3 * logits.exp()


@every(SMALL)
class TestModels:
    def test_of_logits_nothing_but_the_highest_is_used(self, attack: HardLabel) -> None:
        x, soft, hard = torch.rand(6, 4, generator=generator(0, "x"), dtype=torch.float64), Logits(False), Logits(True)
        y = soft(x).argmax(1)
        wanted = attack(soft, x, y)
        assert wanted.success.any()
        for model in (hard, lambda p: soft(p).argmax(1)):
            found = attack(model, x, y)
            assert torch.equal(found.x, wanted.x)
            assert torch.equal(found.queries, wanted.queries)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "kind",
        [Tensor.int, Tensor.bool, Tensor.numpy, Tensor.tolist, lambda y: y.numpy().astype(np.uint16)],
        ids=["int32", "bool", "array", "list", "uint16"],
    )
    def test_labels_of_any_whole_kind_are_the_same(self, attack: HardLabel, kind: Callable[[Tensor], Any]) -> None:
        x = 0.3 * randn(3, 2)
        y = ball(x)
        assert torch.equal(
            attack(lambda p: kind(ball(p)), x, y, bounds=FREE).x, attack(ball, x, y.int(), bounds=FREE).x
        )

    @pytest.mark.parametrize(
        ("predict", "line"),
        [
            (
                lambda x: torch.full((len(x),), math.nan),
                r"model: must map 3 samples to 3 labels.*not torch.float32 \(3",
            ),
            (lambda x: torch.zeros(len(x), 2), r"model: must map 3 samples to 3 labels.*not torch.float32 \(3, 2\)"),
            (lambda x: ball(x)[:-1], r"model: must map 3 samples to 3 labels.*not torch.int64 \(2,\)"),
            (lambda x: ball(x)[:, None], r"model: must map 3 samples to 3 labels.*not torch.int64 \(3, 1\)"),
            (lambda x: None, r"model: must map 3 samples to 3 labels.*not NoneType"),
            (lambda x: "abc", r"model: must map 3 samples to 3 labels.*not str"),
            (7, "model: must be a module with logits or a callable that returns labels, not int"),
            (nn.Flatten(0), r"model: must map 3 samples to logits \(3, C\), not"),
        ],
    )
    def test_what_returns_no_labels_is_refused_in_a_line(self, attack: HardLabel, predict: Predict, line: str) -> None:
        with pytest.raises(UserError, match=line) as caught:
            attack(predict, 0.3 * randn(3, 1, 2), torch.zeros(3).long(), bounds=FREE)
        assert "\n" not in str(caught.value)

    def test_a_module_that_returns_labels_is_told_from_one_of_logits(self, attack: HardLabel) -> None:
        class Hard(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return ball(x)

        with pytest.raises(UserError, match=r"model: must return logits, floating point, not torch\.int64"):
            attack(Hard(), 0.3 * randn(3, 2), torch.zeros(3).long(), bounds=FREE)

    def test_a_callable_may_spoil_what_it_is_given(self, attack: HardLabel) -> None:
        def spoil(x: Tensor) -> Tensor:
            labels = ball(x)
            x.zero_()
            return labels

        x = 0.3 * randn(3, 2)
        assert torch.equal(attack(spoil, x, ball(x), bounds=FREE).x, attack(ball, x, ball(x), bounds=FREE).x)

    def test_what_a_callable_raises_is_the_callers(self, attack: HardLabel) -> None:
        def stop(x: Tensor) -> Tensor:
            raise RunStopped("no more answers")

        with pytest.raises(RunStopped, match="no more answers"):
            attack(stop, randn(3, 2), torch.zeros(3).long(), bounds=FREE)


@every(SMALL)
class TestFirstPoints:
    def test_a_point_that_the_attacker_has_is_begun_at(self, attack: HardLabel) -> None:
        """Class 1 is a small ball that no random point meets."""

        def predict(x: Tensor) -> Tensor:
            return ((x - 0.9).norm(dim=1) < 0.05).long()

        x = 0.2 * torch.rand(4, 10, generator=generator(0, "x"), dtype=torch.float64)
        y, there = torch.zeros(4).long(), torch.full((4, 10), 0.9, dtype=torch.float64)
        assert not attack(predict, x, y).success.any()
        one = attack(predict, x, y, start=there)
        assert one.success.all()
        assert (one.distance < size_of(x - there, attack.norm)).all()
        several = attack(predict, x, y, start=torch.stack([x, 1 - 0 * x, there], dim=1))
        assert several.success.all()
        assert (several.queries <= attack.queries).all()

    def test_in_single_precision_and_on_the_edges_of_the_box(self, attack: HardLabel) -> None:
        weight = torch.randn(64, generator=generator(0, "weight"))
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
        with torch.no_grad():
            model[1].weight.copy_(torch.stack([-weight, weight]))
        x = torch.rand(8, 1, 8, 8, generator=generator(0, "x")).round()
        y = model(x).argmax(1)
        result = attack(model, x, y)
        assert result.success.all()
        assert result.x.dtype == torch.float32
        assert ((result.x >= 0) & (result.x <= 1)).all()
        assert torch.equal(torch.cat([model(row[None]).argmax(1) for row in result.x]) != y, result.success)

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_without_bounds_any_scale_is_met(self, attack: HardLabel, scale: float) -> None:
        x = torch.cat([0.3 * scale * randn(4, 3), torch.zeros(1, 3, dtype=torch.float64)])
        result = attack(partial(ball, radius=scale), x, torch.zeros(5).long(), bounds=FREE)
        assert result.success.all()

    @pytest.mark.parametrize(
        ("start", "line"),
        [
            (torch.rand(3, 3), r"start: must be \(3, 2\), or \(3, 'S', 2\) with S points a sample, not \(3, 3\)"),
            (torch.rand(2, 2), "start: must be"),
            (torch.rand(3, 0, 2), "start: must be"),
            (torch.rand(3, 2) + 2, r"start: samples \[0, 1, 2\] are outside of bounds"),
            (torch.full((3, 4, 2), math.nan), r"start: samples \[0, 1, 2\] are not finite"),
        ],
    )
    def test_points_that_make_no_sense_are_refused(self, attack: HardLabel, start: Tensor, line: str) -> None:
        with pytest.raises(UserError, match=line):
            attack(ball, torch.rand(3, 2), torch.zeros(3).long(), start=start)


def size_of(d: Tensor, norm: str) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(d, ORDERS[norm], dim=1)
    return size


@every(BOTH)
def test_a_target_is_reached_and_is_no_nearer_than_any_class(attack: HardLabel) -> None:
    x = randn(8, 2)
    y = sectors(x)
    free, aimed = attack(sectors, x, y, bounds=FREE), attack(sectors, x, y, target=(y + 1) % 3, bounds=FREE)
    assert aimed.success.all()
    assert torch.equal(sectors(aimed.x), (y + 1) % 3)
    assert (aimed.distance >= free.distance * (1 - 0.02)).all()
    assert (aimed.distance > free.distance * 1.1).any()
    done = attack(sectors, x, y, target=y, bounds=FREE)
    assert (done.queries == 1).all()
    assert torch.equal(done.x, x)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: OPT(queries=-1), "queries: must be at least 0"),
        (lambda: SignOPT(norm="l1"), "norm: must be linf or l2"),
        (lambda: HopSkipJump(estimate=0), "estimate: must be at least 1"),
        (lambda: HopSkipJump(starts=0), "starts: must be at least 1"),
        (lambda: SignOPT(chunk=0), "chunk: must be at least 1"),
        (lambda: OPT(restarts=-1), "restarts: must be at least 0"),
        (lambda: OPT(directions=0), "directions: must be at least 1"),
        (lambda: SignOPT(smoothing=0.0), "smoothing: must be above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], HardLabel], line: str) -> None:
    with pytest.raises(UserError, match=line):
        make()
