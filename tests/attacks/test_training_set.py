"""Attacks on non-parametric classifiers know a training set: what they were fitted to, or else the model's own."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from aal.attacks import Adversarial, Task
from aal.attacks.training_set import NonParametric
from aal.errors import UserError
from aal.models import SoftKNNClassifier
from aal.networks import SoftKNN

POINTS = torch.tensor([[0.1, 0.2], [0.7, 0.4], [0.9, 0.9]])
LABELS = torch.tensor([0, 2, 1])


@dataclass(frozen=True, kw_only=True)
class Nearest(NonParametric):
    """Moves every sample onto the first point of another class."""

    def attack(self, task: Task) -> Adversarial:
        known = self.known(task)
        other = (known.labels[None] != task.labels[:, None]).int().argmax(1)
        x = known.points[other].to(task.x)
        return Adversarial(
            x, task.reached(task.predict(x), task.labels), (x - task.x).norm(dim=1), torch.ones_like(task.rows)
        )


def knn() -> SoftKNN:
    network = SoftKNN((2,), 3)
    network.take_in(POINTS, LABELS)
    return network


def attacked(attack: NonParametric, model: nn.Module, x: Tensor = POINTS) -> Tensor:
    return attack(model, x, LABELS).x


def test_a_fitted_attack_is_a_new_one_and_keeps_its_own_copies() -> None:
    attack, points = Nearest(), POINTS.clone()
    fitted = attack.fit(points, LABELS.to(torch.int8))
    points.zero_()
    assert attack.training_set is None
    assert torch.equal(attacked(fitted, nn.Linear(2, 3)), POINTS[[1, 0, 0]])


def test_an_attack_that_is_not_fitted_takes_the_training_set_of_the_model() -> None:
    classifier = SoftKNNClassifier(3, (2,))
    classifier.network.take_in(POINTS, LABELS)
    for model in (knn(), classifier):
        assert torch.equal(attacked(Nearest(), model), POINTS[[1, 0, 0]])
    moved = Nearest().fit(POINTS / 2, LABELS)
    assert torch.equal(attacked(moved, knn()), POINTS[[1, 0, 0]] / 2), "what it was fitted to comes first"


def test_without_any_training_set_it_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"^model: a Linear holds no training set; fit .* Nearest\(\)\.fit\(points"):
        attacked(Nearest(), nn.Linear(2, 3))
    with pytest.raises(UserError, match=r"^model: the SoftKNN has not taken in any"):
        attacked(Nearest(), SoftKNN((2,), 3))


@pytest.mark.parametrize(
    ("points", "labels", "line"),
    [
        (POINTS.int(), LABELS, "points: must be floating point"),
        (POINTS[:0], LABELS[:0], "points: .* at least one"),
        (POINTS[:, 0], LABELS, "points: "),
        (POINTS / 0, LABELS, "points: row 0 is not finite"),
        (POINTS, LABELS[:2], "labels: must be 3 whole numbers"),
        (POINTS, LABELS.float(), "labels: must be 3 whole numbers"),
        (POINTS, LABELS - 1, "labels: row 0 is below 0"),
        (POINTS.tolist(), LABELS, "points: must be a tensor, not list"),
    ],
)
def test_what_is_no_training_set_is_refused(points: Tensor, labels: Tensor, line: str) -> None:
    with pytest.raises(UserError, match=line):
        Nearest().fit(points, labels)


def test_samples_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"^x: samples must be \(2,\), .* not \(1, 2\)"):
        attacked(Nearest().fit(POINTS, LABELS), nn.Flatten(), POINTS[:, None])
