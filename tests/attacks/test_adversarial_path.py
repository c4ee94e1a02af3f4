"""Adversarial paths: closed forms on affine classifiers, and a plain loop over single samples."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aal.attacks import AdversarialPath
from aal.attacks.ascent import own_units
from aal.errors import UserError
from aal.seeds import generator

WIDE = (-50.0, 50.0)


def affine(size: int = 6) -> nn.Linear:
    """The logit of class 1."""
    layer = nn.Linear(size, 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(1, size, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.fill_(0.3)
    return layer


def curved(classes: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, classes)).double()


def points(n: int = 40) -> Tensor:
    return torch.randn(n, 6, generator=generator(0, "points"), dtype=torch.float64)


def walked(model: nn.Module, x: Tensor, y: int, target: int | None, step_size: float, steps: int) -> list[Tensor]:
    """The path of one sample ``(6,)``: Algorithm 2 as it is written, on the cross entropy in the logits' own units."""
    path = [x]
    while len(path) <= steps:
        leaf = path[-1].clone().requires_grad_()
        logits = model(leaf[None])
        predicted = int(logits.argmax())
        if predicted == target or (target is None and predicted != y):
            break
        F.cross_entropy(logits / own_units(logits), torch.tensor([y if target is None else target])).backward()
        assert leaf.grad is not None
        path.append(path[-1] + step_size * leaf.grad.sign() * (1 if target is None else -1))
    return path


class TestOnAffineClassifiers:
    def test_as_many_steps_as_the_distance_needs(self) -> None:
        model, x = affine(), points(1201)
        logit = model(x).squeeze(1).detach()
        result = AdversarialPath(step_size=0.02, steps=1000)(model, x, (logit > 0).long(), bounds=WIDE)
        steps = (logit.abs() / (0.02 * model.weight.abs().sum())).ceil()
        assert torch.equal(result.info["steps"], steps.long())
        assert result.success.all()
        assert torch.equal(result.queries, steps.long() + 1)
        torch.testing.assert_close(result.distance, 0.02 * steps)
        torch.testing.assert_close(result.info["l2"], 0.02 * steps * math.sqrt(6))
        wanted = x - (logit.sign() * 0.02 * steps)[:, None] * model.weight.sign()
        torch.testing.assert_close(result.x, wanted.detach())

    def test_a_target_is_walked_to_and_one_already_predicted_is_not(self) -> None:
        model, x = affine(), points()
        logit = model(x).squeeze(1).detach()
        ones = torch.ones(len(x), dtype=torch.int64)
        result = AdversarialPath(steps=1000)(model, x, 0 * ones, target=ones, bounds=WIDE)
        away = -logit.clamp(max=0)
        assert torch.equal(result.info["steps"], (away / (0.01 * model.weight.abs().sum())).ceil().long())
        assert result.success.all()
        there = logit > 0
        assert 0 < there.sum() < len(x), "the case must have both"
        assert torch.equal(result.x[there], x[there])
        assert (result.distance[there] == 0).all()
        assert (result.queries[there] == 1).all()

    def test_a_path_ends_at_the_most_steps(self) -> None:
        model, x = affine(), points()
        logit = model(x).squeeze(1).detach()
        needed = (logit.abs() / (0.05 * model.weight.abs().sum())).ceil().long()
        most = int(needed.median())
        result = AdversarialPath(step_size=0.05, steps=most)(model, x, (logit > 0).long(), bounds=WIDE)
        assert torch.equal(result.success, needed <= most)
        assert torch.equal(result.info["steps"], needed.clamp(max=most))
        assert torch.equal(result.queries, needed.clamp(max=most) + 1)
        assert 0 < result.success.sum() < len(x), "the case must have both"

    def test_it_leaves_the_bounds_as_in_the_paper_unless_it_is_clipped(self) -> None:
        model = nn.Linear(4, 1).double()
        with torch.no_grad():
            model.weight.fill_(1.0)
            model.bias.fill_(-6.0)
        x, y = torch.full((1, 4), 0.5, dtype=torch.float64), torch.tensor([0])
        free = AdversarialPath(step_size=0.3)(model, x, y)
        assert free.success.all()
        torch.testing.assert_close(free.x, torch.full_like(x, 1.7))
        clipped = AdversarialPath(step_size=0.3, steps=7, clip=True)(model, x, y)
        assert not clipped.success.any()
        assert torch.equal(clipped.x, torch.ones_like(x))
        assert clipped.info["steps"].tolist() == [7]
        torch.testing.assert_close(clipped.distance, torch.tensor([0.5], dtype=torch.float64))

    def test_a_model_that_is_sure_is_left_all_the_same(self) -> None:
        """In single precision the cross entropy of a margin of 200 is 0, and so is its gradient."""
        model = nn.Linear(4, 2)
        with torch.no_grad():
            model.weight.copy_(100.0 * torch.tensor([[1.0, -1, 1, -1], [0, 0, 0, 0]]))
            model.bias.zero_()
        x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
        result = AdversarialPath(step_size=0.125)(model, x, torch.tensor([0]))
        assert result.success.all()
        assert result.info["steps"].tolist() == [5]  # 4 lead to a tie, which the first class wins


@pytest.mark.parametrize("targeted", [False, True])
class TestOnACurvedClassifier:
    def test_the_batch_walks_as_each_sample_would(self, targeted: bool) -> None:
        model, x = curved(), points()
        y = model(x).argmax(1)
        target = (y + 1) % 4 if targeted else None
        result = AdversarialPath(step_size=0.03, steps=60, keep_points=True)(model, x, y, target=target, bounds=WIDE)
        paths = [
            walked(model, x[k], int(y[k]), None if target is None else int(target[k]), 0.03, 60) for k in range(len(x))
        ]
        steps = torch.tensor([len(path) - 1 for path in paths])
        assert torch.equal(result.info["steps"], steps)
        assert len(steps.unique()) > 5, "the case must have paths of many lengths"
        found = result.info["points"]
        assert found.shape == (40, int(steps.max()) + 1, 6)
        for row, path in zip(found, paths, strict=True):
            torch.testing.assert_close(row[: len(path)], torch.stack(path))
            assert (row[len(path) - 1 :] == row[-1]).all(), "a path stays at its end"
        assert torch.equal(found[:, 0], x)
        assert torch.equal(found[:, -1], result.x)
        goal = model(result.x).argmax(1) == target if targeted else model(result.x).argmax(1) != y
        assert torch.equal(result.success, goal)

    def test_points_are_returned_only_where_they_are_asked_for(self, targeted: bool) -> None:
        model, x = curved(), points(3)
        y = model(x).argmax(1)
        result = AdversarialPath()(model, x, y, target=(y + 1) % 4 if targeted else None, bounds=WIDE)
        assert set(result.info) == {"steps", "l2"}

    def test_samples_that_arrived_leave_the_batch(self, targeted: bool) -> None:
        model, x = Counting(), points()
        y = model.network(x).argmax(1)
        target = (y + 1) % 4 if targeted else None
        result = AdversarialPath(step_size=0.1, steps=60)(model, x, y, target=target, bounds=WIDE)
        assert model.seen == result.queries.sum()


@pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"steps": 0}, {"step_size": math.nan}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        AdversarialPath(**wrong)  # type: ignore[arg-type]


class Counting(nn.Module):
    """Counts the samples that pass."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.seen = curved(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        logits: Tensor = self.network(x)
        return logits
