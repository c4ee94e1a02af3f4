"""The soft k-NN network against closed forms and brute force."""

import math

import pytest
import torch
from torch import Tensor

from aal.attacks import PGD
from aal.errors import UserError
from aal.networks import SoftKNN


def knowing(points: Tensor, labels: list[int], k: int, classes: int = 2) -> SoftKNN:
    network = SoftKNN(tuple(points.shape[1:]), classes, k).to(points.dtype)
    network.take_in(points, torch.tensor(labels))
    return network


def brute_force(network: SoftKNN, x: Tensor) -> Tensor:
    rows = []
    for sample in x.flatten(1):
        away = sorted(
            (math.dist(sample.tolist(), point.tolist()), number)
            for number, point in enumerate(network.points.flatten(1))
        )
        logits = [0.0] * network.num_classes
        for distance, number in away[: network.k]:
            logits[int(network.labels[number])] += 1 / distance
        rows.append(logits)
    return torch.tensor(rows, dtype=x.dtype)


def test_logits_are_inverse_distances() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 8.0]])
    x = torch.tensor([[0.0, 4.0]])  # distances 4, 5, 4
    both = knowing(points, [0, 1, 1], k=3)(x)
    torch.testing.assert_close(both, torch.tensor([[1 / 4, 1 / 5 + 1 / 4]]))
    one = knowing(points, [0, 1, 1], k=1)(x)
    torch.testing.assert_close(one, torch.tensor([[1 / 4, 0.0]]))  # of two at the same distance, the first


@pytest.mark.parametrize("k", [1, 3, 40, 100])
@pytest.mark.parametrize("shape", [(2,), (1, 3, 3)])
def test_it_is_what_brute_force_says(k: int, shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(40, *shape, generator=draw, dtype=torch.float64)
    network = knowing(points, torch.randint(3, (40,), generator=draw).tolist(), k, classes=3)
    x = torch.randn(30, *shape, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(network(x), brute_force(network, x))


def test_gradients_are_those_of_differences() -> None:
    draw = torch.Generator().manual_seed(1)
    points = torch.randn(12, 2, generator=draw, dtype=torch.float64)
    network = knowing(points, [0, 1] * 6, k=5)
    x = torch.randn(8, 2, generator=draw, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: network(x).softmax(1), x)


def test_at_a_training_point_it_is_sure_of_its_label() -> None:
    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(2))
    labels = [0, 1, 1, 0, 1] * 4
    x = points.clone().requires_grad_()
    probabilities = knowing(points, labels, k=7)(x).softmax(1)
    assert torch.equal(probabilities[range(20), labels], torch.ones(20))
    (gradient,) = torch.autograd.grad(probabilities[:, 0].sum(), x)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_pgd_walks_to_a_mislabelled_point_within_reach() -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 0.4], [0.4, 0.0]])
    network = knowing(points, [1, 0, 0], k=3)
    x = torch.tensor([[0.15, 0.2], [0.4, 0.4]])
    assert network(x).argmax(1).tolist() == [0, 0]
    attack = PGD(radius=0.2, steps=40)
    result = attack(network, x, torch.tensor([0, 0]), bounds=(-math.inf, math.inf))
    assert result.success.tolist() == [True, False]
    assert (result.distance <= 0.2 + 1e-6).all()


def test_it_loads_as_many_points_as_were_saved() -> None:
    network = knowing(torch.randn(5, 2), [0, 1, 0, 1, 0], k=2)
    other = knowing(torch.randn(3, 2), [1, 1, 1], k=2)
    other.load_state_dict(network.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(other(x), network(x))
    assert other.points is not network.points


def test_without_points_no_class_is_preferred_and_k_must_be_positive() -> None:
    assert torch.equal(SoftKNN((2,), 3, 1)(torch.zeros(4, 2)), torch.zeros(4, 3))
    with pytest.raises(UserError, match=r"^k: must be at least 1, got 0$"):
        SoftKNN((2,), 3, 0)
