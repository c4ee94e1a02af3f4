"""Steps that never ask a tensor for its value: on a GPU each such question would wait for all that was begun before."""

import pytest
import torch
from torch import nn
from torch.profiler import profile

from aal.attacks import BIM, PGD, Attack, CollisionAttack

ASK = {"aten::_local_scalar_dense", "aten::nonzero"}  # item, bool, tolist; masks as indices, compaction


def questions(attack: Attack) -> int:
    """Return how often ``attack`` asks."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)), torch.rand(8, 3, 2, 2)
    with profile() as profiler:
        attack(model, x, torch.arange(8) % 3)
    return sum(event.count for event in profiler.key_averages() if event.key in ASK)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("attack", [PGD, BIM])
def test_more_steps_ask_no_more(attack: type[PGD] | type[BIM], norm: str) -> None:
    few, many = (questions(attack(norm=norm, steps=steps, radius=1e-3)) for steps in (3, 23))
    assert few == many


def test_only_compaction_asks_in_a_step() -> None:
    few, many = (questions(PGD(early_stop=True, steps=steps, radius=1e-6)) for steps in (3, 23))
    assert 20 <= many - few <= 40


def test_collisions_ask_less_than_once_a_step() -> None:
    unfinished = {"patience": 1000, "tolerance": 0.0}
    few, many = (questions(CollisionAttack(steps=steps, **unfinished)) for steps in (15, 95))
    assert 0 < many - few < 80
