"""What a shadow is trained on, beside a linear victim whose boundary is the plane where the first element is 0."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from aal.attacks import FGSM, DeepFool, HopSkipJump, RegionBased
from aal.errors import UserError
from aal.models import ConvClassifier, InstanceClassifier
from aal.networks import MLP, NearestNeighbours
from aal.oracles import Victim
from aal.synthesis import Adversary, Made, Synthesis
from aal.synthesis.boundary_distance import boundary_distance

INFINITE = (-torch.inf, torch.inf)
SIZE = 40


def linear(slope: float = 1.0, shift: float = 0.0) -> ConvClassifier:
    """Return the classifier of class 1 where ``slope`` times the first element is above ``-shift``."""
    module = ConvClassifier(lambda shape, classes: MLP(shape, classes, ()), 2, (3,))
    with torch.no_grad():
        module.last.weight.copy_(torch.tensor([[-slope, 0.0, 0.0], [slope, 0.0, 0.0]]))
        module.last.bias.copy_(torch.tensor([-shift, shift]))
    return module


def adversary_of(module: ConvClassifier, **more: Any) -> Adversary:
    drawn = torch.randn(3, SIZE, 3, generator=torch.Generator().manual_seed(1))
    own, known, test = drawn
    side = (drawn[..., 0] > 0.3).long()  # the truth is another plane than the victim's
    return Adversary(
        victim=Victim(module, own.__getitem__),
        own=own.__getitem__,
        own_labels=side[0],
        victim_set=(known, side[1]),
        test_set=(test, side[2]),
        bounds=INFINITE,
        num_classes=2,
        seed=4,
        **more,
    )


def made(synthesis: Synthesis, adversary: Adversary, places: Tensor | None = None) -> Made:
    places = torch.arange(SIZE) if places is None else places
    return synthesis.make(adversary, synthesis.attacked(adversary), places)


def test_adversarial_examples_take_the_place_of_the_adversarys_samples() -> None:
    adversary = adversary_of(linear())
    found = made(Synthesis(attack=DeepFool()), adversary)
    own = adversary.own(torch.arange(SIZE))
    assert found.success.all()
    assert torch.allclose(found.x[:, 0], torch.zeros(SIZE), atol=2e-3)
    assert torch.equal(found.x[:, 1:], own[:, 1:])
    assert torch.equal(adversary.victim.predict(found.x), 1 - adversary.victim.predict(own)), "beyond the boundary"
    assert torch.allclose(found.distance, own[:, 0].abs(), atol=2e-3)
    assert torch.allclose(found.farthest, own[:, 0].abs(), atol=2e-3)
    assert adversary.victim.queries == {"labels": 0, "attack": 3 * SIZE}, "which side a sample is on, and here twice"


def test_random_directions_stay_on_the_near_side_within_bounds() -> None:
    """Of the victim's x + y > 1 in the unit box: a direction that leaves the box is another one once it is clipped."""
    module = linear(20.0, -20.0)
    with torch.no_grad():
        module.last.weight[:, 1] = module.last.weight[:, 0]
    adversary = replace(adversary_of(module), bounds=(0.0, 1.0))
    own = adversary.own(torch.arange(SIZE)).sigmoid()
    adversary = replace(adversary, own=own.__getitem__)
    found = made(Synthesis(attack=FGSM(radius=0.9), near_side=True, direction="random"), adversary)
    same = adversary.victim.predict(found.x) == adversary.victim.predict(own)
    assert found.success.sum() > SIZE / 2
    assert same[found.success].all()


def test_the_scale_leaves_points_on_the_near_side_and_is_counted() -> None:
    adversary = adversary_of(linear())
    found = made(Synthesis(attack=DeepFool(), near_side=True), adversary)
    own = adversary.own(torch.arange(SIZE))
    assert found.success.all()
    assert torch.equal(adversary.victim.predict(found.x), adversary.victim.predict(own))
    assert (found.x[:, 0].abs() <= own[:, 0].abs() / 2**10 + 1e-6).all()
    assert (found.x[:, 0].abs() > 0).all()
    looks = 1 + 1 + 10  # which side, the whole perturbation, halvings
    assert adversary.victim.queries["attack"] == (looks + 2) * SIZE


def test_a_source_whose_label_the_victim_does_not_give_has_no_near_side() -> None:
    adversary = adversary_of(linear())
    found = made(Synthesis(of="victim", labels="source", attack=DeepFool(), near_side=True), adversary)
    x, labels = adversary.victim_set
    wrong = (x[:, 0] > 0).long() != labels
    assert 0 < wrong.sum() < SIZE
    assert torch.equal(found.success, ~wrong)


def test_copies_in_random_directions_are_as_far_and_the_same_alone() -> None:
    adversary = adversary_of(linear())
    control = Synthesis(of="victim", labels="source", attack=DeepFool(), direction="random")
    straight, random = made(replace(control, direction="found"), adversary), made(control, adversary)
    assert torch.allclose(straight.distance, random.distance, rtol=1e-4, atol=1e-6)
    x = adversary.victim_set[0]
    cosines = torch.cosine_similarity(straight.x - x, random.x - x)[straight.distance > 0]
    assert cosines.abs().mean() < 0.8
    assert cosines.mean().abs() < 0.3
    alone = made(control, adversary, torch.tensor([7]))
    assert torch.equal(alone.x[0], random.x[7])


def test_those_that_the_victim_is_least_sure_of_come_first() -> None:
    adversary = adversary_of(linear())
    legitimate = Synthesis(order="least_confident")
    order, found = legitimate.by_confidence(adversary, adversary.victim.model)
    own = adversary.own(order)
    assert torch.equal(own[:, 0].abs().argsort(), torch.arange(SIZE))
    assert torch.equal(found.x, own)
    assert torch.equal(found.probabilities.argmax(1), (own[:, 0] > 0).long()), "its answers are labels, too"
    assert adversary.victim.queries == {"labels": SIZE, "attack": 0}


def test_what_a_non_parametric_attack_asks_is_counted_unless_the_training_set_tells_it() -> None:
    network, seen = linear(), []
    network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    adversary = adversary_of(network)
    synthesis = Synthesis(attack=RegionBased()).fitted(adversary)
    made(synthesis, adversary)
    assert adversary.victim.queries["attack"] == sum(seen) > 2 * SIZE, "which side a sample is on, and the attack"
    nearest = InstanceClassifier(NearestNeighbours, 2, (3,))
    nearest.network.take_in(*adversary.victim_set)
    known = replace(adversary, victim=Victim(nearest, adversary.own))
    made(synthesis, known)
    assert known.victim.queries["attack"] == SIZE


def test_a_hard_label_attack_asks_the_victim_alone() -> None:
    adversary = adversary_of(linear())
    synthesis = Synthesis(attack=HopSkipJump(queries=150))
    found = made(synthesis, adversary)
    own = adversary.own(torch.arange(SIZE))
    assert found.success.all()
    assert (found.distance < 2 * own[:, 0].abs() + 0.2).all()
    assert SIZE < adversary.victim.queries["attack"] <= SIZE * (1 + 150), "which side a sample is on, and the attack"
    assert synthesis.knows == []
    alone = made(synthesis, adversary, torch.tensor([5]))
    assert torch.allclose(alone.x[0], found.x[5], atol=1e-4)


def test_a_region_based_attack_is_fitted_to_the_victims_training_set() -> None:
    adversary = adversary_of(linear())
    nearest = InstanceClassifier(lambda shape, classes: NearestNeighbours(shape, classes), 2, (3,))
    nearest.network.take_in(*adversary.victim_set)
    adversary = replace(adversary, victim=Victim(nearest, adversary.own))
    synthesis = Synthesis(attack=RegionBased(norm="l2"), near_side=True)
    found = made(synthesis, adversary)
    assert found.success.all()
    assert torch.equal(adversary.victim.predict(found.x), adversary.victim.predict(adversary.own(torch.arange(SIZE))))
    left = boundary_distance(nearest, found.x, INFINITE, torch.device("cpu"), 0)
    assert left["boundary_by"] == "RegionBased"
    assert float(left["boundary_distance"]) < 2e-3 * float(found.distance.mean()), "a thousandth of the way is left"
    assert synthesis.knows == ["the victim's training set"]


@pytest.mark.parametrize(("of", "right"), [("pool", True), ("test", False), ("victim", True)])
def test_what_only_a_diagnosis_may_know_asks_nothing(of: Literal["pool", "test", "victim"], right: bool) -> None:
    adversary = adversary_of(linear())
    sources = Synthesis(of=of, right=right, labels="victim").sources(adversary)
    x, labels = {
        "pool": (adversary.own(torch.arange(SIZE)), adversary.own_labels),
        "test": adversary.test_set,
        "victim": adversary.victim_set,
    }[of]
    kept = ((x[:, 0] > 0).long() == labels).nonzero()[:, 0]
    assert torch.equal(sources.sort().values, kept)
    assert len(kept) < SIZE
    assert not torch.equal(sources, kept), "in a random order"
    assert adversary.victim.queries == {"labels": 0, "attack": 0}


def test_a_failed_attack_leaves_no_point() -> None:
    adversary = adversary_of(linear(slope=0.0, shift=1.0))  # one class everywhere
    assert not made(Synthesis(attack=DeepFool()), adversary).success.any()
    order, found = Synthesis(attack=DeepFool(), order="least_confident").by_confidence(adversary, linear(0.0, 1.0))
    assert len(order) == SIZE
    assert not found.success.any()


def test_a_step_that_fools_nobody_is_a_point_only_where_that_is_asked_for() -> None:
    adversary, step = adversary_of(linear()), FGSM(radius=1e-3)
    crossed = adversary.own(torch.arange(SIZE))[:, 0].abs() < 1e-3
    assert torch.equal(made(Synthesis(attack=step), adversary).success, crossed)
    found = made(Synthesis(attack=step, unsuccessful=True), adversary)
    assert found.success.all()
    assert torch.allclose(found.farthest, torch.full((SIZE,), 1e-3), rtol=1e-3)
    constant = adversary_of(linear(slope=0.0, shift=1.0))
    assert not made(Synthesis(attack=step, unsuccessful=True), constant).success.any(), "nothing was moved"


def test_the_boundary_of_several_neighbours_is_measured_by_regions() -> None:
    points, labels = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]), torch.tensor([0, 0, 0, 1, 1, 1])
    nearest = InstanceClassifier(lambda shape, classes: NearestNeighbours(shape, classes, 3), 2, (1,))
    nearest.network.take_in(points, labels)
    # the third neighbour is of the other class alone beyond the middle of 1 and 11
    left = boundary_distance(nearest, torch.tensor([[5.0]]), INFINITE, torch.device("cpu"), 0)
    assert left["boundary_by"] == "RegionBased"
    assert float(left["boundary_distance"]) == pytest.approx(1.0)


@pytest.mark.parametrize(("beyond", "wanted"), [(False, 0.05), (True, None)])
def test_perturbations_have_the_magnitude_asked_for(beyond: bool, wanted: float | None) -> None:
    adversary = adversary_of(linear())
    found = made(Synthesis(attack=DeepFool(), magnitude=0.05, beyond=beyond), adversary)
    own = adversary.own(torch.arange(SIZE))[:, 0].abs()
    assert torch.allclose(found.distance, own + 0.05 if wanted is None else torch.full_like(own, wanted), atol=3e-3)


@pytest.mark.parametrize("asked", [0, 30])
def test_a_substitutes_gradients_are_followed_and_its_labels_counted(asked: int) -> None:
    adversary = adversary_of(linear())
    synthesis = Synthesis(
        attack=DeepFool(), substitute=lambda shape, classes: MLP(shape, classes, ()), substitute_labels=asked
    )
    model = synthesis.attacked(adversary)
    assert adversary.victim.queries == {"labels": 0, "attack": asked}
    # the truth that the training set has is where the first element is 0.3; the victim says 0
    found = synthesis.make(adversary, model, torch.arange(SIZE))
    middle = float(found.x[:, 0].median())
    assert abs(middle - (0.0 if asked else 0.3)) < 0.12
    assert ("the victim's training set" in synthesis.knows) == (not asked)
    assert "the victim's network and weights" not in synthesis.knows


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"near_side": True}, "near_side: without an attack"),
        ({"magnitude": 0.1}, "magnitude: without an attack"),
        ({"unsuccessful": True}, "unsuccessful: without an attack"),
        ({"direction": "random"}, "direction: without an attack"),
        ({"direction": "up"}, "direction: must be one of found, random, got 'up'"),
        ({"attack": DeepFool(), "magnitude": -1.0}, "magnitude: must be above 0"),
        ({"attack": DeepFool(), "near_side": True, "magnitude": 0.1}, "near_side: scales perturbations"),
        ({"attack": DeepFool(), "beyond": True}, "beyond: says what magnitude means"),
        ({"labels": "source"}, "labels: the adversary does not know"),
        ({"keep": "sources"}, "keep: without an attack"),
        ({"keep": "victim", "of": "victim", "labels": "source"}, "keep: without an attack"),
        ({"keep": "sources", "of": "victim", "attack": DeepFool()}, "keep: sources can be kept of the pool alone"),
        ({"keep": "sources", "order": "least_confident", "attack": DeepFool()}, "order: by confidence"),
        ({"attack": DeepFool(), "substitute_labels": -1}, "substitute_labels: must be at least 0"),
        ({"attack": DeepFool(), "substitute_labels": 5}, "substitute_labels: there is no substitute"),
        ({"attack": RegionBased(), "substitute": MLP}, "substitute: RegionBased follows no gradients"),
        ({"attack": HopSkipJump(), "substitute": MLP}, "substitute: HopSkipJump follows no gradients"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=f"^{line}"):
        Synthesis(**arguments)
