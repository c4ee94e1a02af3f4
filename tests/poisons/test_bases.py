"""Collision vectors and base instances, against planted cases."""

from pathlib import Path

import pytest
import torch

from aal.errors import UserError
from aal.poisons.bases import choose_bases, collision_vector, given_vector
from aal.runs.files import write_tensors
from aal.seeds import generator

LABELS = torch.tensor([0] * 6 + [1] * 3 + [2])
DISTANCES = torch.tensor([5.0, 1.0, 4.0, 2.0, 6.0, 3.0, 9.0, 8.0, 7.0, 0.5])


def chosen(n: int, *, screen: bool, balance: bool, seed: int = 0) -> list[int]:
    chance = generator(seed, "bases")
    return choose_bases(DISTANCES, LABELS, n, screen=screen, balance=balance, generator=chance).tolist()


def test_screening_takes_the_nearest() -> None:
    assert chosen(4, screen=True, balance=False) == [9, 1, 3, 5]


def test_among_equally_near_ones_chance_decides() -> None:
    equal, labels = torch.zeros(30), torch.arange(30) // 10
    drawn = [choose_bases(equal, labels, 3, screen=True, balance=False, generator=generator(s, "x")) for s in range(30)]
    assert len(torch.cat(drawn).unique()) > 25


def test_balance_takes_equally_many_of_each_class_and_the_nearest_of_each() -> None:
    assert sorted(chosen(3, screen=True, balance=True)) == [1, 8, 9]
    assert sorted(chosen(5, screen=True, balance=True)) == [1, 3, 7, 8, 9], "class 2 has run out"
    assert sorted(chosen(10, screen=True, balance=True)) == list(range(10))


def test_without_screening_chance_decides_and_balance_still_holds() -> None:
    drawn = [chosen(3, screen=False, balance=True, seed=seed) for seed in range(40)]
    assert all(sorted(LABELS[bases].tolist()) == [0, 1, 2] for bases in drawn)
    assert {base for bases in drawn for base in bases} == set(range(10)), "some base is never drawn"
    free = [chosen(3, screen=False, balance=False, seed=seed) for seed in range(40)]
    assert any(sorted(LABELS[bases].tolist()) != [0, 1, 2] for bases in free)
    assert chosen(5, screen=False, balance=False, seed=1) == chosen(5, screen=False, balance=False, seed=1)


def test_vectors(tmp_path: Path) -> None:
    features = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]])
    assert collision_vector("zero", features).tolist() == [0, 0, 0]
    assert collision_vector("one", features).tolist() == [1, 1, 1]
    assert collision_vector("mean", features).tolist() == [2, 2, 4]
    path = tmp_path / "mu.safetensors"
    write_tensors(path, {"mu": torch.tensor([7.0, 8.0, 9.0])})
    given = given_vector(str(path), 3)
    assert given is not None
    assert given.tolist() == [7, 8, 9]
    assert given_vector("zero", 3) is None
    with pytest.raises(UserError, match=r"must hold a finite, real tensor 'mu' of shape \(4,\)"):
        given_vector(str(path), 4)
    write_tensors(path, {"mu": torch.ones(3, dtype=torch.complex64)})
    with pytest.raises(UserError, match=r"must hold a finite, real tensor 'mu' of shape \(3,\)"):
        given_vector(str(path), 3)
    with pytest.raises(UserError, match="mu: must be one of zero, one, mean"):
        given_vector("two", 3)
