"""What every attack on a classifier refuses, and what it makes of a model's output."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import FGSM, Adversarial, Attack
from aal.attacks.base import Task, attacking
from aal.errors import RunStopped, UserError

X, Y = torch.full((3, 4), 0.5), torch.tensor([0, 1, 2])


def attack(x: Tensor = X, y: Tensor = Y, target: Tensor | None = None, model: nn.Module | None = None) -> None:
    FGSM()(model or nn.Linear(4, 3), x, y, target=target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": torch.tensor([0, 1])}, r"y: must be 3 whole numbers, not \(2,\)"),
        ({"y": torch.rand(3)}, "y: must be 3 whole numbers, not .*float32"),
        ({"target": torch.tensor(1)}, r"target: must be 3 whole numbers, not \(\)"),
        ({"x": torch.ones(3, 4, dtype=torch.uint8)}, "x: must be floating point, not torch.uint8"),
        ({"x": torch.zeros(0, 4), "y": torch.zeros(0, dtype=torch.int64)}, "x: the batch is empty"),
        ({"y": torch.tensor([0, 1, 3])}, "y: sample 2 has class 3, but the model has 3"),
        ({"y": torch.tensor([0, -1, 3])}, "y: sample 1 has class -1, but the model has 3"),
        ({"target": torch.tensor([0, 3, 3])}, "target: sample 1 has class 3, but the model has 3"),
        ({"model": nn.Unflatten(1, (2, 2))}, r"model: must map 3 samples to logits \(3, C\), not \(3, 2, 2\)"),
    ],
)
def test_what_cannot_be_attacked_is_refused_by_name(arguments: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        attack(**arguments)  # type: ignore[arg-type]


def test_one_logit_becomes_two_and_a_sigmoid_at_the_end_is_seen_through() -> None:
    plain = nn.Linear(4, 1)
    z = plain(X).squeeze(1)
    for model in (plain, nn.Sequential(plain, nn.Flatten(0)), nn.Sequential(plain, nn.Sigmoid(), nn.Flatten(0))):
        with attacking(model, X, torch.zeros(3, dtype=torch.int64), target=None, bounds=(0, 1), seeds=None) as task:
            torch.testing.assert_close(task.logits(X), torch.stack([torch.zeros(3), z], dim=1))
        assert not any(part._forward_hooks for part in model.modules())


def test_outputs_that_are_not_finite_are_remembered_by_row_until_asked_for() -> None:
    task = Task(nn.Linear(4, 3), {}, X, Y, None, (0, 1), None)
    task.logits(torch.full((1, 4), torch.inf), torch.tensor([2]))
    task.logits(X)
    task.logits(torch.full((1, 4), torch.nan), torch.tensor([0]))
    with pytest.raises(RunStopped, match=r"samples \[0, 2\]"):
        task.refuse_nan()


def test_without_seeds_every_row_has_its_own() -> None:
    with attacking(nn.Linear(4, 3), X, Y, target=None, bounds=(0, 1), seeds=None) as task:
        assert task.seeds.tolist() == [0, 1, 2]


@dataclass(frozen=True, kw_only=True)
class Mine(Attack):
    """Returns the samples, but for what a test spoils."""

    spoil: Callable[[Adversarial], Any]

    def attack(self, task: Task) -> Any:  # noqa: ANN401
        """Return what is spoilt of a sound result."""
        none = torch.zeros(len(task.x))
        return self.spoil(Adversarial(task.x, none.bool(), none, none.long()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda found: None, r"Mine must return an Adversarial with x torch.float32 \(3, 4\), not NoneType"),
        (lambda found: found.x, "Mine must return an Adversarial with x"),
        (lambda found: replace(found, x=found.x[:2]), r"with x torch.float32 \(3, 4\), not torch.float32 \(2, 4\)"),
        (lambda found: replace(found, x=found.x.double()), r"with x torch.float32 \(3, 4\), not torch.float64"),
        (lambda found: replace(found, success=found.distance), r"with success torch.bool \(3,\), not torch.float32"),
        (lambda found: replace(found, distance=None), r"with distance torch.float32 \(3,\), not NoneType"),
        (lambda found: replace(found, queries=3), r"with queries torch.int64 \(3,\), not int"),
        (
            lambda found: replace(found, x=found.x + torch.tensor([[0], [1], [0]])),
            "Mine made of sample 1 one that is not in",
        ),
        (
            lambda found: replace(found, x=found.x * torch.tensor([[1], [1], [torch.nan]])),
            "Mine made of sample 2 one that is not in",
        ),
    ],
)
def test_what_an_attack_of_the_users_own_returns_is_checked(spoil: Callable[[Adversarial], Any], message: str) -> None:
    with pytest.raises(RunStopped, match=message):
        Mine(spoil=spoil)(nn.Linear(4, 3), X, Y)


def test_what_it_returns_is_in_no_graph() -> None:
    found = Mine(spoil=lambda found: replace(found, x=found.x.clone().requires_grad_()))(nn.Linear(4, 3), X, Y)
    assert not found.x.requires_grad
